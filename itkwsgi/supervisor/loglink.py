"""What the log role is told: which pipe is whose.  Kept here too, so that a log that died is replaced without a lost
pipe.

Each pipe's reading end stays open in the supervisor, which never reads it: while the log is away the lines wait in the
pipes, and a site that writes on meets a full pipe, not a broken one.  Orders that do not fit into the channel (a log
that was just started has read nothing yet, and a socket holds some 280 of them) are kept and sent a little later.

Our own roles write into pipes, sites into unix stream sockets.  For whoever writes into a pipe holds its lock while the
kernel copies what is written, and that can take for ever, out of a file that is mapped from a dead server's disk; until
then nobody can read that pipe or close its last reading end, not even without waiting, not even by SIGKILL.  A socket
copies first and locks then.  What a site can notice:

* As with a pipe: it waits while its log is slow or away; SIGPIPE and EPIPE when there is none any more (ECONNRESET for
  whoever waits at that moment); a write of up to PIPE_BUF, and some more, is in one piece.
* /dev/stderr and /proc/self/fd/2 cannot be opened by name: ENXIO (systemd's journal is a socket, too).  With the pipe
  that was EACCES, for it was root's, so that nothing is lost; ``>&2`` is the way.
* Its end is one for the whole pool: who shuts it down, or has it not wait, does that to its own site alone.

What a site can do to us: send descriptors, which wait in the queue and are closed with it, however long that takes.
The kernel refuses them since 6.16; before that, see `Unguarded`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections import deque
from typing import TYPE_CHECKING

from itkwsgi.linux import fds
from itkwsgi.wire.control import encode_log_order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

PIPE_FLAGS = os.O_CLOEXEC
# Doubled by the kernel, and each write costs some 700 bytes more than it is long: 550 lines, where a pipe has room for
# 64 kB.  It is net.core.wmem_max by default, what a site could have by itself.
SEND_BUFFER = 212992

FULL = frozenset((errno.EAGAIN, errno.ENOBUFS, errno.ETOOMANYREFS))  # sendmsg(2), unix(7): what passes by itself
AGAIN_SECONDS = 0.02
LONGEST_SILENCE = 10.0  # seconds in which a log reads nothing
LOOK_SECONDS = 1.0


class LogLink:
    """The supervisor's end of the log.  ``after(seconds, callback)`` calls back once."""

    def __init__(self, after: Callable[[float, Callable[[], None]], None]) -> None:
        self.after = after
        self.channel: socket.socket | None = None
        self.sources: dict[str, tuple[dict[str, object], tuple[int, ...]]] = {}
        self.unsent: deque[tuple[dict[str, object], tuple[int, ...]]] = deque()  # with copies of the descriptors
        self.silence = 0.0
        self.unguarded = Unguarded(after)

    def connect(self, channel: socket.socket) -> None:
        """A log was started: tell it everything."""
        self.forget_unsent()
        self.unguarded.give_up()
        channel.setblocking(False)
        self.channel = channel
        for order, descriptors in self.sources.values():
            self.send(order, descriptors)

    def add(self, key: str, order: dict[str, object], descriptors: Sequence[int]) -> None:
        """Hand over descriptors, which belong to the link from here on."""
        self.remove(key)
        self.sources[key] = (order, tuple(descriptors))
        self.send(order, descriptors)

    def remove(self, key: str, farewell: dict[str, object] | None = None) -> None:
        """Forget them; the log reads its own copies to their end."""
        known = self.sources.pop(key, None)
        if known is None:
            return
        for fd in known[1]:
            self.unguarded.close(fd)
        if farewell is not None:
            self.send(farewell, ())

    def reopen(self, key: str, order: dict[str, object], files: Sequence[int]) -> None:
        """Other files for a source that keeps its pipe: after a rotation."""
        first, (pipe, *old) = self.sources[key]
        for fd in old:
            os.close(fd)
        self.sources[key] = (first, (pipe, *files))
        self.send(order, files)

    def pipe(self, key: str, order: dict[str, object], more: Sequence[int] = ()) -> int:
        """Make a pipe whose lines the log writes as ``order`` says; returns the writing end.  Raises OSError."""
        with closed_unless_handed_over(more):
            reader, writer = os.pipe2(PIPE_FLAGS)
        self.add(key, order, (reader, *more))
        return writer

    def stream(self, key: str, order: dict[str, object], more: Sequence[int] = ()) -> int:
        """The same for a site: a stream socket, which can only be written to; /dev/null for one that is cut off."""
        with closed_unless_handed_over(more):
            ours, theirs, guarded = stream_ends()
        end = ours.detach()
        if not guarded:
            self.unguarded.watch(end, key)
        self.add(key, order, (end, *more))
        if not self.is_cut_off(key):
            return theirs.detach()
        theirs.close()
        return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)

    def is_cut_off(self, key: str) -> bool:
        """Whether that site sent descriptors and the kernel let it: it is to have no log any more."""
        return key in self.unguarded.kept

    def send(self, order: dict[str, object], descriptors: Sequence[int]) -> None:
        """Send one order.  A log that is gone or does not read is replaced by whoever watches it."""
        if self.unsent or not self.is_sent(order, descriptors):
            self.unsent.append((order, tuple(os.dup(fd) for fd in descriptors)))
            if len(self.unsent) == 1:
                self.silence = 0.0
                self.after(AGAIN_SECONDS, self.send_more)

    def send_more(self) -> None:
        """Send what was kept."""
        while self.unsent:
            if not self.is_sent(*self.unsent[0]):
                self.silence += AGAIN_SECONDS
                if self.silence < LONGEST_SILENCE:
                    self.after(AGAIN_SECONDS, self.send_more)
                else:
                    self.close()
                return
            self.silence = 0.0
            self.forget_first()

    def is_sent(self, order: dict[str, object], descriptors: Sequence[int]) -> bool:
        """Try to send; False when it does not fit now.  To a log that is gone there is nothing to be sent."""
        if self.channel is None:
            return True
        try:
            fds.send_message(self.channel, encode_log_order(order), descriptors)
        except OSError as error:
            if error.errno in FULL:
                return False
            self.close()  # it is gone, or whoever watches it saw that first and closed it
        return True

    def forget_unsent(self) -> None:
        while self.unsent:
            self.forget_first()

    def forget_first(self) -> None:
        if self.unsent:
            for fd in self.unsent.popleft()[1]:
                os.close(fd)

    def close(self) -> None:
        """Let the log drain its pipes and end.  Who watches the channel sees that, forgets it and closes it."""
        self.forget_unsent()
        channel, self.channel = self.channel, None
        if channel is not None and channel.fileno() >= 0:
            channel.shutdown(socket.SHUT_RDWR)


