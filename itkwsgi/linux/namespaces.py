"""Namespaces of a role: a /tmp of its own, and ids that are all there is.

Done by root's forked child before it changes its identity and executes the role; whatever fails there ends that child,
and the role does not start.  Both are read back from the kernel before they count.

* A mount namespace in which other directories stand for /tmp: mounts of the machine that come later (automounted homes)
  still arrive, none of ours leaves.
* A user namespace with an identical map of some ranges.  What is not in a range does not exist there: uid 0 neither.
  The map must be written by somebody outside with CAP_SETUID and CAP_SETGID, so a helper is forked before.

In the server's own interpreter only.  Sources: mount_namespaces(7), mount(2), user_namespaces(7), unshare(2).
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable, Sequence

from itkwsgi.linux.identity import SwitchError

Ranges = Sequence[tuple[int, int]]  # (lowest, highest), both included

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000

_MS_NOSUID, _MS_NODEV, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_SLAVE = 0x2, 0x4, 0x20, 0x1000, 0x4000, 0x80000

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_void_p)
_libc.mount.restype = ctypes.c_int
_libc.unshare.argtypes = (ctypes.c_int,)
_libc.unshare.restype = ctypes.c_int


def own_mounts(binds: Iterable[tuple[str, str]]) -> None:
    """Enter a mount namespace in which each ``(directory, place)`` is mounted: no setuid programs or devices there.

    The place may be missing on this machine (no /var/tmp): then it stays missing.
    Raises `OSError` as unshare(2) and mount(2), `SwitchError` when a place is not the directory afterwards.
    """
    _unshare(CLONE_NEWNS)
    _mount(None, "/", _MS_REC | _MS_SLAVE)
    for directory, place in binds:
        if os.path.isdir(place):
            _mount(directory, place, _MS_BIND)
            _mount(None, place, _MS_BIND | _MS_REMOUNT | _MS_NOSUID | _MS_NODEV)
            if not os.path.samestat(os.stat(directory), os.stat(place)):
                raise SwitchError(f"{place} is not {directory}")


def own_ids(uids: Ranges, gids: Ranges) -> None:
    """Enter a user namespace that has these ids and no others, each the same as outside.  Single-threaded callers only.

    Raises `OSError` as unshare(2), `SwitchError` when the map is not as it must be.
    """
    uid_lines, gid_lines = merged(uids), merged(gids)
    reader, writer = os.pipe2(os.O_CLOEXEC)
    me = os.getpid()
    helper = os.fork()
    if helper == 0:
        try:
            os.close(writer)
            if os.read(reader, 1):
                _write_maps(me, uid_lines, gid_lines)
                os._exit(0)
        finally:
            os._exit(1)
    os.close(reader)
    try:
        _unshare(CLONE_NEWUSER)
        os.write(writer, b".")
    finally:
        os.close(writer)
        _, status = os.waitpid(helper, 0)
    if status:
        raise SwitchError("the ids of the user namespace could not be set")
    for name, lines in (("uid_map", uid_lines), ("gid_map", gid_lines)):
        if (found := read_map(name)) != lines:
            raise SwitchError(f"{name} is {found} and not {lines}")


def merged(ranges: Ranges) -> list[tuple[int, int]]:
    """The same ids as few ranges in order, none touching another: the kernel refuses maps that overlap."""
    lines: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if lines and low <= lines[-1][1] + 1:
            lines[-1] = (lines[-1][0], max(lines[-1][1], high))
        else:
            lines.append((low, high))
    return lines


def read_map(name: str) -> list[tuple[int, int]]:
    """The ranges of ``uid_map`` or ``gid_map``.  Raises `SwitchError` for a map that is not identical."""
    ranges = []
    with open(f"/proc/self/{name}", "rb") as file:
        for inside, outside, count in (map(int, line.split()) for line in file):
            if inside != outside:
                raise SwitchError(f"{name}: {outside} is {inside} in here")
            ranges.append((inside, inside + count - 1))
    return ranges


def overflow_uid() -> int:
    """What the kernel shows for a user that a namespace does not have: 65534, unless it was set otherwise."""
    with open("/proc/sys/kernel/overflowuid", "rb") as file:
        return int(file.read())


def _write_maps(pid: int, uids: Ranges, gids: Ranges) -> None:
    """Each map is one write(2): the kernel takes no second."""
    for name, ranges in (("uid_map", uids), ("gid_map", gids)):
        lines = "".join(f"{low} {low} {high - low + 1}\n" for low, high in ranges)
        fd = os.open(f"/proc/{pid}/{name}", os.O_WRONLY | os.O_CLOEXEC)
        os.write(fd, lines.encode("ascii"))
        os.close(fd)


def _unshare(flag: int) -> None:
    if _libc.unshare(flag):
        raise _error("unshare")


def _mount(source: str | None, target: str, flags: int) -> None:
    if _libc.mount(None if source is None else os.fsencode(source), os.fsencode(target), None, flags, None):
        raise _error(f"mount at {target}")


def _error(call: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), call)
