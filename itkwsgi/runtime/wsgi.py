"""Calls the app: start_response, the iterable, close(), and what an app may do wrong (PEP 3333).

The answer is sent as FastCGI records.  Three rules: nothing is sent before the first byte of the body (so that an error
until then gives a clean 500); an answer whose Content-Length is reached ends in that same write, so the visitor is let
go before the app's close() and whatever follows; an answer that breaks off gets no END_REQUEST, so that no reader can
take it for a whole one.
"""

from __future__ import annotations

from itkwsgi.errors import AppError
from itkwsgi.wire import fastcgi
from itkwsgi.wire.cgi import encode_answer_head

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from itkwsgi.runtime.connection import Connection
    from itkwsgi.runtime.settings import Settings

# No regular expressions here: they would be in the memory of every child.
TOKEN = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"  # RFC 9110 section 5.6.2
CONTROLS = bytes(range(9)) + bytes(range(10, 32)) + b"\x7f"  # all but tab


class BadAnswer(AppError):
    """The app broke PEP 3333: a wrong type, a header that cannot be sent, a body of the wrong length."""


class Answer:
    """What the app answers to one request.

    ``gather``: bytes of the body to collect before any is sent.  ``settings``: whose default_charset text gets.
    """

    def __init__(self, connection: Connection, request_id: int, *, bodiless: bool) -> None:
        self.connection = connection
        self.request_id = request_id
        self.bodiless = bodiless
        self.gather = 0
        self.settings: Settings | None = None
        self.gathered: list[bytes] = []
        self.status: str | None = None
        self.headers: list[tuple[str, str]] = []
        self.length: int | None = None  # declared
        self.sent = 0
        self.head_sent = False
        self.ended = False

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], None]:
        """The callable of PEP 3333.  Raises the app's own error when it comes too late, `BadAnswer` on nonsense."""
        if exc_info:
            try:
                if self.head_sent:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self.status is not None:
            raise BadAnswer("start_response was called twice without exc_info")
        check_head(status, headers)
        self.status, self.headers = status, list(headers)
        if self.settings is not None and not self.settings.is_usual:
            charset = self.settings.said("default_charset")
            if charset is not None:
                self.headers = [with_charset(name, value, charset) for name, value in headers]
        if self.gathered:  # of an answer that this one replaces
            self.gathered.clear()
            self.sent = 0
        self.length = declared_length(headers)
        if status[:3] in ("204", "304"):
            self.bodiless = True
        return self.write

    def write(self, data: bytes) -> None:
        """The legacy callable: sends at once."""
        self.send(data)

    def send(self, data: bytes) -> None:
        """Send a piece of the body as soon as it is there; ends the answer with its last declared byte."""
        if not isinstance(data, bytes):
            raise BadAnswer(f"the app gave {type(data).__name__} where PEP 3333 asks for bytes")
        if not data:
            return
        self.count(len(data))
        if self.gather:
            data = self.enough(data)
            if not data:
                return
        records = self.take_head()
        if not self.bodiless:
            records += fastcgi.encode_stdout(data, self.request_id)
        if self.sent == self.length:
            records += self.take_end()
        if records:
            self.connection.send(records)

    def enough(self, data: bytes) -> bytes:
        """Gather the piece; returns all there is when that is enough or the last of it, else b""."""
        self.gathered.append(data)
        if self.status is not None and self.sent != self.length and sum(map(len, self.gathered)) < self.gather:
            return b""
        return self.take_gathered()

    def take_gathered(self) -> bytes:
        """All that was gathered."""
        whole = b"".join(self.gathered)
        self.gathered.clear()
        return whole

    def count(self, size: int) -> None:
        """Hold the body to its declared length."""
        self.sent += size
        if self.length is not None and self.sent > self.length and not self.bodiless:
            raise BadAnswer(f"the body is longer than its Content-Length of {self.length} bytes")

    def take_head(self) -> bytes:
        """The head's record, once."""
        if self.head_sent:
            return b""
        if self.status is None:
            raise BadAnswer("the app did not call start_response")
        self.head_sent = True
        return fastcgi.encode_stdout(encode_answer_head(self.status, self.headers), self.request_id)

    def take_end(self) -> bytes:
        """The records that say: this is all."""
        self.ended = True
        return fastcgi.encode_stdout_end(self.request_id) + fastcgi.encode_end_request(request_id=self.request_id)

    def end(self) -> None:
        """The iterable is at its end.  Raises `BadAnswer` when the body is shorter than declared."""
        if self.ended:
            return
        if self.length is not None and self.sent < self.length and not self.bodiless:
            raise BadAnswer(f"the body has {self.sent} bytes, its Content-Length says {self.length}")
        head, rest = self.take_head(), self.take_gathered()
        if rest and not self.bodiless:
            head += fastcgi.encode_stdout(rest, self.request_id)
        self.connection.send(head + self.take_end())


def with_charset(name: str, value: str, charset: str) -> tuple[str, str]:
    """The header; a Content-Type of text without a charset gets one (PHP: default_charset)."""
    kind = value.lower()
    if name.lower() == "content-type" and kind.startswith("text/") and "charset=" not in kind:
        return name, f"{value}; charset={charset}"
    return name, value


def check_head(status: str, headers: list[tuple[str, str]]) -> None:
    """Raises `BadAnswer` for what must not go into a head: wrong types, controls, line ends."""
    if not isinstance(status, str) or not (status[:3].isdecimal() and status[3:4] == " " and is_text(status)):
        raise BadAnswer(f"the status {status!r} is not like '200 OK'")
    for name, value in headers:
        if not isinstance(name, str) or not is_token(name):
            raise BadAnswer(f"the header name {name!r}")
        if not isinstance(value, str) or not is_text(value):
            raise BadAnswer(f"the value of the header {name}: {value!r}")


def is_token(text: str) -> bool:
    """May it be the name of a header?"""
    return text.isascii() and text != "" and not text.encode("ascii").translate(None, TOKEN)


def is_text(text: str) -> bool:
    """Latin-1 without control characters but tab: may it be the value of a header?"""
    try:
        encoded = text.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return len(encoded.translate(None, CONTROLS)) == len(encoded)


def declared_length(headers: list[tuple[str, str]]) -> int | None:
    """The Content-Length the app gave, None without one.  Raises `BadAnswer` for one that is no number."""
    for name, value in headers:
        if name.lower() == "content-length":
            if not (value.isascii() and value.isdigit()):
                raise BadAnswer(f"the Content-Length {value!r}")
            return int(value)
    return None


def call_app(app: Callable[..., Iterable[bytes]], environ: dict[str, Any], answer: Answer) -> None:
    """Run one request through the app, close() included.

    Raises what the app raises, `BadAnswer`, or `VisitorGone`; ``answer`` knows how far it came.
    """
    iterable = app(environ, answer.start_response)
    try:
        measure(iterable, answer)
        for data in iterable:
            answer.send(data)
        answer.end()
    finally:
        close = getattr(iterable, "close", None)
        if close is not None:
            close()


def measure(iterable: Iterable[bytes], answer: Answer) -> None:
    """A list of one piece has a known length (PEP 3333, "Handling the Content-Length Header")."""
    if type(iterable) not in (list, tuple) or len(iterable) != 1 or answer.status is None:  # type: ignore[arg-type]
        return
    piece = iterable[0]  # type: ignore[index]
    if isinstance(piece, bytes) and answer.length is None and not answer.head_sent and not answer.bodiless:
        answer.length = len(piece)
        answer.headers.append(("Content-Length", str(answer.length)))
