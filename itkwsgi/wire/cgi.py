"""The head of an answer as CGI programs write it (RFC 3875, section 6); FastCGI's STDOUT begins with one too.

    Status: 404 Not Found
    Content-Type: text/plain
    (empty line)

Lines end in CRLF or LF (section 6.3.4).  Reading is strict, since a site wrote it and the front makes an HTTP head of
it: a name is a token (RFC 9110, 5.6.2), a value has no control but tab, nothing is folded, nothing repaired.  What the
fields mean is the front's business, but for Status, which is taken out.
"""

from __future__ import annotations

from itkwsgi.errors import Bug
from itkwsgi.wire.records import ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_HEAD = 64 * 1024  # bytes, the empty line not counted
MAX_FIELDS = 200

_TOKEN = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_CONTROLS = bytes(range(9)) + bytes(range(11, 32)) + b"\x7f"  # all but tab and line feed


class AnswerHead:
    """``status`` from 200 to 999, ``reason`` as given or empty, ``fields`` in their order, latin-1, without Status."""

    __slots__ = ("fields", "reason", "status")

    def __init__(self, status: int, reason: str, fields: list[tuple[str, str]]) -> None:
        self.status = status
        self.reason = reason
        self.fields = fields

    def __repr__(self) -> str:
        return f"AnswerHead({self.status!r}, {self.reason!r}, {self.fields!r})"


class AnswerHeadDecoder:
    """Finds and reads the head at the start of a stream.  ``rest``: what came behind it, once it was found."""

    __slots__ = ("_buffer", "_found", "rest")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._found = False
        self.rest = b""

    @property
    def begun(self) -> bool:
        """Was there any of it yet?"""
        return self._found or bool(self._buffer)

    def feed(self, data: bytes) -> AnswerHead | None:
        """Add what was read; the head once it is complete.

        Raises `ProtocolError` for one that is malformed or larger than `MAX_HEAD` or `MAX_FIELDS`, `Bug` when fed again
        after the head was given.
        """
        if self._found:
            raise Bug("fed after the head was found")
        buffer = self._buffer
        searched = max(0, len(buffer) - 2)
        buffer += data
        end, rest_at = _find_end(buffer, searched)
        if end > MAX_HEAD or (end < 0 and len(buffer) > MAX_HEAD):
            raise ProtocolError(f"the head of an answer is larger than {MAX_HEAD} bytes")
        if end < 0:
            return None
        self._found = True
        self.rest = bytes(buffer[rest_at:])
        return decode_answer_head(bytes(buffer[:end]))


def _find_end(buffer: bytearray, start: int) -> tuple[int, int]:
    """Where the head ends (behind its last line) and where the body begins, or (-1, -1)."""
    crlf = buffer.find(b"\n\r\n", start)
    lf = buffer.find(b"\n\n", start) if crlf < 0 else buffer.find(b"\n\n", start, crlf + 1)
    if lf >= 0:
        return lf + 1, lf + 2
    if crlf >= 0:
        return crlf + 1, crlf + 3
    if buffer.startswith((b"\n", b"\r\n")):
        raise ProtocolError("an answer without a head")
    return -1, -1


def decode_answer_head(head: bytes) -> AnswerHead:
    """Read a whole head, the empty line not included.  Raises `ProtocolError`."""
    lines = head.replace(b"\r\n", b"\n")
    if len(lines.translate(None, _CONTROLS)) != len(lines):
        raise ProtocolError("a control character in the head of an answer")
    fields: list[tuple[str, str]] = []
    status = location = None
    for line in lines[:-1].split(b"\n"):
        name, value = _split_field(line)
        lowered = name.lower()
        if lowered == "status":
            if status is not None:
                raise ProtocolError("an answer with two states")
            status = value
            continue
        if lowered == "location":
            location = value
        fields.append((name, value))
    if len(fields) > MAX_FIELDS:
        raise ProtocolError(f"the head of an answer has more than {MAX_FIELDS} fields")
    if status is None:
        # RFC 3875, 6.2.3: a Location alone is a redirection.
        return AnswerHead(200, "OK", fields) if location is None else AnswerHead(302, "Found", fields)
    return AnswerHead(*_split_status(status), fields)


def _split_field(line: bytes) -> tuple[str, str]:
    name, colon, value = line.partition(b":")
    if not colon or not name or name.translate(None, _TOKEN):
        raise ProtocolError(f"no header field: {line[:80]!r}")
    return name.decode("ascii"), value.strip(b" \t").decode("latin-1")


def _split_status(value: str) -> tuple[int, str]:
    """The number and the reason of RFC 3875, 6.3.3.  A 1xx cannot be final, so it is no state of an answer."""
    digits = value[:3]
    if len(digits) != 3 or not (digits.isascii() and digits.isdigit()) or digits < "200" or value[3:4] not in ("", " "):
        raise ProtocolError(f"no status: {value[:80]!r}")
    return int(digits), value[4:]


def encode_answer_head(status: str, fields: Iterable[tuple[str, str]]) -> bytes:
    """The head for a status such as "200 OK".

    The caller has checked that nothing in it breaks a line and that all of it is latin-1.
    """
    lines = "".join([f"{name}: {value}\r\n" for name, value in fields])
    return f"Status: {status}\r\n{lines}\r\n".encode("latin-1")
