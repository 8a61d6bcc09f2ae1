"""Descriptors: which are open, which go where, and how they travel between processes.

A descriptor too many is a way into somebody else's site, so lists here say what stays, never what goes; what comes from
outside is close-on-exec before anybody sees it, and a message that does not fit exactly is thrown away with all it
carried.

To throw away what somebody else sent is to close it, and close(2) may wait: for a TCP socket with SO_LINGER as long as
its sender likes.  recv(2), which takes no descriptors, closes them just so, and closing a unix socket closes what is
still in its queue.  So what may not wait has the kernel refuse them (`refuse_descriptors`); where the kernel does not,
it reads from a site by `receive_bare`, and leaves by `hang_up`.
Sources: close_range(2), unix(7), recvmsg(2), memfd_create(2), F_ADD_SEALS in fcntl(2).
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from _socket import (
    CMSG_LEN,
    MSG_CMSG_CLOEXEC,
    MSG_CTRUNC,
    MSG_NOSIGNAL,
    MSG_PEEK,
    MSG_TRUNC,
    SCM_RIGHTS,
    SHUT_RDWR,
    SOL_SOCKET,
    socket,
)

from itkwsgi.errors import Bug
from itkwsgi.linux import kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

HIGHEST = 2**31 - 1  # a descriptor is an int
MOST_PER_MESSAGE = 253  # SCM_MAX_FD, unix(7)

_PIECE = 65536  # bytes at a time, of what nobody wants to have
_SO_PASSRIGHTS = 83  # Linux 6.16

_INT = struct.Struct("i")
_MFD_NOEXEC_SEAL = 8  # Linux 6.3


class MessageError(Bug):
    """A message that was cut, or that carried what it may not.  Whatever descriptors came with it are closed."""


def open_descriptors() -> dict[int, str]:
    """What is open in this process: number -> what /proc calls it (a path, ``socket:[…]``, ``pipe:[…]``)."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            continue  # the listing's own
    return found


def close_all_except(keep: Iterable[int]) -> None:
    """Close every descriptor but these; one that is named and not open is no error.

    Raises `ValueError` for a negative number, `OSError` when the kernel does not do it.
    """
    kept = sorted(set(keep))
    if kept and kept[0] < 0:
        raise ValueError(f"{kept[0]} is not a descriptor")
    first = 0
    try:
        for fd in [*kept, HIGHEST]:
            if first < fd:
                kernel.close_range(first, fd - 1)
            first = fd + 1
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EPERM):  # EPERM: a container's filter that does not know the call
            raise
        _close_one_by_one(kept)


def _close_one_by_one(keep: Sequence[int]) -> None:
    """Before Linux 5.9: what /proc lists, not every number up to the limit, which may be a milliard."""
    for fd in sorted(open_descriptors()):
        if fd not in keep:
            os.close(fd)


def arrange(mapping: Mapping[int, int]) -> None:
    """Put each source where its target is, ``{target: source}``, however the two overlap; targets survive exec.

    What was open at a target is closed; sources that are no target stay open.
    Raises `ValueError` for a negative number, `OSError` when a source is not open or there is no room.
    """
    if any(fd < 0 for pair in mapping.items() for fd in pair):
        raise ValueError(f"{dict(mapping)} has a negative descriptor")
    above = max(mapping, default=-1) + 1
    copies: dict[int, int] = {}
    try:
        for target, source in mapping.items():
            copies[target] = fcntl.fcntl(source, fcntl.F_DUPFD_CLOEXEC, above)
        for target, copy in copies.items():
            os.dup2(copy, target, inheritable=True)
    finally:
        for copy in copies.values():
            os.close(copy)


def send_message(sock: socket, data: bytes, fds: Sequence[int] = ()) -> None:
    """Send one message with descriptors (unix(7), SCM_RIGHTS); the socket is best a SOCK_SEQPACKET.

    Raises `ValueError` for no data or too many descriptors, `MessageError` when only a part was sent (a stream socket),
    `OSError` as sendmsg(2): `BlockingIOError` when a non-blocking socket is full.
    """
    if not data or len(fds) > MOST_PER_MESSAGE:
        raise ValueError(f"a message of {len(data)} bytes with {len(fds)} descriptors")
    rights = [(SOL_SOCKET, SCM_RIGHTS, struct.pack(f"{len(fds)}i", *fds))] if fds else []
    sent = sock.sendmsg([data], rights, MSG_NOSIGNAL)
    if sent != len(data):
        raise MessageError(f"{sent} of {len(data)} bytes were sent")


