"""What the log role is told: which pipe is whose.  Kept here too, so that a log that died is replaced without a lost
pipe.

Each pipe's reading end stays open in the supervisor, which never reads it: while the log is away the lines wait in the
pipes, and a site that writes on meets a full pipe, not a broken one.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from itkwsgi.linux import fds
from itkwsgi.wire.control import encode_log_order

if TYPE_CHECKING:
    from collections.abc import Sequence

PIPE_FLAGS = os.O_CLOEXEC


class LogLink:
    """The supervisor's end of the log."""

    def __init__(self) -> None:
        self.channel: socket.socket | None = None
        self.sources: dict[str, tuple[dict[str, object], tuple[int, ...]]] = {}

    def connect(self, channel: socket.socket) -> None:
        """A log was started: tell it everything."""
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
        """Make a pipe whose lines the log writes as ``order`` says; returns the writing end."""
        reader, writer = os.pipe2(PIPE_FLAGS)
        self.add(key, order, (reader, *more))
        return writer

    def send(self, order: dict[str, object], descriptors: Sequence[int]) -> None:
        """Send one order.  A log that is gone or does not read is replaced by whoever watches it."""
        if self.channel is None:
            return
        try:
            fds.send_message(self.channel, encode_log_order(order), descriptors)
        except (BrokenPipeError, ConnectionResetError, BlockingIOError):
            self.channel.close()
            self.channel = None

    def close(self) -> None:
        """Let the log drain its pipes and end."""
        if self.channel is not None:
            self.channel.close()
            self.channel = None
