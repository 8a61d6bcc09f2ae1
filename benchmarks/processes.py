"""What /proc says about a server: its process tree, the CPU it used, the memory it holds.

A server is the tree below the one process that was started. Its CPU time is that of the live processes plus that of
all children they have waited for (proc(5), /proc/pid/stat, fields 14 to 17), so a child that lived for one request
is counted too, once it was reaped. Its memory is PSS (smaps_rollup): a page shared by n processes counts 1/n in
each, so sums over processes mean something.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Stat:
    """One process: ``cpu`` in clock ticks, its reaped children's included; ``start`` tells two uses of a pid apart.

    ``state`` is the kernel's letter, Z for one that ended and was not waited for.
    """

    pid: int
    parent: int
    cpu: int
    start: int
    state: str = "S"


@dataclass(frozen=True, slots=True)
class Usage:
    """The memory of one process: ``pss`` in bytes, ``title`` is its command line or process title."""

    pid: int
    uid: int
    title: str
    pss: int


def parse_stat(text: str) -> Stat:
    """Parse /proc/pid/stat; the name in it may hold blanks and parentheses, so fields count from the last ``)``."""
    head, _, rest = text.rpartition(")")
    fields = rest.split()
    return Stat(
        pid=int(head.split(" ", 1)[0]),
        parent=int(fields[1]),
        cpu=sum(int(field) for field in fields[11:15]),
        start=int(fields[19]),
        state=fields[0],
    )


def parse_pss(text: str) -> int:
    """Return the ``Pss:`` of a smaps_rollup in bytes, 0 for a process that has no memory left."""
    for line in text.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def parse_uid(text: str) -> int:
    """Return the effective user id of a /proc/pid/status."""
    for line in text.splitlines():
        if line.startswith("Uid:"):
            return int(line.split()[2])
    raise ValueError("a status without Uid")


def tree_of(root: int, stats: Mapping[int, Stat]) -> list[int]:
    """Return the root (if it is there) and all its descendants, parents before their children."""
    children: dict[int, list[int]] = {}
    for stat in stats.values():
        children.setdefault(stat.parent, []).append(stat.pid)
    found = [root] if root in stats else []
    for pid in found:
        found.extend(children.get(pid, ()))
    return found


def snapshot() -> dict[int, Stat]:
    """Return all processes there are; one that ends meanwhile is left out."""
    stats = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (text := read(entry / "stat")):
            stat = parse_stat(text)
            stats[stat.pid] = stat
    return stats


def cpu_seconds(root: int) -> float:
    """Return the CPU time, user and system, that the tree below this process has used so far."""
    stats = snapshot()
    return sum(stats[pid].cpu for pid in tree_of(root, stats)) / TICKS


def usage_of_tree(root: int) -> list[Usage]:
    """Return the memory of each process of a tree."""
    return usages(tree_of(root, snapshot()))


def usages(pids: Iterable[int]) -> list[Usage]:
    """Return the memory of these processes; those that ended meanwhile are left out."""
    found = []
    for pid in pids:
        status, rollup = read(PROC / str(pid) / "status"), read(PROC / str(pid) / "smaps_rollup")
        if status and rollup:
            title = read(PROC / str(pid) / "cmdline").replace("\0", " ").strip()
            found.append(Usage(pid, parse_uid(status), title, parse_pss(rollup)))
    return found


def pids_of_user(uid: int) -> list[int]:
    """Return the processes that run as this user, zombies included."""
    found = []
    for pid in snapshot():
        status = read(PROC / str(pid) / "status")
        if status and parse_uid(status) == uid:
            found.append(pid)
    return found


def read(path: Path) -> str:
    """Return a file of /proc, empty when its process has ended or has no such file any more."""
    try:
        return path.read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
