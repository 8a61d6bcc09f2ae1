"""What the supervisor's loop listens to: sockets with their handlers."""

from __future__ import annotations

import selectors
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable


class Watch:
    """A selector whose handlers may unwatch each other while a round is under way."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()

    def add(self, sock: socket.socket | int, handler: Callable[[], None]) -> None:
        """Call ``handler`` whenever there is something to read (or to accept)."""
        self.selector.register(sock, selectors.EVENT_READ, handler)

    def has(self, sock: socket.socket | int) -> bool:
        return (sock if isinstance(sock, int) else sock.fileno()) >= 0 and sock in self.selector.get_map()

    def forget(self, sock: socket.socket | int) -> None:
        """Watch it no more; one that is not watched or is closed is no error."""
        if self.has(sock):
            self.selector.unregister(sock)

    def wait(self, seconds: float | None) -> list[selectors.SelectorKey]:
        """Wait at most that long; returns what is ready."""
        return [key for key, _ in self.selector.select(seconds)]

    def handle(self, ready: list[selectors.SelectorKey]) -> None:
        """Call the handlers of what is ready."""
        for key in ready:
            if self.selector.get_map().get(key.fd) is key:  # an earlier handler of this round may have closed it
                key.data()
