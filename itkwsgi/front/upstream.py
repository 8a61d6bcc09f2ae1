"""One request to a pool: a non-blocking unix socket, FastCGI out, FastCGI back.

connect(2) on a unix socket is done or fails at once, so the request is sent in the same turn of the loop.  No such
socket, or nobody behind it: the pool sleeps, nothing was sent, and after its waking the connection is tried again.  A
full queue means busy.  Once something was sent there is no second try, for a POST might run twice.

The body is sent while the answer is read; an answer that is complete ends the sending.  An answer without END_REQUEST
is a truncated one, whatever its bytes say.  After END_REQUEST the visitor is done with it, but the slot is not: the
connection stays until the child closes it, which is when the work after the answer is over.  How long an answer may
take is the client's to watch.

A child that ran nothing may say so (AGAIN): its site's code changed, and the request goes to the next pool.  It may
also send descriptors instead of an answer: see `front.pools`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from itkwsgi.errors import AppError
from itkwsgi.front.poller import HANGUP, READ, WRITE
from itkwsgi.front.refusal import Refusal
from itkwsgi.wire import fastcgi
from itkwsgi.wire.answers import AnswerDecoder
from itkwsgi.wire.cgi import AnswerHead, AnswerHeadDecoder

if TYPE_CHECKING:
    import socket

    from itkwsgi.front.bodies import Body
    from itkwsgi.front.pools import Pools
    from itkwsgi.front.settings import Site

READ_SIZE = 64 * 1024
BODY_PIECE = 60 * 1024
# A pool may retire between its AWAKE and our connection, but not again and again.
MOST_WAKES = 4
# Of what a pool sends as STDERR, per answer: a site's own log is elsewhere.
MOST_STDERR = 4 * 1024

END_OF_BODY = fastcgi.encode_stdin(b"")


class Client(Protocol):
    """Who asked, and gets the answer.  Any of these may call `Exchange.abandon`."""

    def answer_came(self, head: AnswerHead | None, data: bytes, ended: bool) -> None:
        """A part of the answer, with its head the first time; ``ended`` with the last, which is a proper end."""

    def answer_failed(self, refusal: Refusal) -> None:
        """There is no answer, or no more of it."""

    def pool_wrote(self, text: bytes) -> None:
        """A line or more for the log."""

    def time_told(self, seconds: float | None) -> None:
        """What the site says of how long this request may take in all; None for any time."""


class Exchange:
    """A request at work.  It tells its client everything exactly until the answer ended, failed, or was abandoned."""

    __slots__ = (
        "_answer",
        "_body",
        "_body_at",
        "_client",
        "_decoder",
        "_outgoing",
        "_pools",
        "_request",
        "_site",
        "_sock",
        "_stderr_left",
        "_wakes_left",
        "_watched",
        "_whole",
    )

    def __init__(self, pools: Pools, site: Site, client: Client, request: bytes, body: Body | None) -> None:
        """``request``: all but the body, which stays the caller's and is not read once this exchange is over."""
        self._pools = pools
        self._site = site
        self._client: Client | None = client
        self._request = request
        self._whole = body
        self._body = body
        self._body_at = 0
        self._sock: socket.socket | None = None
        self._decoder = AnswerDecoder()
        self._answer: AnswerHeadDecoder | None = AnswerHeadDecoder()  # None once the head was found
        self._outgoing = memoryview(b"")
        self._watched = 0  # the events it is watched for
        self._stderr_left = MOST_STDERR
        self._wakes_left = MOST_WAKES

    # --- to be connected

    def start(self) -> None:
        """Connect and send; the client hears of it later, or at once when there is nothing to wait for."""
        admission = self._pools.admission
        if self._site.owner in self._pools.banned:
            self._fail(Refusal(502, "the site sent descriptors; it is not asked again until the server is restarted"))
            return
        if not admission.enter(self._site):
            self._fail(Refusal(503, f"max_clients: {admission.describe(self._site)}"))
            return
        try:
            self._sock = self._pools.connect(self._site.index)
        except OSError as error:
            admission.leave(self._site)
            self._not_connected(error)
        else:
            self._send_first(self._sock)

    def _not_connected(self, error: OSError) -> None:
        if isinstance(error, BlockingIOError):
            self._fail(Refusal(503, "the queue of the pool is full"))
        elif not isinstance(error, (FileNotFoundError, ConnectionRefusedError)):
            self._fail(Refusal(503, f"the pool cannot be reached: {error.strerror}"))
        elif self._wakes_left:
            self._wakes_left -= 1
            self._pools.waker.wait(self._site.index, self)
        else:
            self._fail(Refusal(503, "the pool falls asleep as soon as it is awake"))

    def pool_is_awake(self) -> None:
        """The waker's: try again."""
        self.start()

    def pool_is_refused(self, *, later: bool) -> None:
        """The waker's: give up."""
        if later:
            self._fail(Refusal(503, "the pool cannot be started now"))
        else:
            self._fail(Refusal(500, "the pool could not be started"))

    # --- being watched

    def _watch(self, events: int) -> None:
        """Be called for these events; 0 takes it out, for an epoll tells of a hangup even if nobody asked."""
        sock = self._sock
        if sock is None or events == self._watched:
            return
        poller = self._pools.poller
        if not self._watched:
            poller.add(sock.fileno(), events, self._happened)
        elif events:
            poller.change(sock.fileno(), events)
        else:
            poller.remove(sock.fileno())
        self._watched = events

    def _happened(self, events: int) -> None:
        """Whatever goes wrong with an answer ends this exchange alone, our own errors included."""
        try:
            if events & ~WRITE:
                self._receive(events)
            if events & self._watched & WRITE and self._sock is not None:
                self._send_more(self._sock)
        except AppError as error:
            self._fail(Refusal(error.status, str(error)))
        except Exception as error:
            self._fail(Refusal(500, f"the front failed: {error!r}"))

    # --- sending

    def _send_first(self, sock: socket.socket) -> None:
        self._watch(READ)
        if self._load(self._request):
            self._send(sock)

    def _load(self, start: bytes = b"") -> bool:
        """Put the next piece of the body where it is sent from, behind these bytes; False when that failed."""
        try:
            piece = b"" if self._body is None else self._next_piece(self._body)
        except OSError as error:
            self._fail(Refusal(500, f"the spooled body cannot be read: {error.strerror}"))
            return False
        self._outgoing = memoryview(start + piece)
        return True

    def _next_piece(self, body: Body) -> bytes:
        """The next records of the body; with the last of it, its end."""
        data = body.read(self._body_at, BODY_PIECE)
        self._body_at += len(data)
        piece = fastcgi.encode_stdin(data)
        if self._body_at < body.size:
            return piece
        self._body = None
        return piece + END_OF_BODY

    def _send(self, sock: socket.socket) -> None:
        """One send; the rest when there is room."""
        try:
            sent = sock.send(self._outgoing)
        except BlockingIOError:
            sent = 0
        except OSError:  # it reads no more; it may have answered nevertheless, and the reading side shows that
            self._stop_sending()
            return
        self._outgoing = self._outgoing[sent:]
        if not self._outgoing and self._body is None:
            self._stop_sending()
        else:
            self._watch(self._watched | WRITE)

    def _send_more(self, sock: socket.socket) -> None:
        if self._outgoing or self._load():
            self._send(sock)

    def _stop_sending(self) -> None:
        self._outgoing = memoryview(b"")
        self._body = None
        self._watch(self._watched & ~WRITE)

    # --- receiving

    def _receive(self, events: int) -> None:
        """Raises `AppError` for an answer that is none."""
        sock = self._sock
        if sock is None:
            return
        try:
            data = self._pools.receive(sock, READ_SIZE)
        except BlockingIOError:
            return
        except OSError:  # reset: the child died with something unread
            data = b""
        if self._client is None:
            self._close()  # the child is done with its work after the answer; more bytes of it would be nonsense
            return
        if data is None:
            self._fail(Refusal(502, "the pool sent descriptors"))
            return
        if not data:
            self._fail(Refusal(500, "the answer broke off: the child ended, or was ended, before it was complete"))
            return
        self._decoder.feed(data)
        self._take_events()
        if events & HANGUP:
            self._close_if_ended()

    def _close_if_ended(self) -> None:
        """The child has hung up: once its answer ended there is nothing to wait for."""
        if self._client is None:
            self._close()

    def _take_events(self) -> None:
        """Everything one read gave becomes one call of the client.  Raises `ProtocolError`."""
        pieces: list[bytes] = []
        ended: fastcgi.RequestEnded | None = None
        while (event := self._decoder.next_event()) is not None:
            if isinstance(event, fastcgi.StdoutData):
                pieces.append(event.data)
            elif isinstance(event, fastcgi.RequestEnded):
                ended = event
            elif isinstance(event, fastcgi.StderrData):
                self._take_stderr(event.data)
            elif self._client is not None:
                self._client.time_told(event.seconds)
        self._deliver(pieces[0] if len(pieces) == 1 else b"".join(pieces), ended)

    def _take_stderr(self, data: bytes) -> None:
        if self._client is not None and self._stderr_left > 0:
            self._client.pool_wrote(data[: self._stderr_left])
            self._stderr_left -= len(data)

    def _deliver(self, data: bytes, ended: fastcgi.RequestEnded | None) -> None:
        """Pass it on.  Raises `ProtocolError` for a malformed head."""
        if ended is not None and ended.protocol_status != fastcgi.REQUEST_COMPLETE:
            begun = data or self._answer is None or self._answer.begun
            if ended.protocol_status == fastcgi.AGAIN and not begun and self._wakes_left:
                self._ask_again()
            else:
                self._fail(refused_by_pool(ended.protocol_status))
            return
        head = None
        if self._answer is not None:
            head = self._answer.feed(data)
            if head is None:
                if ended is not None:
                    self._fail(Refusal(500, "the answer ended before its head did"))
                return
            data = self._answer.rest
            self._answer = None
        client = self._client
        if ended is not None:
            self._client = None
            self._stop_sending()
            self._watch(READ)
        if client is not None and (head is not None or data or ended is not None):
            client.answer_came(head, data, ended is not None)

    def _ask_again(self) -> None:
        """The child ran nothing, for the site's code changed: its next pool is to answer."""
        self._wakes_left -= 1
        self._close()
        self._watched = 0
        self._decoder = AnswerDecoder()
        self._answer = AnswerHeadDecoder()
        self._body, self._body_at = self._whole, 0
        self.start()

    # --- the client's hands

    def pause(self) -> None:
        """Read no more of the answer for now; one that ended is not concerned."""
        if self._client is not None:
            self._watch(self._watched & ~READ)

    def resume(self) -> None:
        """Read on."""
        if self._client is not None:
            self._watch(self._watched | READ)

    def abandon(self) -> None:
        """The client wants no more of it: hang up at once, which the child notices."""
        if self._client is None:
            return
        self._client = None
        self._pools.waker.forget(self._site.index, self)
        self._close()

    def hang_up(self) -> None:
        """Nothing more of it is wanted, nor is the child waited for that may still be at work on it."""
        self._client = None
        self._close()

    def _fail(self, refusal: Refusal) -> None:
        client, self._client = self._client, None
        self._close()
        if client is not None:
            client.answer_failed(refusal)

    def _close(self) -> None:
        """Hang up and give the slot back, if there is one."""
        sock = self._sock
        if sock is None:
            return
        self._sock = None
        self._body = None
        self._pools.hang_up(sock, self._site, watched=bool(self._watched))


def refused_by_pool(protocol_status: int) -> Refusal:
    """END_REQUEST without an answer (FastCGI 1.0 section 5.5)."""
    if protocol_status == fastcgi.OVERLOADED:
        return Refusal(503, "the pool is overloaded")
    return Refusal(502, f"the pool refused the request with protocol status {protocol_status}")
