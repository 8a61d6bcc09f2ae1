"""How slow a client may be, sending a body and taking an answer.  Pure: the time, in seconds, is passed in."""

from __future__ import annotations

# A client that takes no byte for so long is cut off; and how often that is looked at.
SEND_SECONDS = 60.0
SEND_CHECK_SECONDS = 5.0


class BodyPace:
    """body_timeout between bytes, and body_min_rate on the whole once that time is over (mod_reqtimeout's MinRate)."""

    __slots__ = ("_began", "_rate", "_size", "_timeout")

    def __init__(self, now: float, timeout: float, rate: float) -> None:
        self._began = now
        self._timeout = timeout
        self._rate = rate
        self._size = 0

    def deadline(self, now: float, size: int) -> float:
        """``size`` more bytes came: when the next ones are overdue."""
        self._size += size
        if not self._rate:
            return now + self._timeout
        return min(now, self._began + self._size / self._rate) + self._timeout


class Taking:
    """Whether a client takes what was written for it."""

    __slots__ = ("_moved_at", "_taken", "written")

    def __init__(self, now: float) -> None:
        self.written = 0
        self._taken = 0
        self._moved_at = now

    def is_stuck(self, now: float, unsent: int) -> bool:
        """``unsent`` bytes of those written are still here: has none been taken for `SEND_SECONDS`?"""
        taken = self.written - unsent
        if taken != self._taken:
            self._taken = taken
            self._moved_at = now
        return now - self._moved_at >= SEND_SECONDS
