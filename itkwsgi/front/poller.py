"""Watches the pools' sockets: one epoll of our own, which the loop watches as a single descriptor.

The loop's add_reader costs about ten system calls for a socket that lives for one request; an epoll needs one, and none
to forget a socket that is closed (epoll(7), Q6).  It also tells when the other end has closed already (EPOLLHUP), which
spares the last read.
"""

from __future__ import annotations

import select
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

READ = select.EPOLLIN
WRITE = select.EPOLLOUT
HANGUP = select.EPOLLHUP
# Per turn of the loop, so that clients get theirs.
MOST_EVENTS = 64


class Poller:
    """Calls back with the events of a descriptor, level-triggered; READ covers its end, and HANGUP comes unasked."""

    __slots__ = ("_callbacks", "_epoll", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callable[[int], None]] = {}
        loop.add_reader(self._epoll.fileno(), self._dispatch)

    def add(self, fd: int, events: int, callback: Callable[[int], None]) -> None:
        """Watch a descriptor."""
        self._epoll.register(fd, events)
        self._callbacks[fd] = callback

    def change(self, fd: int, events: int) -> None:
        """Watch for other events from now on."""
        self._epoll.modify(fd, events)

    def remove(self, fd: int) -> None:
        """Watch it no longer."""
        self._epoll.unregister(fd)
        del self._callbacks[fd]

    def forget(self, fd: int) -> None:
        """The same for a descriptor that is closed right after; it has no copy."""
        del self._callbacks[fd]

    def _dispatch(self) -> None:
        for fd, events in self._epoll.poll(0, MOST_EVENTS):
            # A callback before it may have closed this one, and even opened another of the same number: that one then
            # finds nothing to read, which sockets that do not block bear.
            callback = self._callbacks.get(fd)
            if callback is not None:
                callback(events)

    def close(self) -> None:
        """Watch nothing any more."""
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()
