"""A descriptor that takes long to close: what a hostile site sends along with its bytes."""

from __future__ import annotations

import array
import socket
import struct

LONG = 60  # seconds that the connection takes to close


class Bomb:
    """A TCP connection with SO_LINGER, whose peer reads nothing."""

    def __init__(self, seconds: int = LONG) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.sender = socket.create_connection(self.listener.getsockname())
        self.receiver, _ = self.listener.accept()
        self.sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, seconds))
        self.sender.setblocking(False)
        try:
            while True:
                self.sender.send(b"x" * 65536)
        except BlockingIOError:
            return

    def give(self, sock: socket.socket, data: bytes = b"!") -> None:
        """Its last copy is on the way then."""
        rights = array.array("i", [self.sender.fileno()])
        sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        self.sender.close()

    def defuse(self) -> None:
        """Its peer is gone: nothing is waited for."""
        for sock in (self.receiver, self.listener, self.sender):
            sock.close()
