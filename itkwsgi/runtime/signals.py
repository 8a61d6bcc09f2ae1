"""Signals as the site finds them, and children that ended by one."""

from __future__ import annotations

import _signal
import os

SIGPROF: int = _signal.SIGPROF  # type: ignore[attr-defined]
SIGXCPU: int = _signal.SIGXCPU  # type: ignore[attr-defined]
# As Python has them in a plain script: an exception for INT, an error instead of PIPE and XFSZ.
KEPT_SIGNALS = frozenset((_signal.SIGINT, _signal.SIGPIPE, _signal.SIGXFSZ))


def default_signals() -> None:
    """A request finds every signal as a plain script does, whatever the import did to them."""
    for number in _signal.valid_signals():
        if number not in KEPT_SIGNALS and _signal.getsignal(number) not in (_signal.SIG_DFL, None):
            _signal.signal(number, _signal.SIG_DFL)


def signal_name(number: int) -> str:
    """As in ``kill -l``; most of the real-time ones have no name in Python."""
    import signal  # only here: its enums would be copied into every child

    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def next_ended_child() -> os.waitid_result | None:
    """Reap one ended child and kill the rest of its process group first, while its pid cannot be anybody else's."""
    try:
        child = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    if child is None:
        return None
    kill_group(child.si_pid)
    os.waitpid(child.si_pid, 0)
    return child


def kill_group(pid: int) -> None:
    """Kill what is left of a child's process group; none, or only what changed its user, is no error."""
    try:
        os.killpg(pid, _signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
