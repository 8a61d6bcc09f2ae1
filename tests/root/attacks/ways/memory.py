"""What this process knows that it must not: its environment, modules, objects and memory are a copy of its zygote's.

What is looked for stands in ``targets`` backwards, so that a search does not find itself.
"""

from __future__ import annotations

import gc
import os
import sys

from tests.root.attacks.attempt import Way, refuse

ALLOWED_VARIABLES = {
    "HOME", "USER", "LOGNAME", "SHELL", "PATH", "LANG", "PWD", "TMPDIR", "TARGETS", "WHEN",
    "LC_CTYPE", "TZ",
}  # fmt: skip
OURS_IN_SITES = ("itkwsgi.linux", "itkwsgi.wire", "itkwsgi.runtime", "itkwsgi.zygote", "itkwsgi.errors", "itkwsgi.ini")
THE_SERVERS = ("werkzeug", "prctl", "_prctl", "uvloop", "click", "toml", "markupsafe", "rich", "coverage", "pytest")
SERVER_ONLY = ("itkwsgi.linux.launch", "itkwsgi.linux.by_prctl")


def environment(targets):
    return sorted(set(os.environ) - ALLOWED_VARIABLES) or refuse()


def environment_at_exec(targets):
    """What the process was started with stays at the top of its stack, whatever os.environ says."""
    with open("/proc/self/environ", "rb") as file:
        found = file.read().strip(b"\0")
    return found or refuse()


def modules(targets):
    """Of the server's packages, and of its parts that do not run in sites."""
    foreign = [
        name
        for name in sys.modules
        if name.partition(".")[0] in THE_SERVERS
        or (name.startswith("itkwsgi.") and not name.startswith(OURS_IN_SITES))
        or name in SERVER_ONLY
    ]
    return foreign or refuse()


def search_path(targets):
    return [path for path in sys.path if path.startswith(targets["server's packages"])] or refuse()


def objects(targets):
    """Every text that the collector can lead to, read backwards; a zygote has frozen what it had before its forks."""
    gc.unfreeze()
    found = 0
    for each in gc.get_objects():
        if each is not targets and each is not targets["backwards"]:
            found += sum(word in text for text in texts(each) for word in targets["backwards"])
    return f"{found} times" if found else refuse()


def texts(each):
    """Those right below it, backwards; a table of nothing but texts is one that the collector does not keep."""
    for held in gc.get_referents(each):
        if type(held) is bytes and len(held) < 1000:
            yield held[::-1].decode("latin-1")
        elif type(held) is str and len(held) < 1000:
            yield held[::-1]
        elif type(held) in (dict, tuple) and not gc.is_tracked(held):
            yield from texts(held)


def pages(pid):
    """The writable memory of a process that may be read."""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            place, permitted = line.split()[:2]
            if not permitted.startswith("rw") or "[v" in line:
                continue
            start, end = (int(number, 16) for number in place.split("-"))
            try:
                memory.seek(start)
                yield memory.read(end - start)
            except (OSError, ValueError):
                continue


def searching(pid):
    """Looks for each word by its halves: put together it stands nowhere."""

    def way(targets):
        halves = [(word[10:][::-1].encode(), word[:10][::-1].encode()) for word in targets["backwards"]]
        found = [at for data in pages(pid()) for head, tail in halves if (at := place(data, head, tail)) >= 0]
        return f"{len(found)} times" if found else refuse()

    return way


def place(data, head, tail):
    at = data.find(head)
    while at >= 0:
        if data[at + len(head) : at + len(head) + len(tail)] == tail:
            return at
        at = data.find(head, at + 1)
    return -1


OBSERVED = "an observation of this very process"
WAYS = {
    "the server's environment": Way(environment, control="", why=OBSERVED),
    "the environment it was started with": Way(environment_at_exec, control="", why=OBSERVED),
    "the server's modules": Way(modules, control="", why=OBSERVED),
    "the server's search path": Way(search_path, control="", why=OBSERVED),
    "objects of the server or of others": Way(objects, control="", why="see test_attacks: a site finds its own"),
    "memory of the server or of others": Way(searching(lambda: "self"), control="", why="as above"),
}
