"""How fast a pipe is read: a token bucket, with the clock passed in.  Pure.

A read is paid for after it was made, since only then is its size known, so the bucket may be in debt for a while: what
counts is the mean.  Who writes faster meets a full pipe and waits in its own write(2).
"""

from __future__ import annotations


class TokenBucket:
    """``rate`` bytes per second on the average, ``burst`` bytes at once after a quiet time."""

    __slots__ = ("_filled_at", "_tokens", "burst", "rate")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self.rate = rate
        self.burst = burst
        self._tokens = burst
        self._filled_at = now

    def take(self, size: int, now: float) -> None:
        """Pay for so many bytes."""
        self._tokens = min(self.burst, self._tokens + (now - self._filled_at) * self.rate) - size
        self._filled_at = now

    def pause(self, now: float) -> float:
        """Seconds until the next read; 0.0 when it may be now.

        In debt it waits until a quarter of the burst is there again, so that a fast writer is read in few large pieces.
        """
        tokens = self._tokens + (now - self._filled_at) * self.rate
        return 0.0 if tokens > 0 else (self.burst / 4 - tokens) / self.rate
