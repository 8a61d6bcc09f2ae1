"""What the log role is told: which pipe is whose.  Kept here too, so that a log that died is replaced without a lost
pipe.

Each pipe's reading end stays open in the supervisor, which never reads it: while the log is away the lines wait in the
pipes, and a site that writes on meets a full pipe, not a broken one.  Orders that do not fit into the channel (a log
that was just started has read nothing yet, and a socket holds some 280 of them) are kept and sent a little later.
"""

from __future__ import annotations

import errno
import os
import socket
from collections import deque
from typing import TYPE_CHECKING

from itkwsgi.linux import fds
from itkwsgi.wire.control import encode_log_order

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PIPE_FLAGS = os.O_CLOEXEC

FULL = frozenset((errno.EAGAIN, errno.ENOBUFS, errno.ETOOMANYREFS))  # sendmsg(2), unix(7): what passes by itself
AGAIN_SECONDS = 0.02
LONGEST_SILENCE = 10.0  # seconds in which a log reads nothing


class LogLink:
    """The supervisor's end of the log.  ``after(seconds, callback)`` calls back once."""

    def __init__(self, after: Callable[[float, Callable[[], None]], None]) -> None:
        self.after = after
        self.channel: socket.socket | None = None
        self.sources: dict[str, tuple[dict[str, object], tuple[int, ...]]] = {}
        self.unsent: deque[tuple[dict[str, object], tuple[int, ...]]] = deque()  # with copies of the descriptors
        self.silence = 0.0

    def connect(self, channel: socket.socket) -> None:
        """A log was started: tell it everything."""
        self.forget_unsent()
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
            os.close(fd)
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
        try:
            reader, writer = os.pipe2(PIPE_FLAGS)
        except OSError:
            for fd in more:
                os.close(fd)
            raise
        self.add(key, order, (reader, *more))
        return writer

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
