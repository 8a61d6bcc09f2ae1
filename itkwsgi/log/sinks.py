"""Where lines end up: descriptors that root opened for appending.

Writing never waits and never fails: lines that cannot be written are counted.  A regular file takes a batch in one
write(2).  Anything else (a FIFO, a terminal, a socket) may block, and its flags may be shared with another program; so
it is asked first, and given no more at a time than it surely takes (pipe(7), PIPE_BUF).

How much of a file is whose: in a file that all write to, the bytes of each writer are counted from its opening on; of a
writer's own file, all that is in it is the writer's, whoever wrote it when.  What is no file fills no disk.
"""

from __future__ import annotations

import os
import select
import stat

SURE = select.PIPE_BUF


class Sink:
    """A log file.  The descriptor is this object's.

    ``what``: how people call it; ``takes_notes``: it may hold a line of ours, which an access log may not;
    ``shared``: many write to it; ``reason``: why the last line that was lost was lost.
    """

    __slots__ = ("_is_file", "_torn", "_written", "fd", "reason", "shared", "takes_notes", "what")

    def __init__(self, fd: int, what: str, *, takes_notes: bool = True, shared: bool = False) -> None:
        self.fd = fd
        self.what = what
        self.takes_notes = takes_notes
        self.shared = shared
        self._written: dict[int | str, int] = {}  # in a shared file: by whom how many bytes
        self.reason = ""
        self._torn = False  # the last line has no end
        self._is_file = stat.S_ISREG(os.fstat(fd).st_mode)

    def write(self, data: bytes) -> int:
        """Write whole lines; how many of them were lost."""
        if self._torn:
            data = b"\n" + data
        written = self._write_file(data) if self._is_file else self._write_other(data)
        lost = data.count(b"\n", written)
        if written:
            self._torn = not data.startswith(b"\n", written - 1)
        elif self._torn:
            lost -= 1  # the line feed that was to end the torn line, which is counted already
        return lost

    def _write_file(self, data: bytes) -> int:
        """How much was written.  A short write is tried again, to learn why."""
        written = 0
        try:
            while written < len(data):
                written += os.write(self.fd, data[written:] if written else data)
        except OSError as error:
            self.reason = error.strerror or str(error)
        return written

    def _write_other(self, data: bytes) -> int:
        poll = select.poll()
        poll.register(self.fd, select.POLLOUT)
        written = 0
        try:
            while written < len(data):
                if not poll.poll(0):
                    self.reason = "nobody reads it"
                    break
                written += os.write(self.fd, data[written : written + SURE])
        except OSError as error:
            self.reason = error.strerror or str(error)
        return written

    def used(self, writer: int | str) -> int:
        """Bytes of that writer in the file.  Never more than there are: it may have been truncated (logrotate(8),
        copytruncate)."""
        if not self._is_file:
            return 0
        size = os.fstat(self.fd).st_size
        if not self.shared:
            return size
        self._written[writer] = min(size, self._written.get(writer, 0))
        return self._written[writer]

    def count(self, writer: int | str, size: int) -> None:
        """So many bytes of that writer are about to be written."""
        if self.shared:
            self._written[writer] = self._written.get(writer, 0) + size

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self.fd)


def replace(
    old: Sink | None, fd: int | None, what: str, *, takes_notes: bool = True, shared: bool = False
) -> Sink | None:
    """Go on in another file, or in none."""
    if old is not None:
        old.close()
    return None if fd is None else Sink(fd, what, takes_notes=takes_notes, shared=shared)
