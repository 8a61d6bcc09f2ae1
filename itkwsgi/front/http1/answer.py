"""One answer, from what an application says to the bytes that a client can read without doubt.

The application decides status, fields and body; the message's frame is ours (RFC 9110 6.6.1, 7.6.1, 8.6, 9.3.2, 15; RFC
9112 6, 9.3, 9.6).  Its hop-by-hop fields are dropped, but for what they wish: ``Connection: close`` closes, and a 426
keeps its ``Upgrade``.  Its Content-Length is a promise that is held against the body.  What then delimits the body:

=========================================  ==================================================
HEAD, 1xx, 204, 304                        nothing: no octet follows the head
a length is known                          Content-Length
HTTP/1.1                                   chunks
HTTP/1.0, or no request could be read      the end of the connection, which therefore closes
=========================================  ==================================================

An answer that breaks its promise cannot be mended: the caller aborts the connection, so that the client sees the break.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from itkwsgi.errors import AppError, Bug
from itkwsgi.front.http1.events import RequestHead
from itkwsgi.front.http1.grammar import TOKEN, VALUE

Fields = list[tuple[str, str]]

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"

_NAME = re.compile(TOKEN)
_VALUE = re.compile(VALUE)
_DIGITS = re.compile(r"[0-9]{1,18}")
_HOP_BY_HOP = frozenset(("connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"))
_OURS = _HOP_BY_HOP | {"content-length"}


class AnswerFramer:
    """Frames one final answer, after any number of interim ones.

    ``head`` is the request answered, None if none could be read; ``date`` gives the current time as an HTTP date;
    ``server`` is the value of Server, None for no such field; ``keep_alive`` is False if the caller will close anyway.
    """

    __slots__ = (
        "_begun",
        "_chunked",
        "_date",
        "_in_body",
        "_is_head",
        "_left",
        "_old",
        "_server",
        "bodiless",
        "keep_alive",
    )

    def __init__(
        self, head: RequestHead | None, *, date: Callable[[], str], server: str | None, keep_alive: bool
    ) -> None:
        self._date = date
        self._server = server
        self._is_head = head is not None and head.method == "HEAD"
        self._old = head is None or head.version < (1, 1)
        self._begun = False
        self._in_body = False
        self._chunked = False
        self._left: int | None = None  # of the Content-Length
        # Whether no octet follows the head; and whether the connection can serve another request after this answer.
        self.bodiless = self._is_head
        self.keep_alive = keep_alive and head is not None and head.keep_alive

    def begin(self, status: int, reason: str, fields: Sequence[tuple[str, str]], *, length: int | None = None) -> bytes:
        """The head.  ``length`` is that of the whole body in octets, if the caller knows it and the fields may not say
        it.

        An interim answer (100, 102 to 199) may come before, as often as one likes; to HTTP/1.0 it is empty.  Raises
        `AppError` for a status, reason, name or value that cannot be sent, and for a Content-Length that is no number,
        contradicts itself, or contradicts ``length``.
        """
        if self._begun:
            raise Bug("an answer begun twice")
        line = _status_line(status, reason)
        sent = _checked(fields)
        kept = [field for field in sent if not _is_ours(field[0])]
        if status < 200:
            return b"" if self._old else _serialized(line, kept)
        self._begun = self._in_body = True
        connection = _values(sent, "connection")
        if any(option.strip(" \t").lower() == "close" for value in connection for option in value.split(",")):
            self.keep_alive = False
        kept = self._with_date_and_server(kept)
        kept += self._framing(status, _declared_length(sent), length)
        return _serialized(line, kept + self._connection(status, sent))

    def _with_date_and_server(self, fields: Fields) -> Fields:
        """One Date, the application's if it gave one; Server if it gave none."""
        fields = _without_repeated_date(fields)
        names = {name.lower() for name, _ in fields}
        if "date" not in names:
            fields.append(("Date", self._date()))
        if self._server is not None and "server" not in names:
            fields.append(("Server", self._server))
        return fields

    def _framing(self, status: int, declared: int | None, known: int | None) -> Fields:
        """Choose what delimits the body; the field that says so."""
        self.bodiless = self._is_head or status in (204, 304)
        if self.bodiless:
            # A length in 204 is forbidden, in 304 mostly false.  An empty body known for HEAD says nothing about GET's.
            stated = declared if declared is not None else known or None
            return _length_field(stated) if self._is_head and status not in (204, 304) else []
        if declared is not None and known is not None and declared != known:
            raise AppError(f"a body of {known} bytes with a Content-Length of {declared}")
        self._left = declared if declared is not None else known
        if self._left is not None:
            return _length_field(self._left)
        if self._old:
            self.keep_alive = False
            return []
        self._chunked = True
        return [("Transfer-Encoding", "chunked")]

    def _connection(self, status: int, sent: Fields) -> Fields:
        """What to say of the connection (RFC 9112 9.3, 9.6; RFC 9110 15.5.22)."""
        upgrade = _values(sent, "upgrade") if status == 426 else []
        options = ["upgrade"] if upgrade else []
        if not self.keep_alive:
            options.append("close")
        elif self._old:
            options.append("keep-alive")
        said = [("Connection", ", ".join(options))] if options else []
        return said + [("Upgrade", value) for value in upgrade]

    def data(self, chunk: bytes) -> bytes:
        """A piece of the body as it goes on the wire, empty in a bodiless answer.

        Raises `AppError` when the body gets longer than its Content-Length.
        """
        if not self._in_body:
            raise Bug("a body before its head or after its end")
        if self.bodiless or not chunk:
            return b""
        if self._chunked:
            return b"%x\r\n%b\r\n" % (len(chunk), chunk)
        if self._left is not None:
            self._left -= len(chunk)
            if self._left < 0:
                raise self._broken("longer than its Content-Length")
        return chunk

    def end(self) -> bytes:
        """What ends the body on the wire.  Raises `AppError` when the body is shorter than its Content-Length."""
        if not self._in_body:
            raise Bug("the end of an answer before its head, or a second one")
        self._in_body = False
        if self._left:
            raise self._broken("shorter than its Content-Length")
        return LAST_CHUNK if self._chunked else b""

    def _broken(self, how: str) -> AppError:
        self.keep_alive = False
        return AppError(f"the body is {how}")


