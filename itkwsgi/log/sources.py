"""The pipes that lines come from.

One read(2) at a time, so that nobody who writes much keeps the others waiting.  A pipe over its rate is not read for a
while.  A line without an end is given out after `FLUSH_SECONDS`, unless it comes from a front, whose lines are whole.
Times are as time.monotonic gives them.
"""

from __future__ import annotations

import os

from itkwsgi.log.lines import LineSplitter
from itkwsgi.log.rate import TokenBucket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

READ_BYTES = 65536
LONGEST_LINE = 8 * 1024
LONGEST_ACCESS_LINE = 64 * 1024
FLUSH_SECONDS = 1.0
RATE = 1024 * 1024  # bytes per second
BURST = 256 * 1024
READ_COST = 256  # a read costs at least so many bytes, or single bytes written fast would keep this process busy
# What is left in a pipe at the end is at most what a pipe holds: 1 MiB (pipe(7), pipe-max-size).
DRAIN_READS = 1024 * 1024 // READ_BYTES


class Source:
    """A pipe's reading end.  The descriptor is this object's.

    ``deliver`` takes complete lines and says how many bytes they made; they are paid for as what was read or what was
    written, whichever is more, since a pipe full of line feeds makes a log of fifty times that size.
    ``farewell`` is called when it is closed.
    ``paused_until``: not to be read before; ``ended``: nobody writes any more.
    """

    __slots__ = ("_bucket", "_deliver", "_farewell", "_flush_at", "_splitter", "ended", "fd", "paused_until")

    def __init__(
        self,
        fd: int,
        deliver: Callable[[list[bytes]], int],
        longest: int,
        bucket: TokenBucket | None,
        farewell: Callable[[], None] | None = None,
    ) -> None:
        os.set_blocking(fd, False)
        self.fd = fd
        self.paused_until: float | None = None
        self.ended = False
        self._deliver = deliver
        self._farewell = farewell
        self._splitter = LineSplitter(longest)
        self._bucket = bucket
        self._flush_at: float | None = None

    def fileno(self) -> int:
        """For selectors."""
        return self.fd

    def read(self, now: float) -> bool:
        """Read once and deliver; False when nothing was there."""
        try:
            data = os.read(self.fd, READ_BYTES)
        except BlockingIOError:
            return False
        if not data:
            self.ended = True
            self._give(self._splitter.flush(ended=True))
            return False
        lines = self._splitter.feed(data)
        written = self._give(lines)
        if not self._splitter.pending:
            self._flush_at = None
        elif lines or self._flush_at is None:
            self._flush_at = now + FLUSH_SECONDS
        self._pay(max(len(data), written, READ_COST), now)
        return True

    def _give(self, lines: list[bytes]) -> int:
        return self._deliver(lines) if lines else 0

    def _pay(self, size: int, now: float) -> None:
        if self._bucket is None:
            return
        self._bucket.take(size, now)
        pause = self._bucket.pause(now)
        if pause:
            self.paused_until = now + pause

    def next_time(self) -> float | None:
        """When `on_time` has something to do.  Fronts have no clock."""
        if self.paused_until is not None or self._bucket is None:
            return self.paused_until
        return self._flush_at

    def on_time(self, now: float) -> None:
        """End the pause that is over; give out the line that waited too long."""
        if self.paused_until is not None:
            if now >= self.paused_until:
                self.paused_until = None
                if self._flush_at is not None:
                    self._flush_at = now + FLUSH_SECONDS  # its rest may be in the pipe
        elif self._flush_at is not None and now >= self._flush_at:
            self._flush_at = None
            self._give(self._splitter.flush(ended=False))

    def drain(self, now: float) -> None:
        """Take what is in the pipe now, and no more; there is no later."""
        for _ in range(DRAIN_READS):
            if not self.read(now):
                break
        self._give(self._splitter.flush(ended=True))

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self.fd)
        if self._farewell is not None:
            self._farewell()


def line_source(
    fd: int, deliver: Callable[[list[bytes]], int], now: float, farewell: Callable[[], None] | None = None
) -> Source:
    """A pipe for error lines: short lines, a limited rate."""
    return Source(fd, deliver, LONGEST_LINE, TokenBucket(RATE, BURST, now), farewell)


def access_source(fd: int, deliver: Callable[[list[bytes]], int]) -> Source:
    """A front's pipe.  Its rate is the visitors'; what does not fit the front drops."""
    return Source(fd, deliver, LONGEST_ACCESS_LINE, None)
