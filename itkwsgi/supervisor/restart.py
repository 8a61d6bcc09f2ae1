"""When to start again what ended by itself: pure, the clock is passed in.

The first end is answered at once; each further one within a minute doubles the pause, up to half a minute, so that what
dies at every start costs next to nothing.
"""

from __future__ import annotations

FIRST_PAUSE = 0.25
LONGEST_PAUSE = 30.0
FORGET_SECONDS = 60.0


class Backoff:
    """The pauses of one process, all times in seconds on a monotonic clock."""

    __slots__ = ("failures", "last")

    def __init__(self) -> None:
        self.failures = 0
        self.last = 0.0

    def failed(self, now: float) -> float:
        """It ended; returns how long to wait before it is started again."""
        if now - self.last > FORGET_SECONDS:
            self.failures = 0
        self.last = now
        self.failures += 1
        if self.failures == 1:
            return 0.0
        return min(FIRST_PAUSE * 2.0 ** (self.failures - 2), LONGEST_PAUSE)
