"""The pipes that lines come from; a site's is a unix stream socket (`supervisor.loglink` says why).

One read(2) at a time, so that nobody who writes much keeps the others waiting.  A pipe over its rate is not read for a
while.  A line without an end is given out after `FLUSH_SECONDS`, unless it comes from a front, whose lines are whole.
Times are as time.monotonic gives them.

A socket may bring descriptors.  Where the kernel does not refuse them they are left in its queue, and it is read no
further: read(2) would close them, which may take as long as their sender likes.
"""

from __future__ import annotations

import os
import socket

from itkwsgi.errors import Bug
from itkwsgi.linux import fds
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
# What is left at the end is at most what a pipe holds: 1 MiB (pipe(7), pipe-max-size); a socket holds less, unless the
# operator raised net.core.wmem_max.
DRAIN_READS = 1024 * 1024 // READ_BYTES


class Source:
    """A pipe's reading end, or a socket that brings no descriptors.  The descriptor is this object's.

    ``deliver`` takes complete lines and says how many bytes they made; they are paid for as what was read or what was
    written, whichever is more, since a pipe full of line feeds makes a log of fifty times that size.
    ``farewell`` is called when it is closed, ``slowed`` when it begins to be read at its rate instead of its writer's.
    ``paused_until``: not to be read before; ``ended``: nobody writes any more.
    """

    __slots__ = ("_bucket", "_deliver", "_farewell", "_flush_at", "_splitter", "ended", "fd", "paused_until", "slowed")

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
        self.slowed: Callable[[], None] | None = None
        self._deliver = deliver
        self._farewell = farewell
        self._splitter = LineSplitter(longest)
        self._bucket = bucket
        self._flush_at: float | None = None

    def fileno(self) -> int:
        """For selectors."""
        return self.fd

    def read(self, now: float) -> bool:
        """Read once and deliver; False when nothing was there.

        A pipe that cannot be read (a file that its writer put in by splice(2) has gone bad) is that writer's loss.
        """
        try:
            data = self._take()
        except BlockingIOError:
            return False
        except OSError:
            data = b""
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

    def _take(self) -> bytes:
        return os.read(self.fd, READ_BYTES)

    def _give(self, lines: list[bytes]) -> int:
        return self._deliver(lines) if lines else 0

    def _pay(self, size: int, now: float) -> None:
        if self._bucket is None:
            return
        self._bucket.take(size, now)
        pause = self._bucket.pause(now)
        if pause:
            self.paused_until = now + pause
            if self.slowed is not None:
                self.slowed()

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
        self._hang_up()
        if self._farewell is not None:
            self._farewell()

    def _hang_up(self) -> None:
        os.close(self.fd)


class BareSource(Source):
    """A socket into which the kernel lets descriptors.  ``give_up`` is called when there are any: it is at its end."""

    __slots__ = ("_give_up", "_sock")

    def __init__(
        self,
        sock: socket.socket,
        deliver: Callable[[list[bytes]], int],
        bucket: TokenBucket,
        farewell: Callable[[], None],
        give_up: Callable[[], None],
    ) -> None:
        super().__init__(sock.fileno(), deliver, LONGEST_LINE, bucket, farewell)
        self._sock = sock
        self._give_up = give_up

    def _take(self) -> bytes:
        data = fds.receive_bare(self._sock, READ_BYTES)
        if data is None:
            self._give_up()
        return data or b""

    def _hang_up(self) -> None:
        if not fds.hang_up(self._sock):
            self._sock.detach()  # open as long as this process is: the supervisor sees to it that these are few


def line_source(fd: int, deliver: Callable[[list[bytes]], int], now: float) -> Source:
    """A pipe for error lines: short lines, a limited rate."""
    return Source(fd, deliver, LONGEST_LINE, TokenBucket(RATE, BURST, now))


def site_source(
    fd: int,
    deliver: Callable[[list[bytes]], int],
    now: float,
    farewell: Callable[[], None],
    give_up: Callable[[], None],
) -> Source:
    """A site's socket, for error lines.  Takes the descriptor; raises `Bug` when it is none."""
    try:
        sock = socket.socket(fileno=fd)
    except OSError as error:
        raise Bug(f"a site's log that is no socket: {error}") from error
    bucket = TokenBucket(RATE, BURST, now)
    if fds.refuses_descriptors(sock):
        return Source(sock.detach(), deliver, LONGEST_LINE, bucket, farewell)
    return BareSource(sock, deliver, bucket, farewell, give_up)


def access_source(fd: int, deliver: Callable[[list[bytes]], int]) -> Source:
    """A front's pipe.  Its rate is the visitors'; what does not fit the front drops."""
    return Source(fd, deliver, LONGEST_ACCESS_LINE, None)
