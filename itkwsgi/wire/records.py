"""FastCGI records: a header of eight bytes, the content, padding (FastCGI 1.0, section 3.3).

A record may hold 64 kB and arrive in any slices.  The reader never waits for a whole one: it gives out whatever content
is there as a *piece*, so memory stays at what was fed last.  An empty piece stands for an empty record and for nothing
else: that is how a stream ends.  Nothing here knows which records may follow which.
"""

from __future__ import annotations

import struct

from itkwsgi.errors import AppError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

VERSION = 1
MAX_CONTENT = 65535

BEGIN_REQUEST = 1
ABORT_REQUEST = 2
END_REQUEST = 3
PARAMS = 4
STDIN = 5
STDOUT = 6
STDERR = 7
DATA = 8
GET_VALUES = 9
GET_VALUES_RESULT = 10
UNKNOWN_TYPE = 11

HEADER = struct.Struct(">BBHHBx")  # version, type, request id, content length, padding length
BODY_SIZE = 8  # of the records that are no streams: BEGIN_REQUEST, END_REQUEST, UNKNOWN_TYPE, and our DEADLINE

_LONG = 0x80000000  # marks a length of four bytes (section 3.4)
_SHORT_PAIR = struct.Struct(">BB")
_LONG_PAIR = struct.Struct(">II")


class ProtocolError(AppError):
    """The other end of a pool's socket does not speak FastCGI, or a program does not speak CGI."""

    status = 502


def encode_record(kind: int, request_id: int, content: bytes) -> bytes:
    """One record, unpadded.  ``content`` has at most `MAX_CONTENT` bytes."""
    return HEADER.pack(VERSION, kind, request_id, len(content), 0) + content


def encode_stream(kind: int, request_id: int, data: bytes) -> bytes:
    """``data`` in as many records as it needs; none for b""."""
    size = len(data)
    if 0 < size <= MAX_CONTENT:
        return HEADER.pack(VERSION, kind, request_id, size, 0) + data
    starts = range(0, size, MAX_CONTENT)
    return b"".join([encode_record(kind, request_id, data[at : at + MAX_CONTENT]) for at in starts])


def encode_pairs(pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Name-value pairs (section 3.4)."""
    parts = []
    for name, value in pairs:
        name_size, value_size = len(name), len(value)
        if name_size < 128 and value_size < 128:
            parts.append(_SHORT_PAIR.pack(name_size, value_size))
        else:
            parts.append(_LONG_PAIR.pack(name_size | _LONG, value_size | _LONG))
        parts.append(name)
        parts.append(value)
    return b"".join(parts)


def decode_pairs(data: bytes) -> dict[bytes, bytes]:
    """Name-value pairs; of a name that comes twice the last value holds.

    Raises `ProtocolError` when a length points past the end.
    """
    pairs = {}
    at, end = 0, len(data)
    try:
        while at < end:
            name_size = data[at]
            at += 1
            if name_size > 127:
                name_size = (name_size & 127) << 24 | int.from_bytes(data[at : at + 3], "big")
                at += 3
            value_size = data[at]
            at += 1
            if value_size > 127:
                value_size = (value_size & 127) << 24 | int.from_bytes(data[at : at + 3], "big")
                at += 3
            value_at = at + name_size
            name = data[at:value_at]
            at = value_at + value_size
            pairs[name] = data[value_at:at]
    except IndexError:
        at = end + 1
    if at > end:
        raise ProtocolError("a FastCGI name-value pair that points past its end")
    return pairs


class PieceReader:
    """Cuts a stream of records into pieces.

    `feed` takes bytes as they were read; `next_piece` gives ``(type, request id, content, last)``, where ``last`` says
    that the record's content is complete, or None when it needs more.
    """

    __slots__ = ("_at", "_data", "_inside", "_left", "_padding", "_request_id", "_type")

    def __init__(self) -> None:
        self._data = b""
        self._at = 0
        self._inside = False  # between a header and the last byte of its content
        self._left = 0  # bytes of content to come
        self._padding = 0  # bytes of padding to come after it
        self._type = 0
        self._request_id = 0

    def feed(self, data: bytes) -> None:
        """Add what was read.  Cheap when `next_piece` had said None before."""
        if self._at < len(self._data):
            data = self._data[self._at :] + data
        self._data = data
        self._at = 0

    def next_piece(self) -> tuple[int, int, bytes, bool] | None:
        """Raises `ProtocolError` for a record of another version, and then again at every call."""
        if not self._inside and not self._begin():
            return None
        at = self._at
        piece = self._data[at : at + self._left]
        self._at = at + len(piece)
        self._left -= len(piece)
        if self._left:
            return (self._type, self._request_id, piece, False) if piece else None
        self._inside = False
        return self._type, self._request_id, piece, True

    def _begin(self) -> bool:
        """Step over the padding and into the next record; False when its header is not here yet."""
        if self._padding:
            skipped = min(self._padding, len(self._data) - self._at)
            self._padding -= skipped
            self._at += skipped
        if len(self._data) - self._at < HEADER.size:
            return False
        version, kind, request_id, size, padding = HEADER.unpack_from(self._data, self._at)
        if version != VERSION:
            raise ProtocolError(f"a FastCGI record of version {version}")
        self._at += HEADER.size
        self._inside = True
        self._type, self._request_id, self._left, self._padding = kind, request_id, size, padding
        return True


def fixed_body(collected: bytearray, data: bytes, last: bool) -> bytes | None:
    """The content of a record that is no stream, once it is whole: of `BODY_SIZE` bytes, else `ProtocolError`.

    ``collected`` keeps the pieces, and is empty again after the last.
    """
    collected += data
    if len(collected) > BODY_SIZE or (last and len(collected) != BODY_SIZE):
        raise ProtocolError("a FastCGI record of the wrong length")
    if not last:
        return None
    body = bytes(collected)
    collected.clear()
    return body
