"""Processes that lost their parent and came to us, a subreaper: they are ended, and nothing is left when we end.

Rules: only a pid that is our own unreaped child is ever signalled, for no other process can have that number; a process
that is dead is reaped at once and never waited for; one that hangs in the kernel (state D) is reported and left.
Killing makes new orphans, the killed one's children, so the list is read until it stays empty.
Sources: PR_SET_CHILD_SUBREAPER in prctl(2), waitpid(2).  The caller is the only one who reaps.
"""

from __future__ import annotations

import _signal
import os
import time

from itkwsgi.linux import process_status

LONGEST_END = 10.0  # seconds
HANGS_AFTER = 0.5  # seconds in state D, after SIGKILL, until it is taken for hanging
_PAUSE = 0.002  # seconds between two looks


def kill_unknown_children(known: set[int]) -> list[int]:
    """Kill each child that is not known, without waiting.  Those it found alive are returned, for the log.

    To be called whenever SIGCHLD came: a child seen alive once is a zombie to be reaped, or still there, the next time.
    Raises `OSError` when the children cannot be listed (no memory, no file left on the whole machine, which is in any
    user's power): to be called again in a moment.
    """
    return [pid for pid in process_status.children_of(os.getpid()) if pid not in known and _kill(pid)]


def end_all_children(longest: float = LONGEST_END) -> list[int]:
    """Kill every descendant and reap them all, within so many seconds.

    Returns the children that are still there, hanging in the kernel.  Raises `OSError` when they cannot be listed, for
    all that time.
    """
    deadline = time.monotonic() + longest
    hanging_since: dict[int, float] = {}
    seen: set[int] = set()
    while True:
        try:
            left = [pid for pid in process_status.children_of(os.getpid()) if _kill(pid)]
        except OSError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_PAUSE)
            continue
        if not left and _none_left():
            return []
        now = time.monotonic()
        hanging_since = {pid: hanging_since.get(pid, now) for pid in left if _hangs(pid)}
        all_hang = bool(left) and all(now - hanging_since.get(pid, now) >= HANGS_AFTER for pid in left)
        if all_hang or now >= deadline:
            return left or process_status.children_of(os.getpid())
        if seen.issuperset(left):
            time.sleep(_PAUSE)  # not before: one that forks and exits all the time is only caught by being as quick
        seen.update(left)


def _kill(pid: int) -> bool:
    """Send SIGKILL to a child.  Whether there was something to kill: a dead child is reaped instead."""
    if _reaped(pid):
        return False
    try:
        os.kill(pid, _signal.SIGKILL)
    except PermissionError:
        return True  # an ordinary user's child that runs a setuid program: it stays on the list
    except ProcessLookupError:
        return False
    _reaped(pid)
    return True


def _reaped(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True  # no child of ours (any more)


def _none_left() -> bool:
    """The list of children may miss some while others exit; that there are none is waitpid's word."""
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return True
    return False


def _hangs(pid: int) -> bool:
    try:
        return process_status.read(pid).state == process_status.DISK_SLEEP
    except (FileNotFoundError, ProcessLookupError):
        return False