def _status_line(status: int, reason: str) -> bytes:
    if not 100 <= status <= 999 or status == 101:
        raise AppError(f"the status {status} cannot be answered")
    if not _VALUE.fullmatch(reason):
        raise AppError("a control or a character outside Latin-1 in the reason phrase")
    return f"HTTP/1.1 {status} {reason}\r\n".encode("latin-1")


def _checked(fields: Iterable[tuple[str, str]]) -> Fields:
    """The fields, white space around the values removed.  Raises `AppError` for what no field may hold."""
    for name, value in fields:
        if not _NAME.fullmatch(name):
            raise AppError(f"the field name {name!a} is no token")
        if not _VALUE.fullmatch(value):
            raise AppError(f"a control or a character outside Latin-1 in the field {name}")
    return [(name, value.strip(" \t")) for name, value in fields]


def _is_ours(name: str) -> bool:
    name = name.lower()
    return name in _OURS or name.startswith("proxy-")


def _values(fields: Fields, wanted: str) -> list[str]:
    return [value for name, value in fields if name.lower() == wanted]


def _without_repeated_date(fields: Fields) -> Fields:
    dates = [at for at, (name, _) in enumerate(fields) if name.lower() == "date"]
    return [field for at, field in enumerate(fields) if at not in dates[1:]]


def _declared_length(fields: Fields) -> int | None:
    """The Content-Length; said several times, it must always be the same (RFC 9110 8.6)."""
    lengths = set()
    for value in _values(fields, "content-length"):
        if not _DIGITS.fullmatch(value):
            raise AppError("a malformed Content-Length")
        lengths.add(int(value))
    if len(lengths) > 1:
        raise AppError("several Content-Length fields that differ")
    return lengths.pop() if lengths else None


def _length_field(length: int | None) -> Fields:
    return [] if length is None else [("Content-Length", str(length))]


def _serialized(line: bytes, fields: Fields) -> bytes:
    return line + "".join(f"{name}: {value}\r\n" for name, value in fields).encode("latin-1") + b"\r\n"
