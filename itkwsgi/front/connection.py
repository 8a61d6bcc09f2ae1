"""One client's connection: its bytes, its timeouts, its order.

Requests are answered one after the other; what a client sends ahead waits, up to `MOST_AHEAD`, then nothing more is
read.  Until then reading goes on while a request is at work, since that is how a client that went away is noticed.  A
client that only closed its sending half still gets all its answers.  What ends each state stands in `front.states`.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING, cast

from itkwsgi.errors import ClientError
from itkwsgi.front.deadlines import SEND_CHECK_SECONDS, BodyPace, Taking
from itkwsgi.front.http1.answer import CONTINUE
from itkwsgi.front.http1.events import BodyChunk, RequestHead
from itkwsgi.front.http1.parser import RequestParser
from itkwsgi.front.params import connection_params, plain_address
from itkwsgi.front.request import Request
from itkwsgi.front.states import ASK, BODY, CLOSING, HEAD, LINGER, WORK

if TYPE_CHECKING:
    from itkwsgi.front.http1.events import Event
    from itkwsgi.front.server import Front, OpenListener

MOST_AHEAD = 64 * 1024
LINGER_SECONDS = 2.0
LINGER_BYTES = 4 * 1024 * 1024
LONGEST_LINE = 8192
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class ClientConnection(asyncio.Protocol):
    """A connection from accept to its end.  ``address`` is the client's, "" on a unix socket."""

    __slots__ = (
        "_advancing",
        "_ended",
        "_first_bytes",
        "_lingered",
        "_pace",
        "_parser",
        "_reading_paused",
        "_request",
        "_served",
        "_state",
        "_taking",
        "_transport",
        "_writing_paused",
        "address",
        "deadline",
        "front",
        "listener",
        "params",
    )

    _transport: asyncio.Transport

    def __init__(self, front: Front, listener: OpenListener) -> None:
        self.front = front
        self.listener = listener
        self.address = ""
        self.params: list[tuple[bytes, bytes]] = []
        self.deadline = 0.0
        self._parser = RequestParser(front.limits)
        self._request: Request | None = None
        self._state = HEAD
        self._served = 0
        self._advancing = False
        self._ended = False  # the client sends no more
        self._reading_paused = False
        self._writing_paused = False
        self._first_bytes = b""  # of a head that is not complete, for the log
        self._pace: BodyPace | None = None
        self._taking = Taking(front.now())
        self._lingered = 0

    # --- asyncio's calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass
        self.limit_buffer(self.front.high_water)
        peer = transport.get_extra_info("peername")
        port = ""
        if isinstance(peer, tuple):
            self.address, port = plain_address(peer[0]), str(peer[1])
        self.params = connection_params(self.listener.scheme, self.front.software, self.address, port)
        self.deadline = self.front.now() + self.front.settings.header_timeout
        self.front.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._state = CLOSING
        self.front.closed(self)
        request, self._request = self._request, None
        if request is not None:
            request.abandon()

    def data_received(self, data: bytes) -> None:
        state = self._state
        if state is LINGER:
            self._lingered += len(data)
            if self._lingered > LINGER_BYTES:
                self.abort()
            return
        if state is CLOSING:
            return
        if state is HEAD and self._parser.idle:
            self._begin_head(data)
        self._parser.feed(data)
        if state is BODY and self._pace is not None:
            self.deadline = self._pace.deadline(self.front.now(), len(data))
        self._advance()
        if self._parser.buffered > MOST_AHEAD and self._state in (HEAD, ASK, WORK) and not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """True: answers are still to be sent."""
        self._ended = True
        if self._state in (LINGER, CLOSING):
            return False
        if self._state is not ASK:  # what is refused need not be whole
            self._end_input()
        self._advance()
        return True

    def _end_input(self) -> None:
        try:
            self._parser.eof()
        except ClientError as error:
            self._refuse(error)

    def pause_writing(self) -> None:
        self._writing_paused = True
        if self._request is not None:
            self._request.pause()

    def resume_writing(self) -> None:
        self._writing_paused = False
        if self._request is not None:
            self._request.resume()
        self._advance()

    # --- reading

    def _begin_head(self, data: bytes) -> None:
        """The first bytes of a head."""
        self._first_bytes = data[:LONGEST_LINE]
        if self._served:
            self.deadline = self.front.now() + self.front.settings.header_timeout

    def _wants_event(self) -> bool:
        """No new request while the client does not read the answers it has."""
        return self._state is BODY or (self._state is HEAD and not self._writing_paused)

    def _advance(self) -> None:
        """Take what the parser has.  An answer that is ready at once comes here again: left to the outer call."""
        if self._advancing:
            return
        self._advancing = True
        try:
            while self._wants_event():
                event = self._parser.next_event()
                if event is None:
                    self._nothing_there()
                    break
                self._take(event)
        except ClientError as error:
            self._refuse(error)
        finally:
            self._advancing = False

    def _nothing_there(self) -> None:
        """More bytes are needed."""
        if self._ended:
            self.close()
        elif self._reading_paused:
            self._reading_paused = False
            self._transport.resume_reading()

    def _take(self, event: Event) -> None:
        request = self._request
        if isinstance(event, RequestHead):
            self._take_head(event)
        elif request is None:
            return
        elif isinstance(event, BodyChunk):
            request.take_body(event.data)
        elif request.head is not None:
            self._state = WORK
            self.deadline = self.front.now() + SEND_CHECK_SECONDS
            request.start(request.head)

    def _take_head(self, head: RequestHead) -> None:
        self.front.waiting.pop(self, None)
        self._first_bytes = b""
        self._request = Request(self, head)
        if head.has_body:
            self._state = ASK
            self.deadline = self.front.now() + SEND_CHECK_SECONDS
            self._request.want_body(head)
        else:
            self._state = BODY

    def receive_body(self, head: RequestHead, most: float | None) -> None:
        """The body may come: ask for it (RFC 9110 section 10.1.1), and pass it on.  ``most``: seconds for all of it."""
        settings, now, here = self.front.settings, self.front.now(), self._parser.buffered
        self._state = BODY
        self._pace = BodyPace(now, settings.body_timeout, settings.body_min_rate, most)
        self.deadline = self._pace.deadline(now, here)
        if head.expect_continue and not here:
            self.send(CONTINUE)
        if self._ended:
            self._end_input()
        self._advance()

    # --- writing

    def limit_buffer(self, size: int) -> None:
        """Read no more of an answer while so many bytes of it wait for this client."""
        self._transport.set_write_buffer_limits(size, size // 4)

    @property
    def unsent(self) -> int:
        """Bytes that wait for the client to read."""
        return self._transport.get_write_buffer_size()

    def send(self, data: bytes) -> None:
        """Pass bytes to the client; dropped when it is gone."""
        if data and self._state is not CLOSING:
            self._taking.written += len(data)
            self._transport.write(data)

    def may_go_on(self) -> bool:
        """Whether another request could follow an answer that begins now: this one is read to its end."""
        return self._state is WORK and not self.front.draining

    def answered(self, *, keep_alive: bool) -> None:
        """The request's answer was sent as a whole."""
        request, self._request = self._request, None
        if self._state is CLOSING:
            return
        self._served += 1
        if keep_alive:
            self._next_request()
        elif self._state is WORK and request is not None and request.head is not None and not request.head.keep_alive:
            self.close()  # it asked for that, so nothing of it is unread
        else:
            self._linger()

    def _next_request(self) -> None:
        self._parser.start_next()
        self._state = HEAD
        settings = self.front.settings
        self.deadline = self.front.now() + (
            settings.keepalive_timeout if self._parser.idle else settings.header_timeout
        )
        self.front.waiting[self] = None
        self._advance()

    def _refuse(self, error: ClientError) -> None:
        """The client broke a rule: the last answer on this connection."""
        if self._request is None:
            self.front.waiting.pop(self, None)
            line = self._first_bytes.partition(b"\r\n")[0].partition(b"\n")[0]
            self._request = Request(self, None, line.decode("latin-1"))
        self._request.client_failed(error)

    # --- the end

    def _linger(self) -> None:
        self._state = LINGER
        self.deadline = self.front.now() + LINGER_SECONDS
        self._lingered = 0
        if self._ended:
            self.close()
            return
        if self._transport.can_write_eof():
            self._transport.write_eof()
        if self._reading_paused:
            self._reading_paused = False
            self._transport.resume_reading()

    def close(self) -> None:
        """Close once everything is flushed."""
        self._state = CLOSING
        self.deadline = self.front.now() + SEND_CHECK_SECONDS
        self._transport.close()

    def answer_broke(self) -> None:
        """The request's answer cannot be completed: the client must see that it is not whole.

        A reset, for to HTTP/1.0 an ordinary end would be the end of the answer (socket(7), SO_LINGER).
        """
        self._request = None
        sock = self._transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self.abort()

    def abort(self) -> None:
        """Close now; what is not flushed is lost."""
        self._state = CLOSING
        self._transport.abort()

    def turn_away(self) -> None:
        """One connection too many of this address: a page, nothing read."""
        self.front.waiting.pop(self, None)
        self._request = Request(self, None)
        self._request.client_failed(ClientError(503, "too many connections from your address"))

    @property
    def is_idle(self) -> bool:
        """Between two requests, or before the first, with nothing of the next one here."""
        return self._state is HEAD and self._parser.idle

    def overdue(self, now: float) -> None:
        """The deadline is over."""
        if self._state is BODY:
            self._body_is_late(now)
        elif self.unsent:
            if self._taking.is_stuck(now, self.unsent):
                self.abort()
            else:
                self.deadline = now + min(
                    SEND_CHECK_SECONDS, self.front.settings.keepalive_timeout or SEND_CHECK_SECONDS
                )
        elif self._state in (ASK, WORK):
            self.deadline = now + SEND_CHECK_SECONDS
        elif self._state is HEAD and not self._parser.idle:
            self._refuse(ClientError(408, "the head came too slowly"))
        else:
            self.close()

    def _body_is_late(self, now: float) -> None:
        pace, request = self._pace, self._request
        if request is not None and pace is not None and pace.is_over(now):
            request.input_timed_out(pace.most)
        else:
            self._refuse(ClientError(408, "the body came too slowly"))
