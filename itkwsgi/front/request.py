"""One request of a connection: which site, its body, what the pool answers, or the page instead of an answer.

Steps: `want_body` when a body follows the head, `take_body` for its pieces, `start` when all of it is here; then the
exchange calls back until the answer ended.  At any time the connection may `abandon` it.

A body larger than post_max_size is refused by its head.  Where the site may say otherwise, its process is asked first,
before a byte of the body is taken: by the head of the request, as FastCGI asks an authorizer.  200 lets the body come;
any other answer is the visitor's.

Whoever is at fault decides what is told.  What a site caused: a page with an id, and one line with that id, the site
and the cause in the log.  What the client caused: a page that says what was wrong, nothing in the error log.  Once a
head is sent there is no page any more: the connection is aborted, so that the client sees a broken answer as broken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from itkwsgi.errors import AppError, ClientError
from itkwsgi.front import pages
from itkwsgi.front.access import GONE
from itkwsgi.front.bodies import Body
from itkwsgi.front.http1.answer import AnswerFramer
from itkwsgi.front.params import request_params
from itkwsgi.front.refusal import Refusal
from itkwsgi.front.settings import UNLIMITED
from itkwsgi.front.upstream import END_OF_BODY, Exchange
from itkwsgi.wire.fastcgi import AUTHORIZER, RESPONDER, encode_request_head

if TYPE_CHECKING:
    import asyncio

    from itkwsgi.front.connection import ClientConnection
    from itkwsgi.front.http1.events import RequestHead
    from itkwsgi.front.router import Route
    from itkwsgi.front.settings import Limits, Site
    from itkwsgi.wire.cgi import AnswerHead


class Request:
    """A request, or (``head`` None) what could not be read as one."""

    __slots__ = (
        "_asking",
        "_begun",
        "_body",
        "_connection",
        "_exchange",
        "_framer",
        "_front",
        "_head_sent",
        "_line",
        "_route",
        "_size",
        "_status",
        "_timer",
        "head",
    )

    def __init__(self, connection: ClientConnection, head: RequestHead | None, line: str = "") -> None:
        """``line``: what came first, where there is no head."""
        self._connection = connection
        self._front = connection.front
        self.head = head
        self._line = line
        self._route: Route | None = None
        self._asking = False  # whether the body may come
        self._begun = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._body: Body | None = None
        self._exchange: Exchange | None = None
        self._framer: AnswerFramer | None = None
        self._head_sent = False
        self._status = GONE
        self._size = 0  # bytes of body sent

    # --- from the client to the pool

    def want_body(self, head: RequestHead) -> None:
        """A body follows: refuse it now, if that can be known, or ask the site, or let it come."""
        size = head.content_length or 0
        try:
            route = self._find_route(head)
            must_ask = is_too_large(size, head, route.limits)
            self._front.spool.check(route.site.owner, size)
        except Refusal as refusal:
            self.answer_failed(refusal)
            return
        if must_ask:
            self._asking = True
            self._ask(route, self._encoded(head, route, size, AUTHORIZER), None)
        else:
            self._let_body_come(head, route)

    def _let_body_come(self, head: RequestHead, route: Route) -> None:
        self._body = Body(self._front.spool, route.site.owner)
        self._connection.receive_body(head, route.limits.max_input_time.value)

    def take_body(self, data: bytes) -> None:
        """Keep a piece of the body.  One without a length is counted here."""
        body, head, route = self._body, self.head, self._route
        if body is None or head is None or route is None:
            return
        try:
            if head.chunked:
                is_too_large(body.size + len(data), head, route.limits)
            body.append(data)
        except Refusal as refusal:
            self.answer_failed(refusal)

    def input_timed_out(self, seconds: float) -> None:
        """The body took longer than max_input_time."""
        self.answer_failed(Refusal(408, f"max_input_time: the body took more than {seconds:g} s"))

    def start(self, head: RequestHead) -> None:
        """All of the request is here: let the site answer it."""
        try:
            route = self._route or self._find_route(head)
        except Refusal as refusal:
            self.answer_failed(refusal)
            return
        if head.path == b"*":
            self._send_whole(200, "OK", [("Allow", pages.ALLOW)], b"")
            return
        body = self._body
        length = body.size if body is not None else head.content_length
        request = self._encoded(head, route, length, RESPONDER)
        self._ask(route, request if length else request + END_OF_BODY, body if length else None)

    def _encoded(self, head: RequestHead, route: Route, length: int | None, role: int) -> bytes:
        connection = self._connection
        params = request_params(head, connection.params, route.site.name, connection.listener.port, length)
        return encode_request_head(params, role=role)

    def _ask(self, route: Route, request: bytes, body: Body | None) -> None:
        """Begin an exchange.  The time runs from now on, that of a pool that has to wake included."""
        self._exchange = Exchange(self._front.pools, route.pool, self, request, body)
        self._begun = self._front.now()
        self._limit_time(route.limits.request_timeout.value)
        self._exchange.start()

    def _find_route(self, head: RequestHead) -> Route:
        """Where it goes, known from here on.  Raises `Refusal` when there is nothing, or it cannot be served."""
        route = self._front.router.route(self._connection.listener.number, head.host, head.path)
        self._route = route
        broken = route.site.broken or route.pool.broken
        if broken is not None:
            raise Refusal(500, f"the site is broken: {broken}")
        return route

    @property
    def _site(self) -> Site | None:
        return None if self._route is None else self._route.site

    @property
    def _limits(self) -> Limits:
        return UNLIMITED if self._route is None else self._route.limits

    # --- its time

    def _limit_time(self, seconds: float | None) -> None:
        """request_timeout, from the beginning of the exchange; None or 0 for any time."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if seconds:
            self._timer = self._front.loop.call_at(self._begun + seconds, self._time_is_up, seconds)

    def time_told(self, seconds: float | None) -> None:
        """The site's own files say another time; they may where the administrator lets them."""
        if not self._limits.request_timeout.final:
            self._limit_time(seconds)

    def _time_is_up(self, seconds: float) -> None:
        self._drop_exchange()
        self.answer_failed(Refusal(504, f"request_timeout: {seconds:g} s are over"))

    # --- from the pool to the client

    def answer_came(self, head: AnswerHead | None, data: bytes, ended: bool) -> None:
        """Frame what came, and send it in one piece."""
        if self._asking and head is not None:
            self._asking = False
            if head.status == 200:
                self._permitted()
                return
        try:
            framed = self._frame(head, data, ended)
        except AppError as error:
            self._drop_exchange()
            self.answer_failed(Refusal(error.status, str(error)))
            return
        self._head_sent = True
        self._connection.send(framed)
        if ended:
            self._finish()

    def _permitted(self) -> None:
        """The body may come.  Of that answer nothing is the visitor's, and its process need not be waited for."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.hang_up()
        self._limit_time(None)
        if self.head is not None and self._route is not None:
            self._let_body_come(self.head, self._route)

    def _frame(self, head: AnswerHead | None, data: bytes, ended: bool) -> bytes:
        """Raises `AppError` for an answer that cannot be one."""
        start = b""
        if head is not None:
            self._framer = self._new_framer()
            reason = head.reason or pages.reason_phrase(head.status)
            start = self._framer.begin(head.status, reason, head.fields, length=len(data) if ended else None)
            self._status = head.status
        framer = self._framer
        if framer is None:
            raise AppError("an answer without a head")
        if not framer.bodiless:
            self._size += len(data)
        return start + framer.data(data) + framer.end() if ended else start + framer.data(data)

    def _new_framer(self) -> AnswerFramer:
        front = self._front
        keep_alive = self._connection.may_go_on()
        return AnswerFramer(self.head, date=front.clock.date, server=self._server_field(), keep_alive=keep_alive)

    def pool_wrote(self, text: bytes) -> None:
        """STDERR of the pool, line by line."""
        name = self._site.name if self._site is not None else "-"
        for line in text.decode("utf-8", "replace").splitlines():
            self._front.notes.say(f"{name}: {line}")

    # --- pages instead

    def answer_failed(self, refusal: Refusal) -> None:
        """The server or the site is at fault."""
        error_id, site = "", self._site
        if site is not None:
            error_id = pages.new_id()
            self._note(site, refusal, error_id)
        self._fail(refusal.status, error_id=error_id)

    def client_failed(self, error: ClientError) -> None:
        """The client is."""
        self._drop_exchange()
        self._fail(error.status, detail=f"{error.reason[:1].upper()}{error.reason[1:]}.")

    def _note(self, site: Site, refusal: Refusal, error_id: str) -> None:
        what = f" {self.head.method} {self.head.raw_path}" if self.head is not None else ""
        self._front.notes.say(f"{site.name}: {refusal.status} [{error_id}]{what}: {refusal.cause}")

    def _fail(self, status: int, *, error_id: str = "", detail: str = "") -> None:
        if self._head_sent:
            self._record()
            self._forget()
            self._connection.answer_broke()
            return
        page = pages.make_page(status, error_id=error_id, detail=detail, signature=self._signature())
        self._send_whole(page.status, page.reason, page.fields, page.body)

    def _signature(self) -> str:
        """The server's own line under a page, "" for none."""
        server, site = self._server_field(), self._site
        if server is None or (site is not None and not site.server_signature):
            return ""
        if self.head is None or site is None:
            return server
        port = self.head.port_in_host or self._connection.listener.port
        return f"{server} at {self.head.host or site.name} port {port}"

    def _server_field(self) -> str | None:
        return self._front.server_field if self._limits.expose_server else None

    def _send_whole(self, status: int, reason: str, fields: list[tuple[str, str]], body: bytes) -> None:
        """An answer of the front's own."""
        framer = self._framer = self._new_framer()
        start = framer.begin(status, reason, fields, length=len(body))
        self._status = status
        self._size = 0 if framer.bodiless else len(body)
        self._connection.send(start + framer.data(body) + framer.end())
        self._finish()

    # --- the end

    def _finish(self) -> None:
        """The answer is on its way: the connection goes on without this request."""
        keep_alive = self._framer is not None and self._framer.keep_alive
        self._record()
        self._forget()
        self._connection.answered(keep_alive=keep_alive)

    def abandon(self) -> None:
        """The client went away."""
        self._record()
        self._forget()

    def _record(self) -> None:
        self._front.access.record(
            self._site, self._connection.address, self.head or self._line, self._status, self._size
        )

    def _forget(self) -> None:
        self._limit_time(None)
        self._drop_exchange()
        if self._body is not None:
            self._body.close()
            self._body = None

    def _drop_exchange(self) -> None:
        """Hang up on the pool; one whose answer ended goes on by itself until the child is done."""
        if self._exchange is not None:
            self._exchange.abandon()
            self._exchange = None

    def pause(self) -> None:
        """The client does not read fast enough."""
        if self._exchange is not None:
            self._exchange.pause()

    def resume(self) -> None:
        """It does again."""
        if self._exchange is not None:
            self._exchange.resume()


def is_too_large(size: int, head: RequestHead, limits: Limits) -> bool:
    """Is a body of so many bytes more than post_max_size, and may the site yet permit it?

    Raises `Refusal` when it may not; for the server as a whole ("*") there is nobody to ask.
    """
    most, final = limits.post_max_size
    if not most or size <= most:
        return False
    if final or head.path == b"*":
        raise Refusal(413, f"post_max_size: the body has more than {most} bytes")
    return True
