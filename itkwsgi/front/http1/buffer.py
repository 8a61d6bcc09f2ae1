"""Bytes that arrived and are not used yet.

The one place that decides what a line is: octets up to CR LF, no other control but the tab among them.  A bare CR or LF
is an error wherever it stands (RFC 9112 2.2 lets a server be stricter than its MAY), so no reader of the same bytes can
see a line end where this one saw none.

What was looked at is not looked at again: ``_scanned`` is where the next search for a control starts.  A limit counts
from the line's first octet in the order of arrival, so the verdict on some bytes does not depend on how they were cut.
"""

from __future__ import annotations

import re

from itkwsgi.errors import ClientError

CR, LF = 13, 10
CRLF = b"\r\n"
CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class Buffer:
    """A queue of bytes that gives out lines and pieces.

    A first block of data is kept as it is; it is copied only if more arrives before it is used up.
    """

    __slots__ = ("_data", "_pos", "_scanned")

    def __init__(self) -> None:
        self._data: bytes | bytearray = b""
        self._pos = 0
        self._scanned = 0

    def __len__(self) -> int:
        return len(self._data) - self._pos

    def feed(self, data: bytes) -> None:
        """Add data at the end."""
        if self._pos == len(self._data):
            self._data, self._pos, self._scanned = data, 0, 0
            return
        self._forget_what_was_taken()
        self._data += data

    def _forget_what_was_taken(self) -> None:
        if isinstance(self._data, bytes):
            self._data = bytearray(memoryview(self._data)[self._pos :])
        else:
            del self._data[: self._pos]
        self._scanned -= self._pos
        self._pos = 0

    def clear(self) -> None:
        """Drop everything."""
        self._data, self._pos, self._scanned = b"", 0, 0

    def take(self, most: int) -> bytes:
        """Take up to ``most`` bytes; empty when nothing is there."""
        piece = bytes(self._data[self._pos : self._pos + most])
        self._pos += len(piece)
        self._scanned = self._pos
        return piece

    def line(self, limit: int, status: int, what: str) -> bytes | None:
        """Take the next line, without its CR LF; None while it is incomplete.

        Raises `ClientError`: 400 for a control other than the tab or a bare CR or LF within the first ``limit`` bytes,
        else ``status`` when the line is longer than that; ``what`` names the line.
        """
        data, start = self._data, self._pos
        found = CONTROL.search(data, self._scanned, start + limit + 1)
        if found is None:
            if len(data) > start + limit:
                raise ClientError(status, f"{what} is too long")
            self._scanned = len(data)
            return None
        at = found.start()
        if data[at] != CR:
            raise ClientError(400, "a bare line feed" if data[at] == LF else f"a control in {what}")
        if at + 1 == len(data):
            return None
        if data[at + 1] != LF:
            raise ClientError(400, "a bare carriage return")
        self._pos = self._scanned = at + 2
        return bytes(data[start:at])

    def paragraph(self, most_bytes: int, most_lines: int) -> str | None:
        """Take all lines up to an empty one if they are here, few, short, and none was looked at yet: each with its CR
        LF, without the empty one, decoded as Latin-1.  None: they have to be taken line by line.

        Only speed: nothing is checked, so the caller's grammar must refuse every control that `line` refuses.
        """
        data, start = self._data, self._pos
        if self._scanned != start or data.startswith(CRLF, start):
            return None
        end = data.find(b"\r\n\r\n", start, start + most_bytes) + 2
        if end < 2 or data.count(b"\n", start, end) > most_lines:
            return None
        self._pos = self._scanned = end + 2
        return data[start:end].decode("latin-1")
