"""Listeners: those of the network, which the fronts accept from, and those of the pools.  Root never accepts."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import stat
from collections.abc import Iterator
from typing import TYPE_CHECKING

from itkwsgi.errors import OperatorError
from itkwsgi.linux.fds import refuse_descriptors
from itkwsgi.supervisor.places import check_parents

if TYPE_CHECKING:
    from itkwsgi.config.model import Listen, PoolSocket

BACKLOG = 511
POOL_BACKLOG = 256


def bind(listen: Listen) -> socket.socket:
    """Open a listener.  Raises `OperatorError` that says what is in the way."""
    try:
        if listen.kind == "unix":
            check_parents(listen.path)
            return bind_unix(listen.path, 0o666)
        return bind_tcp(listen)
    except OSError as error:
        raise OperatorError(f"listen = {listen.text!r}: {error.strerror}: {remedy(error)}") from None


def remedy(error: OSError) -> str:
    """What to do about a listener that cannot be had."""
    if isinstance(error, PermissionError):
        return "ports below 1024 take root"
    return "is another server using it?"


def bind_tcp(listen: Listen) -> socket.socket:
    """A TCP listener; IPv6 ones take IPv6 only, so that both families can be listed."""
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    with closed_on_error(socket.socket(family, socket.SOCK_STREAM)) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted sockets inherit it
        sock.bind((listen.host, listen.port))
        sock.listen(BACKLOG)
        sock.setblocking(False)
        return sock


def listen_again(sock: socket.socket) -> None:
    """A front that was taken over may have shut it, for all fronts; a TCP listener can be opened again."""
    if sock.family != socket.AF_UNIX:
        sock.listen(BACKLOG)


@contextlib.contextmanager
def closed_on_error(sock: socket.socket) -> Iterator[socket.socket]:
    """Close a socket that did not become what it was to be."""
    try:
        yield sock
    except BaseException:
        sock.close()
        raise


def bind_unix(path: str, mode: int, backlog: int = BACKLOG) -> socket.socket:
    """A unix listener; a stale socket at its place is replaced, anything else is in the way.

    Bound through a descriptor of its directory, so that a long path fits (unix(7): 108 bytes).
    """
    directory = os.open(os.path.dirname(path), os.O_DIRECTORY | os.O_PATH | os.O_CLOEXEC)
    name = os.path.basename(path)
    try:
        unlink_socket(name, directory)
        with closed_on_error(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as sock:
            sock.bind(f"/proc/self/fd/{directory}/{name}")
            os.chmod(name, mode, dir_fd=directory)
            sock.listen(backlog)
            return sock
    finally:
        os.close(directory)


def unlink_socket(name: str, directory: int) -> None:
    """Remove a socket that a server left behind.  Raises FileExistsError for anything that is none."""
    try:
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise FileExistsError(17, "something that is no socket is there")
    os.unlink(name, dir_fd=directory)


def bind_pool(directory: str, index: int, gid: int | None) -> socket.socket:
    """A pool's listener, which only root and the fronts' group can reach."""
    path = os.path.join(directory, pool_name(index))
    sock = bind_unix(path, 0o660, POOL_BACKLOG)
    refuse_descriptors(sock)
    if gid is not None:
        os.chown(path, 0, gid, follow_symlinks=False)
    return sock


def pool_name(index: int) -> str:
    """The name of a pool's socket; a front knows it by the site's index alone."""
    return f"{index}.sock"


def bind_external(wanted: PoolSocket) -> socket.socket:
    """A site's pool_socket, for another web server."""
    try:
        # The mode first: once it is somebody else's, in a sticky directory he may put a link in its place.
        with closed_on_error(bind_unix(wanted.path, wanted.mode, POOL_BACKLOG)) as sock:
            refuse_descriptors(sock)
            os.chown(wanted.path, wanted.uid, wanted.gid, follow_symlinks=False)
            sock.setblocking(False)
            return sock
    except OSError as error:
        raise OperatorError(f"pool_socket = {wanted.path!r}: {error.strerror}: {remedy(error)}") from None


def is_shut(listener: socket.socket) -> bool:
    """Has the pool retired this listener (shutdown(2) with SHUT_RD)?  Asks the kernel, not the pool."""
    return bool(events(listener) & select.POLLRDHUP)


def has_visitors(listener: socket.socket) -> bool:
    """Is somebody waiting in its queue?"""
    return bool(events(listener) & select.POLLIN)


def events(listener: socket.socket) -> int:
    """What poll(2) says of a listener now."""
    poll = select.poll()
    poll.register(listener, select.POLLIN | select.POLLRDHUP)
    return sum(event for _, event in poll.poll(0))
