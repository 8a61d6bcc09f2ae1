"""A file system that hangs, as a dead server's does: whoever reads its one file waits until the file system is gone.

The kernel's FUSE protocol, without a library: linux/fuse.h, version 7.31.  Needs root and /dev/fuse.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import signal
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

NAME = "hangs"
SIZE = 1 << 16

ROOT, FILE = 1, 2  # nodes
LOOKUP, FORGET, GETATTR, OPEN, READ, RELEASE, FLUSH, INIT, ACCESS, INTERRUPT, BATCH_FORGET = (
    1, 2, 3, 14, 15, 18, 25, 26, 34, 36, 42,
)  # fmt: skip
UNANSWERED = (FORGET, BATCH_FORGET, INTERRUPT, READ)
REQUEST = struct.Struct("=IIQQIIIHH")
ANSWER = struct.Struct("=IiQ")
ATTRIBUTES = struct.Struct("=6Q10I")
ASYNC_READ = 1  # who reads waits for a page, which can be left, and not for the request itself
LONG = 3600  # seconds that the kernel need not ask again
MNT_DETACH = 2


@contextlib.contextmanager
def hanging(place: Path, *, killable: bool = True) -> Iterator[Path]:
    """Mount it at this empty folder; gives the file, which anybody may open and map.  At the end nobody waits on.

    ``killable``: until then SIGKILL ends who reads it; else nothing does.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    if libc.mount(b"hanging", os.fsencode(place), b"fuse", 0, options):
        raise OSError(ctypes.get_errno(), "mount")
    pid = os.fork()
    if pid == 0:
        try:
            serve(device, ASYNC_READ if killable else 0)
        finally:
            os._exit(0)
    os.close(device)
    try:
        yield place / NAME
    finally:
        os.kill(pid, signal.SIGKILL)  # its end is the end of all that wait
        os.waitpid(pid, 0)
        libc.umount2(os.fsencode(place), MNT_DETACH)


def serve(device: int, flags: int) -> None:
    while True:
        try:
            request = os.read(device, 1 << 20)
        except OSError:  # unmounted
            return
        _, what, unique, node, *_ = REQUEST.unpack_from(request)
        if what not in UNANSWERED:
            error, data = answer(what, node, request[REQUEST.size :], flags)
            os.write(device, ANSWER.pack(ANSWER.size + len(data), -error, unique) + data)


def answer(what: int, node: int, data: bytes, flags: int) -> tuple[int, bytes]:
    if what == INIT:
        return 0, struct.pack("=4I2H2I2H8I", 7, 31, flags << 17, flags, 12, 9, 1 << 16, 1, 0, 0, *[0] * 8)
    if what == LOOKUP:
        found = data.rstrip(b"\0") == NAME.encode()
        return (0, struct.pack("=4Q2I", FILE, 0, LONG, LONG, 0, 0) + attributes(FILE)) if found else (errno.ENOENT, b"")
    if what == GETATTR:
        return 0, struct.pack("=QII", LONG, 0, 0) + attributes(node)
    if what == OPEN:
        return 0, struct.pack("=QII", 0, 0, 0)
    return (0, b"") if what in (ACCESS, FLUSH, RELEASE) else (errno.ENOSYS, b"")


def attributes(node: int) -> bytes:
    mode, size = (stat.S_IFDIR | 0o755, 0) if node == ROOT else (stat.S_IFREG | 0o644, SIZE)
    return ATTRIBUTES.pack(node, size, 0, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)
