"""The pool's eye on its children's time: whose request is slow, and whose is over.

A child says on the board when its request counts as slow and when it is over; the pool sleeps until the first of these
times.  Slow: the stacks of its threads go to the log, and it goes on.  Over: the same, and a moment later it is ended
with its process group.  The stacks are written by the child's own C code (faulthandler) on a signal, so it may hang in
whatever it likes but the kernel.  The visitor's 504 is the front's, which has a clock of its own.
"""

from __future__ import annotations

import _signal
import faulthandler
import os

from itkwsgi.runtime.failures import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from itkwsgi.runtime.board import Board

# No program means anything by it, and no terminal sends it.
DUMP_SIGNAL: int = _signal.SIGRTMAX - 3  # type: ignore[attr-defined]
# For the stacks to be written.
DUMP_SECONDS = 0.1
FOREVER = 1e18


def answer_dump_signal() -> None:
    """In the pool, before it forks: on the signal a process writes the stacks of its threads to its log."""
    faulthandler.register(DUMP_SIGNAL, file=2, all_threads=True, chain=False)


class Watch:
    """``at``: when something is due, in monotonic seconds."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self.at = FOREVER
        self.ending: dict[int, float] = {}  # pid -> when it is killed

    def look(self, children: dict[int, int], now: float) -> None:
        """Do what is due.  ``children``: slots by pid."""
        due = FOREVER
        for pid, slot in children.items():
            due = min(due, self.look_at(pid, slot, now))
        for pid in self.ending.keys() - children.keys():
            del self.ending[pid]
        self.at = due
        self.board.watch_again(due)

    def look_at(self, pid: int, slot: int, now: float) -> float:
        """One child; returns when to look again."""
        kill_at = self.ending.get(pid)
        if kill_at is not None:
            if now >= kill_at:
                end_group(pid)
                return FOREVER
            return kill_at
        begun, slow, over = self.board.times(slot)
        if over and now >= over:
            self.say(pid, slot, f"request_timeout {over - begun:g} s", now - begun, "is ended")
            self.ending[pid] = now + DUMP_SECONDS
            return self.ending[pid]
        if slow and now >= slow:
            self.say(pid, slot, f"slow_request {slow - begun:g} s", now - begun, "is slow")
            self.board.expect(slot, begun, 0.0, over)
            slow = 0.0
        return min(time for time in (slow, over, FOREVER) if time)

    def say(self, pid: int, slot: int, what: str, age: float, verdict: str) -> None:
        """One line, and below it the stacks."""
        log(f"{what}: {self.board.read_label(slot)} {verdict} after {age:.1f} s, in process {pid}:")
        signal(pid)


def signal(pid: int) -> None:
    """Ask for the stacks; one that ended has none."""
    try:
        os.kill(pid, DUMP_SIGNAL)
    except (ProcessLookupError, PermissionError):
        return


def end_group(pid: int) -> None:
    """The child and what it started."""
    for end in (os.killpg, os.kill):
        try:
            end(pid, _signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue
