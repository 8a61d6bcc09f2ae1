"""One request of a connection: which site, its body, what the pool answers, or the page instead of an answer.

Steps: `want_body` when a body follows the head, `take_body` for its pieces, `start` when all of it is here; then the
exchange calls back until the answer ended.  At any time the connection may `abandon` it.

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
from itkwsgi.front.http1.answer import CONTINUE, AnswerFramer
from itkwsgi.front.params import request_params
from itkwsgi.front.refusal import Refusal
from itkwsgi.front.upstream import Exchange
from itkwsgi.wire.fastcgi import encode_request_head

if TYPE_CHECKING:
    from itkwsgi.front.connection import ClientConnection
    from itkwsgi.front.http1.events import RequestHead
    from itkwsgi.front.settings import Site
    from itkwsgi.wire.cgi import AnswerHead


class Request:
    """A request, or (``head`` None) what could not be read as one."""

    __slots__ = (
        "_body",
        "_connection",
        "_exchange",
        "_framer",
        "_front",
        "_head_sent",
        "_line",
        "_size",
        "_status",
        "head",
        "site",
    )

    def __init__(self, connection: ClientConnection, head: RequestHead | None, line: str = "") -> None:
        """``line``: what came first, where there is no head."""
        self._connection = connection
        self._front = connection.front
        self.head = head
        self._line = line
        self.site: Site | None = None
        self._body: Body | None = None
        self._exchange: Exchange | None = None
        self._framer: AnswerFramer | None = None
        self._head_sent = False
        self._status = GONE
        self._size = 0  # bytes of body sent

    # --- from the client to the pool

    def want_body(self, head: RequestHead, *, some_is_here: bool) -> None:
        """A body follows: refuse it now, if that can be known, or ask for it (RFC 9110 section 10.1.1)."""
        try:
            site = self._route(head)
            self._front.spool.check(site.index, head.content_length or 0)
        except Refusal as refusal:
            self.answer_failed(refusal)
            return
        self._body = Body(self._front.spool, site.index)
        if head.expect_continue and not some_is_here:
            self._connection.send(CONTINUE)

    def take_body(self, data: bytes) -> None:
        """Keep a piece of the body."""
        if self._body is None:
            return
        try:
            self._body.append(data)
        except Refusal as refusal:
            self.answer_failed(refusal)

    def start(self, head: RequestHead) -> None:
        """All of the request is here: let the site answer it."""
        try:
            site = self.site or self._route(head)
        except Refusal as refusal:
            self.answer_failed(refusal)
            return
        if head.path == b"*":
            self._send_whole(200, "OK", [("Allow", pages.ALLOW)], b"")
            return
        body = self._body
        length = body.size if body is not None else head.content_length
        connection = self._connection
        params = request_params(head, connection.params, site.name, connection.listener.port, length)
        request = encode_request_head(params)
        self._exchange = Exchange(self._front.pools, site, self, request, body if length else None)
        self._exchange.start()

    def _route(self, head: RequestHead) -> Site:
        """The site, known from here on.  Raises `Refusal` when there is none, or it cannot be served."""
        site = self._front.router.find(self._connection.listener.number, head.host)
        self.site = site
        if site.broken is not None:
            raise Refusal(500, f"the site is broken: {site.broken}")
        return site

    # --- from the pool to the client

    def answer_came(self, head: AnswerHead | None, data: bytes, ended: bool) -> None:
        """Frame what came, and send it in one piece."""
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
        return AnswerFramer(self.head, date=front.clock.date, server=front.server_field, keep_alive=keep_alive)

    def pool_wrote(self, text: bytes) -> None:
        """STDERR of the pool, line by line."""
        name = self.site.name if self.site is not None else "-"
        for line in text.decode("utf-8", "replace").splitlines():
            self._front.notes.say(f"{name}: {line}")

    # --- pages instead

    def answer_failed(self, refusal: Refusal) -> None:
        """The server or the site is at fault."""
        error_id = ""
        if self.site is not None:
            error_id = pages.new_id()
            self._note(self.site, refusal, error_id)
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
        server = self._front.server_field
        if server is None or (self.site is not None and not self.site.server_signature):
            return ""
        if self.head is None or self.site is None:
            return server
        port = self.head.port_in_host or self._connection.listener.port
        return f"{server} at {self.head.host or self.site.name} port {port}"

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
            self.site, self._connection.address, self.head or self._line, self._status, self._size
        )

    def _forget(self) -> None:
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
