"""The requests of one connection, from bytes to events: head, body, end, and again.

The caller feeds what arrives and asks for events until there is none; what is kept meanwhile is then at most one
unfinished line of a body, or a head up to `Limits.head_size`.  Between the end of a request and
`RequestParser.start_next` nothing is read: what a client sends ahead waits in `RequestParser.buffered`, which the
caller watches before it reads on.

Limits hold while the bytes arrive, in their order: the verdict and the events are the same however the bytes are cut,
but for where a body's pieces end.  A head that is wholly there and short is read in one go, any other line by line;
both end in the same grammar.

After an error nothing that follows can be trusted, for its start is unknown: the parser is dead and the connection must
be closed (RFC 9112 9.6, 11.2).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from itkwsgi.errors import Bug, ClientError
from itkwsgi.front.http1.body import ChunkedBody, LengthBody
from itkwsgi.front.http1.buffer import Buffer
from itkwsgi.front.http1.events import BodyChunk, EndOfRequest, Event, RequestHead
from itkwsgi.front.http1.head import RequestLine, build_head, check_merged_size, lex_fields, parse_request_line

MOST_BLANK_LINES = 2
LONGEST_FIELDS = 16


@dataclass(frozen=True, slots=True)
class Limits:
    """Apache's LimitRequestLine, LimitRequestFields and LimitRequestFieldSize.

    ``request_line`` and ``field_size`` are octets of one line without its CR LF, the latter also of all fields of one
    name joined; ``fields`` is a number of lines.
    """

    request_line: int = 8190
    fields: int = 100
    field_size: int = 8190

    @property
    def head_size(self) -> int:
        """The most octets of a head: a request line and as many octets as 16 of the longest fields have."""
        return self.request_line + LONGEST_FIELDS * self.field_size

    @property
    def short_head(self) -> int:
        """A head of so many octets cannot have too long a line."""
        return min(self.request_line, self.field_size)


class RequestParser:
    """One connection's requests.

    Every method raises `ClientError` once the client broke a rule, and again the same at every later call.
    """

    __slots__ = (
        "_blank_lines",
        "_body",
        "_buffer",
        "_ended",
        "_failure",
        "_field_lines",
        "_head_size",
        "_limits",
        "_pending",
        "_reading",
        "_request_line",
        "_short_head",
    )

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._short_head = limits.short_head
        self._buffer = Buffer()
        self._pending: deque[Event] = deque()
        self._failure: tuple[int, str] | None = None
        self._ended = False
        self._expect_head()

    def _expect_head(self) -> None:
        self._reading = True
        self._blank_lines = 0
        self._head_size = 0
        self._request_line: RequestLine | None = None
        self._field_lines: list[bytes] = []
        self._body: LengthBody | ChunkedBody | None = None

    @property
    def buffered(self) -> int:
        """Bytes received and not yet part of an event."""
        return len(self._buffer) + self._head_size

    @property
    def idle(self) -> bool:
        """Whether the next request is awaited and nothing of it has come; empty lines before it do not count."""
        return self._reading and self._body is None and not self.buffered

    def feed(self, data: bytes) -> None:
        """Add what arrived.  The bytes are kept without a copy where that is possible."""
        self._raise_failure()
        if data:
            self._buffer.feed(data)

    def next_event(self) -> Event | None:
        """The next event; None: more bytes are needed, or `start_next`.

        Raises `ClientError`: see `buffer`, `head` and `body` for the status of each fault; 400 if the client ended
        within a request.
        """
        self._raise_failure()
        if self._pending:
            return self._pending.popleft()
        return self._read_or_die()

    def start_next(self) -> None:
        """Go on to the next request.  Raises `Bug` unless the end of the last one was given out."""
        self._raise_failure()
        if self._reading or self._pending:
            raise Bug("the next request started before the end of the last")
        self._expect_head()

    def eof(self) -> None:
        """Note that the client sends no more.  Raises `ClientError` 400 if it ended within the current request."""
        self._raise_failure()
        self._ended = True
        # Whether the request is complete only its bytes tell: the rest of its events is made now and given out later.
        while self._reading and (event := self._read_or_die()) is not None:
            self._pending.append(event)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise ClientError(*self._failure)

    def _read_or_die(self) -> Event | None:
        try:
            event = self._read()
            if event is None and self._ended and self._reading and not self.idle:
                raise ClientError(400, "the client ended within a request")
        except ClientError as error:
            self._failure = (error.status, error.reason)
            self._buffer.clear()
            self._expect_head()
            raise
        return event

    def _read(self) -> Event | None:
        if not self._reading:
            return None
        if self._body is not None:
            return self._read_body(self._body)
        head = self._read_head()
        if head is not None:
            self._head_size = 0
            self._body = self._body_of(head)
        return head

    def _body_of(self, head: RequestHead) -> LengthBody | ChunkedBody:
        if head.chunked:
            return ChunkedBody(self._limits.fields, self._limits.field_size)
        return LengthBody(head.content_length or 0)

    def _read_body(self, body: LengthBody | ChunkedBody) -> BodyChunk | EndOfRequest | None:
        piece = body.read(self._buffer)
        if piece:
            return BodyChunk(piece)
        if body.done:
            self._reading = False
            return EndOfRequest()
        return None

    def _read_head(self) -> RequestHead | None:
        if self._request_line is None:
            text = self._buffer.paragraph(self._short_head, self._limits.fields + 1)
            if text is not None:
                line, _, fields = text.partition("\r\n")
                return build_head(parse_request_line(line), lex_fields(fields))
        return self._read_head_by_lines()

    def _read_head_by_lines(self) -> RequestHead | None:
        while (line := self._next_line()) is not None:
            if self._request_line is None:
                self._start_head(line)
            elif line:
                self._add_field(line)
            else:
                return self._finish_head(self._request_line)
        return None

    def _next_line(self) -> bytes | None:
        limits = self._limits
        if self._request_line is None:
            return self._buffer.line(limits.request_line, 414, "the request line")
        room = max(0, limits.head_size - self._head_size)
        return self._buffer.line(min(room, limits.field_size), 431, "the header")

    def _start_head(self, line: bytes) -> None:
        """Read the request line, or skip an empty one before it (RFC 9112 2.2)."""
        if line:
            self._request_line = parse_request_line(line.decode("latin-1"))
            self._head_size = len(line) + 2
            return
        self._blank_lines += 1
        if self._blank_lines > MOST_BLANK_LINES:
            raise ClientError(400, "too many empty lines before a request")

    def _add_field(self, line: bytes) -> None:
        if len(self._field_lines) == self._limits.fields:
            raise ClientError(431, "too many header fields")
        self._field_lines.append(line)
        self._head_size += len(line) + 2

    def _finish_head(self, line: RequestLine) -> RequestHead:
        text = b"".join(field + b"\r\n" for field in self._field_lines).decode("latin-1")
        self._field_lines.clear()
        fields = lex_fields(text)
        check_merged_size(fields, self._limits.field_size)
        return build_head(line, fields)
