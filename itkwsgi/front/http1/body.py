"""Where a request's body ends: after so many octets, or after its last chunk (RFC 9112 6, 7.1).

A chunk's line is hexadecimal digits, at most 16, and extensions of the grammar's form, at most 256 octets, which are
read and dropped; spaces are allowed only after a semicolon.  Tiny chunks cost far more than they carry, so the
octets that frame may exceed twice the octets framed by `FRAMING_ALLOWANCE` at most.  Trailers are checked like header
fields and dropped: they arrive when all decisions have been made, so they may not become header fields.  One that says
where the body ends is refused (RFC 9110 6.5.1).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from itkwsgi.errors import ClientError
from itkwsgi.front.http1.buffer import Buffer
from itkwsgi.front.http1.grammar import QUOTED, TOKEN
from itkwsgi.front.http1.head import LARGEST_LENGTH, lex_fields

LARGEST_PIECE = 64 * 1024
LONGEST_SIZE = 16
LONGEST_EXTENSIONS = 256
FRAMING_ALLOWANCE = 16 * 1024

_EXTENSION = rf"; *{TOKEN}(?:=(?:{TOKEN}|{QUOTED}))?"
_CHUNK_LINE = re.compile(rf"([0-9A-Fa-f]{{1,{LONGEST_SIZE}}})((?:{_EXTENSION})*)")


class LengthBody:
    """A body of a known number of octets."""

    __slots__ = ("_left",)

    def __init__(self, length: int) -> None:
        self._left = length

    @property
    def done(self) -> bool:
        """Whether all of it was read."""
        return self._left == 0

    def read(self, buffer: Buffer) -> bytes:
        """Take what is there of it, up to `LARGEST_PIECE`; empty: nothing is, or it is done."""
        piece = buffer.take(min(self._left, LARGEST_PIECE))
        self._left -= len(piece)
        return piece


class ChunkedBody:
    """A chunked body, trailers included.

    ``most_trailers`` and ``trailer_size`` (octets of one line) bound the trailers.
    """

    __slots__ = ("_carried", "_framing", "_left", "_step", "_trailer_size", "_trailers_left", "done")

    def __init__(self, most_trailers: int, trailer_size: int) -> None:
        self._trailers_left = most_trailers
        self._trailer_size = trailer_size
        self._left = 0  # of the current chunk
        self._framing = 0
        self._carried = 0
        # Functions, not bound methods: those would make a circle that only the collector frees.
        self._step: Callable[[ChunkedBody, Buffer], bool] = ChunkedBody._read_size
        self.done = False

    def read(self, buffer: Buffer) -> bytes:
        """Take what is there of the current chunk's data, up to `LARGEST_PIECE`; empty: more is needed, or it is done.

        Raises `ClientError`: 400 for malformed chunks, 431 for too long or too many trailers.
        """
        while not self._left:
            if self.done or not self._step(self, buffer):
                return b""
        piece = buffer.take(min(self._left, LARGEST_PIECE))
        self._left -= len(piece)
        return piece

    # Each step takes one line; False: it is incomplete.

    def _read_size(self, buffer: Buffer) -> bool:
        line = buffer.line(LONGEST_SIZE + LONGEST_EXTENSIONS, 400, "a chunk's line")
        if line is None:
            return False
        found = _CHUNK_LINE.fullmatch(line.decode("latin-1"))
        if found is None or len(found[2]) > LONGEST_EXTENSIONS:
            raise ClientError(400, "a malformed chunk size or extension")
        self._left = int(found[1], 16)
        self._account(len(line) + 4)
        self._step = ChunkedBody._read_end_of_data if self._left else ChunkedBody._read_trailer
        return True

    def _account(self, framing: int) -> None:
        self._framing += framing
        self._carried += self._left
        if self._carried > LARGEST_LENGTH:
            raise ClientError(400, "an impossible chunk size")
        if self._framing > FRAMING_ALLOWANCE + 2 * self._carried:
            raise ClientError(400, "too many small chunks")

    def _read_end_of_data(self, buffer: Buffer) -> bool:
        if buffer.line(0, 400, "a chunk's data") is None:
            return False
        self._step = ChunkedBody._read_size
        return True

    def _read_trailer(self, buffer: Buffer) -> bool:
        line = buffer.line(self._trailer_size, 431, "a trailer field")
        if line is None:
            return False
        if line:
            self._check_trailer(line)
        self.done = not line
        return True

    def _check_trailer(self, line: bytes) -> None:
        if not self._trailers_left:
            raise ClientError(431, "too many trailer fields")
        self._trailers_left -= 1
        [(name, _)] = lex_fields(line.decode("latin-1") + "\r\n")
        if name in ("content-length", "transfer-encoding"):
            raise ClientError(400, f"{name} as a trailer field")
