"""How slow a client may be, sending a body and taking an answer.  Pure: the time, in seconds, is passed in."""

from __future__ import annotations

# A client that takes no byte for so long is cut off; and how often that is looked at.
SEND_SECONDS = 60.0
SEND_CHECK_SECONDS = 5.0
FOREVER = float("inf")


class BodyPace:
    """body_timeout between bytes, and body_min_rate on the whole once that time is over (mod_reqtimeout's MinRate).

    ``most``: max_input_time, for all of it; None or 0 for any time.
    """

    __slots__ = ("_began", "_end", "_rate", "_size", "_timeout", "most")

    def __init__(self, now: float, timeout: float, rate: float, most: float | None = None) -> None:
        self._began = now
        self._timeout = timeout
        self._rate = rate
        self._size = 0
        self.most = most or FOREVER
        self._end = now + self.most

    def deadline(self, now: float, size: int) -> float:
        """``size`` more bytes came: when the next ones are overdue."""
        self._size += size
        if not self._rate:
            return min(now + self._timeout, self._end)
        return min(min(now, self._began + self._size / self._rate) + self._timeout, self._end)

    def is_over(self, now: float) -> bool:
        """Is it the time for all of it that is over?"""
        return now >= self._end


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