class Unguarded:
    """Our ends of sites' logs before Linux 6.16: there may be descriptors in their queues, which are closed with them.

    So none is closed before nothing is in it and nobody can send any more.  The log reads it until then, and here it is
    looked at now and then.  One in which there are descriptors is kept open for good, here as in the log, and its site
    is cut off: of a site there are not more of them than it had pools at that time.
    """

    def __init__(self, after: Callable[[float, Callable[[], None]], None]) -> None:
        self.after = after
        self.ends: dict[int, str] = {}  # that are in use: whose
        self.leaving: list[tuple[str, socket.socket]] = []
        self.kept: dict[str, list[socket.socket]] = {}

    def watch(self, end: int, key: str) -> None:
        self.ends[end] = key

    def close(self, fd: int) -> None:
        """Close any descriptor; one of those, in time."""
        key = self.ends.pop(fd, None)
        if key is None:
            os.close(fd)
            return
        self.leaving.append((key, socket.socket(fileno=fd)))
        if len(self.leaving) == 1:
            self.look()

    def look(self) -> None:
        """Let go what can be let go.  The log may read at the same time: nothing is taken here."""
        self.leaving = [(key, end) for key, end in self.leaving if not self.is_settled(key, end)]
        if self.leaving:
            self.after(LOOK_SECONDS, self.look)

    def is_settled(self, key: str, end: socket.socket) -> bool:
        try:
            data = fds.look_bare(end, 1)
        except BlockingIOError:
            return False  # somebody may still write
        except OSError:
            data = b""
        if data is None:
            self.keep(key, end)
        elif not data:
            end.close()
        return not data

    def give_up(self) -> None:
        """Nobody reads them any more: the log that did is gone."""
        leaving, self.leaving = self.leaving, []
        for key, end in leaving:
            if not fds.hang_up(end):
                self.keep(key, end)

    def keep(self, key: str, end: socket.socket) -> None:
        self.kept.setdefault(key, []).append(end)


def stream_ends() -> tuple[socket.socket, socket.socket, bool]:
    """Our end, the site's, and whether the kernel refuses descriptors for us.  Raises OSError."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        guarded = fds.refuse_descriptors(ours)
        # Out of band data is data: else it would be in the way of a reader that has no use for it.
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
        ours.setblocking(False)
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        theirs.shutdown(socket.SHUT_RD)
    except OSError:
        ours.close()
        theirs.close()
        raise
    return ours, theirs, guarded


@contextlib.contextmanager
def closed_unless_handed_over(descriptors: Sequence[int]) -> Iterator[None]:
    """When the block fails nobody has them."""
    try:
        yield
    except OSError:
        for fd in descriptors:
            os.close(fd)
        raise
