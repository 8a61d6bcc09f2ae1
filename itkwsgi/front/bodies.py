"""Request bodies: kept here until they are whole, so that a slow upload holds a socket and not a process.

Up to 64 kB in memory, then in a file that has no name (O_TMPFILE, open(2)): it is gone with its descriptor, however
this process ends.  Files count against spool_max, and one site may have half of it at most.  Writing goes to the page
cache, directly from the loop.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile

from itkwsgi.front.refusal import Refusal

IN_MEMORY = 64 * 1024

# open(2) where the file system or the kernel has no O_TMPFILE.
_NO_TMPFILE = frozenset((errno.EOPNOTSUPP, errno.EISDIR))
_FULL = frozenset((errno.ENOSPC, errno.EDQUOT))


class Spool:
    """The directory, and who uses how much of it."""

    __slots__ = ("directory", "limit", "of_site", "site_limit", "used")

    def __init__(self, directory: str, limit: int) -> None:
        self.directory = directory
        self.limit = limit
        self.site_limit = limit // 2
        self.used = 0
        self.of_site: dict[int, int] = {}

    def check(self, site: int, size: int) -> None:
        """Raises `Refusal` 503 when there is no room for a body of this size now."""
        if size > IN_MEMORY:
            self._check_room(site, size)

    def _check_room(self, site: int, size: int) -> None:
        if self.of_site.get(site, 0) + size > self.site_limit:
            raise Refusal(503, f"spool_max: one site's request bodies may take {self.site_limit} bytes of it")
        if self.used + size > self.limit:
            raise Refusal(503, f"spool_max: the request bodies of all sites take {self.used} of {self.limit} bytes")

    def take(self, site: int, size: int) -> None:
        """Count bytes of a file.  Raises `Refusal` 503 when they do not fit."""
        self._check_room(site, size)
        self.used += size
        self.of_site[site] = self.of_site.get(site, 0) + size

    def give_back(self, site: int, size: int) -> None:
        """The file is gone."""
        self.used -= size
        left = self.of_site.pop(site, 0) - size
        if left:
            self.of_site[site] = left

    def open_file(self) -> int:
        """A file without a name, close-on-exec.  Raises OSError."""
        try:
            return os.open(self.directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if error.errno not in _NO_TMPFILE:
                raise
        fd, path = tempfile.mkstemp(dir=self.directory)
        os.unlink(path)
        return fd


class Body:
    """One request's body.  Appended to until it is whole, then read; closed in any case."""

    __slots__ = ("_counted", "_fd", "_memory", "_site", "_spool", "size")

    def __init__(self, spool: Spool, site: int) -> None:
        self._spool = spool
        self._site = site
        self._memory = bytearray()  # not a list: the pieces may be of one byte each
        self._fd: int | None = None
        self._counted = 0
        self.size = 0

    def append(self, data: bytes) -> None:
        """Keep another piece.  Raises `Refusal`: 503 over the limits, 507 when the disk is full (RFC 4918 section
        11.5)."""
        self.size += len(data)
        if self._fd is None and self.size <= IN_MEMORY:
            self._memory += data
            return
        try:
            self._append_to_file(data)
        except OSError as error:
            status = 507 if error.errno in _FULL else 503
            raise Refusal(status, f"{self._spool.directory}: {error.strerror}") from error

    def _append_to_file(self, data: bytes) -> None:
        if self._fd is None:
            self._fd = self._spool.open_file()
            data = bytes(self._memory + data)
            self._memory.clear()
        self._spool.take(self._site, len(data))
        self._counted += len(data)
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._fd, rest) :]

    def read(self, offset: int, size: int) -> bytes:
        """Bytes from that offset on, at most ``size``; b"" at the end only.  Raises OSError."""
        if self._fd is not None:
            data = os.pread(self._fd, size, offset)
            if not data and offset < self.size:
                raise OSError(errno.EIO, "the file is shorter than what was written")
            return data
        return bytes(self._memory[offset : offset + size])

    def close(self) -> None:
        """Forget it; may be called twice."""
        self._memory.clear()
        if self._fd is not None:
            with contextlib.suppress(OSError):  # close(2) reports late errors of a file nobody will read
                os.close(self._fd)
            self._fd = None
            self._spool.give_back(self._site, self._counted)
            self._counted = 0