def receive_message(sock: socket, max_bytes: int, max_fds: int = 0) -> tuple[bytes, list[int]]:
    """Receive one message and its descriptors, close-on-exec.  ``(b"", [])`` is the end of the connection.

    Raises `MessageError` when it has more bytes or descriptors than this, or carries anything else; `OSError` as
    recvmsg(2).  The caller owns the descriptors it is given.
    """
    # CMSG_LEN and not CMSG_SPACE: the latter's padding is room for one descriptor more.
    room = CMSG_LEN(max_fds * _INT.size) if max_fds else 0
    data, ancillary, flags, _ = sock.recvmsg(max_bytes, room, MSG_CMSG_CLOEXEC)
    fds: list[int] = []
    strange = False
    for level, kind, content in ancillary:
        if (level, kind) == (SOL_SOCKET, SCM_RIGHTS):
            whole = len(content) - len(content) % _INT.size
            fds.extend(fd for (fd,) in _INT.iter_unpack(content[:whole]))
        else:
            strange = True
    cut = flags & (MSG_TRUNC | MSG_CTRUNC)
    if cut or strange or len(fds) > max_fds or (fds and not data):
        for fd in fds:
            os.close(fd)
        raise MessageError(f"a message with more than {max_bytes} bytes and {max_fds} descriptors")
    return data, fds


def refuse_descriptors(sock: socket) -> bool:
    """Have the kernel refuse descriptors that are sent to this unix socket, or to what is accepted from it.

    False from a kernel that does not (before Linux 6.16).  Raises OSError.
    """
    try:
        sock.setsockopt(SOL_SOCKET, _SO_PASSRIGHTS, 0)
    except OSError as error:
        if error.errno != errno.ENOPROTOOPT:
            raise
        return False
    return True


def refuses_descriptors(sock: socket) -> bool:
    """Does the kernel refuse what is sent to this unix socket, as `refuse_descriptors` asked?  Raises OSError."""
    try:
        return sock.getsockopt(SOL_SOCKET, _SO_PASSRIGHTS) == 0
    except OSError as error:
        if error.errno != errno.ENOPROTOOPT:
            raise
        return False


def look_bare(sock: socket, size: int) -> bytes | None:
    """What `receive_bare` would give; it stays in the queue.  Raises OSError as recv(2)."""
    data, _, flags, _ = sock.recvmsg(size, 0, MSG_PEEK)  # which takes no descriptor out of the queue
    return None if flags & MSG_CTRUNC else data


def receive_bare(sock: socket, size: int) -> bytes | None:
    """As recv(2) on a unix stream.  None when descriptors are next: then nothing was taken, and nothing may be ever.

    Raises OSError as recv(2).
    """
    data = look_bare(sock, size)
    if data:
        sock.recv(len(data))  # exactly what was looked at: what came since may carry some
    return data


def hang_up(sock: socket) -> bool:
    """Close a unix stream.  False when there are descriptors in its queue: then it is shut, but has to stay open."""
    try:
        sock.shutdown(SHUT_RDWR)  # from here on nobody can send
        while (data := receive_bare(sock, _PIECE)) or data is None:
            if data is None:
                return False
    except OSError:
        sock.close()  # reset: which is only said when the queue is empty
        return True
    sock.close()
    return True


def memfd_with(data: bytes, name: str) -> int:
    """A descriptor to read these bytes from, at their start; nobody can change, grow, shrink or execute them.

    Close-on-exec.  ``name`` shows in /proc only.  Raises `OSError`.
    """
    fd = _memfd(name)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(fd, rest) :]
        os.lseek(fd, 0, os.SEEK_SET)
        seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _memfd(name: str) -> int:
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        return os.memfd_create(name, flags | _MFD_NOEXEC_SEAL)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return os.memfd_create(name, flags)
