"""The pools as a front knows them: how to reach one, and how to be rid of it.

A child could send descriptors along with, or instead of, an answer, and to take one of them can hold this process for
as long as its sender likes (see `linux.fds`).  Where the kernel does not refuse them for us, such a connection is never
read and never closed again, and its site, with all its parts, is not asked any more: nobody but an attacker does that.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from itkwsgi.linux import fds

if TYPE_CHECKING:
    from collections.abc import Callable

    from itkwsgi.front.admission import Admission
    from itkwsgi.front.poller import Poller
    from itkwsgi.front.settings import Site
    from itkwsgi.front.waker import Waker

_SOCKET_TYPE = socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC


class Pools:
    """What all exchanges share.  ``path`` gives the socket of a site's pool; the process's directory is that of the
    pools."""

    __slots__ = ("admission", "banned", "ended", "kept", "path", "poller", "refuses", "waker")

    def __init__(self, poller: Poller, admission: Admission, waker: Waker, path: Callable[[int], str]) -> None:
        self.poller = poller
        self.admission = admission
        self.waker = waker
        self.path = path
        self.refuses = kernel_refuses_descriptors()
        self.banned: set[int] = set()  # sites that sent some
        self.ended: set[int] = set()  # and which of their pools did
        self.kept: list[socket.socket] = []  # and the sockets these are in

    def connect(self, site: int) -> socket.socket:
        """A non-blocking connection to a site's pool.  Raises OSError."""
        sock = socket.socket(socket.AF_UNIX, _SOCKET_TYPE)
        try:
            if self.refuses:
                fds.refuse_descriptors(sock)
            else:  # poll(2) shows a byte out of band, a look at what is next does not: it would be looked for for ever
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
            sock.connect(self.path(site))
        except OSError:
            sock.close()
            raise
        return sock

    def receive(self, sock: socket.socket, size: int) -> bytes | None:
        """As recv(2); None when there are descriptors among what is next.  Raises OSError."""
        return sock.recv(size) if self.refuses else fds.receive_bare(sock, size)

    def hang_up(self, sock: socket.socket, site: Site, *, watched: bool) -> None:
        """The end of a connection, and of the slot it held."""
        fd = sock.fileno()
        closed = self._close(sock)
        if watched and closed:
            self.poller.forget(fd)
        elif watched:
            self.poller.remove(fd)
        if not closed:
            self._ban(site, sock)
        self.admission.leave(site)

    def _close(self, sock: socket.socket) -> bool:
        if not self.refuses:
            return fds.hang_up(sock)
        sock.close()
        return True

    def _ban(self, site: Site, sock: socket.socket) -> None:
        self.kept.append(sock)
        self.banned.add(site.owner)
        if site.index not in self.ended:
            self.ended.add(site.index)
            self.waker.end(site.index)


def kernel_refuses_descriptors() -> bool:
    """Ask it (Linux 6.16)."""
    with socket.socket(socket.AF_UNIX) as sock:
        return fds.refuse_descriptors(sock)
