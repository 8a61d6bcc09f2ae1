"""What the supervisor says: to the error log while it serves; to the operator before that, and at the very end.

It never waits for a reader, and no reader that is gone can end it: who does not read loses lines, which are counted.
"""

from __future__ import annotations

import os
import select

OPERATOR = 2
# A pipe that poll(2) calls writable takes this much without blocking (pipe(7), PIPE_BUF).
SURE = select.PIPE_BUF


class Notes:
    """Single lines.  ``log`` is the writing end of a pipe, non-blocking, once there is one."""

    def __init__(self) -> None:
        self.log: int | None = None
        self.lost = 0

    def say(self, text: str) -> None:
        """A line in the server's error log; to the operator as long as there is none."""
        if self.log is None:
            tell_operator(f"itkwsgi: {text}")
            return
        if self.lost:
            text = f"{text} ({self.lost} notes before this one were lost: the log was full)"
        try:
            os.write(self.log, text.encode(errors="backslashreplace")[: SURE - 1] + b"\n")
            self.lost = 0
        except OSError:
            self.lost += 1


def tell_operator(text: str) -> None:
    """A line on stderr, or as much of it as goes there without waiting."""
    rest = f"{text}\n".encode(errors="backslashreplace")
    poll = select.poll()
    poll.register(OPERATOR, select.POLLOUT)
    try:
        while rest and any(events & select.POLLOUT for _, events in poll.poll(0)):
            rest = rest[os.write(OPERATOR, rest[:SURE]) :]
    except OSError:
        return
