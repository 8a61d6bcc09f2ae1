"""The control channel (fd 3): asks the supervisor to wake and end pools, hears when they are awake, and when to stop.

However many requests wait for a site, one message asks for it; who waits gets a callback.  Only a message's kind, an
index and the table's generation pass here.  When the channel is at its end the supervisor is gone, and so must this
front be.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol

from itkwsgi.wire import control

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Callable


class Sleeper(Protocol):
    """Who waits for a pool."""

    def pool_is_awake(self) -> None:
        """Its socket may be connected to now."""

    def pool_is_refused(self, *, later: bool) -> None:
        """The supervisor could not start it; ``later``: it has not tried, but may another time."""


class Waker:
    """One front's end of the channel.

    ``on_stop`` is called when the supervisor wants this front to drain, ``on_orphaned`` when it is gone.
    """

    __slots__ = ("_channel", "_generation", "_loop", "_on_orphaned", "_on_stop", "_outgoing", "_waiting")

    def __init__(
        self,
        channel: socket.socket,
        loop: asyncio.AbstractEventLoop,
        generation: int,
        *,
        on_stop: Callable[[], None],
        on_orphaned: Callable[[], None],
    ) -> None:
        channel.setblocking(False)
        self._channel = channel
        self._loop = loop
        self._generation = generation
        self._on_stop = on_stop
        self._on_orphaned = on_orphaned
        self._outgoing: deque[bytes] = deque()
        self._waiting: dict[int, dict[Sleeper, None]] = {}
        loop.add_reader(channel, self._hear)

    def ready(self) -> None:
        """Tell the supervisor that this front accepts connections."""
        self._say(control.READY)

    def wait(self, index: int, sleeper: Sleeper) -> None:
        """Call this one back when that site's pool is awake or cannot be had; asks for it unless it was asked for."""
        if index not in self._waiting:
            self._waiting[index] = {}
            self._say(control.WAKE, index)
        self._waiting[index][sleeper] = None

    def forget(self, index: int, sleeper: Sleeper) -> None:
        """That one waits no longer.  The pool wakes nevertheless, and an answer is still to come."""
        self._waiting.get(index, {}).pop(sleeper, None)

    def end(self, index: int) -> None:
        """Have that site's pool ended, with all that came from it."""
        self._say(control.END, index)

    def _say(self, kind: int, index: int = 0) -> None:
        self._outgoing.append(control.pack(kind, index, self._generation))
        if len(self._outgoing) == 1:
            self._send()

    def _send(self) -> None:
        """Send what waits, in its order; a full channel is tried again when it has room."""
        while self._outgoing:
            try:
                self._channel.send(self._outgoing[0])
            except BlockingIOError:
                self._loop.add_writer(self._channel, self._send_again)
                return
            except OSError:  # the supervisor is gone; `_hear` reads that
                self._outgoing.clear()
                return
            self._outgoing.popleft()

    def _send_again(self) -> None:
        self._loop.remove_writer(self._channel)
        self._send()

    def _hear(self) -> None:
        """One message.  Raises `Bug` for one the supervisor does not send."""
        try:
            data = self._channel.recv(control.FRONT_MESSAGE_SIZE + 1)
        except BlockingIOError:
            return
        except OSError:  # reset: as good as closed
            data = b""
        if not data:
            self._loop.remove_reader(self._channel)
            self._on_orphaned()
            return
        message = control.unpack(data, control.FRONT_MAY_HEAR)
        if message.kind == control.STOP:
            self._on_stop()
        elif message.generation == self._generation:
            self._tell(message.index, message.kind)

    def _tell(self, index: int, kind: int) -> None:
        """All who wait now; one that has to wait again asks anew."""
        for sleeper in self._waiting.pop(index, {}):
            if kind == control.AWAKE:
                sleeper.pool_is_awake()
            else:
                sleeper.pool_is_refused(later=kind == control.LATER)

    def close(self) -> None:
        """Hang up."""
        self._loop.remove_reader(self._channel)
        self._loop.remove_writer(self._channel)
        self._channel.close()
