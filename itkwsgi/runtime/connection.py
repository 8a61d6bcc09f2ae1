"""One FastCGI connection in a child: the request's head, its body as a file, and what is sent back.

Blocking: this process has nothing else to do.  The body is read from the socket only as the app reads it, so a large
upload passes through in constant memory; writing blocks when the front is full, so a slow visitor slows only this
child.
"""

from __future__ import annotations

import io
import time

from itkwsgi.errors import AppError, ClientError
from itkwsgi.wire import fastcgi

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from typing import IO

    from itkwsgi.runtime.settings import Settings

READ_SIZE = 65536


class VisitorGone(AppError):
    """The other end closed before the request was whole, or before the answer was."""


class Connection:
    """A request on an accepted socket.  Both directions, one request.

    ``authorizer``: it is asked whether the request may come at all (FastCGI 1.0, section 6.3).  ``body_limit``: bytes,
    None for any; ``body_time``: the last moment for the body, in monotonic seconds.  ``settings``: whether
    the app is worked to its end though nobody takes the answer (ignore_user_abort).
    """

    __slots__ = ("authorizer", "body_ended", "body_limit", "body_time", "decoder", "request_id", "settings", "sock")

    def __init__(self, sock: socket) -> None:
        self.sock = sock
        self.request_id = 0
        self.body_ended = False
        self.authorizer = False
        self.body_limit: int | None = None
        self.body_time: float | None = None
        self.settings: Settings | None = None

    def receive_head(self) -> dict[bytes, bytes] | None:
        """Wait for the parameters of a request; None when the peer closed without one, or asked only for values."""
        data = self.sock.recv(READ_SIZE)
        simple = fastcgi.decode_simple_request(data)
        if simple is not None:
            self.body_ended = True
            self.request_id, params = simple
            return params
        if not data:
            return None
        self.decoder = fastcgi.RequestDecoder()
        self.decoder.feed(data)
        return self.next_params()

    def next_params(self) -> dict[bytes, bytes] | None:
        """The long way to the same."""
        while True:
            event = self.decoder.next_event()
            if event is None:
                if not self.fill():
                    return None
            elif isinstance(event, fastcgi.RequestParams):
                self.request_id = self.decoder.request_id
                return event.params
            elif isinstance(event, fastcgi.RequestAborted):
                return None
            else:
                self.answer_management(event)

    def answer_management(self, event: object) -> None:
        """The records of the FastCGI specification's section 4, and roles and multiplexing, which are refused."""
        if isinstance(event, fastcgi.GetValues):
            values = {b"FCGI_MAX_CONNS": b"1", b"FCGI_MAX_REQS": b"1", b"FCGI_MPXS_CONNS": b"0"}
            known = [(name, values[name]) for name in event.names if name in values]
            self.send(fastcgi.encode_get_values_result(known))
        elif isinstance(event, fastcgi.UnknownRecord):
            self.send(fastcgi.encode_unknown_type(event.type))
        elif isinstance(event, fastcgi.RequestRefused):
            self.send(fastcgi.encode_end_request(0, fastcgi.CANT_MPX_CONN, request_id=event.request_id))
        elif isinstance(event, fastcgi.RequestBegun) and event.role == fastcgi.AUTHORIZER:
            self.authorizer = True
        elif isinstance(event, fastcgi.RequestBegun) and event.role != fastcgi.RESPONDER:
            self.send(fastcgi.encode_end_request(0, fastcgi.UNKNOWN_ROLE, request_id=event.request_id))
            raise VisitorGone(f"a web server asked for the FastCGI role {event.role}")

    def fill(self) -> bool:
        """Read once; False at the end.  Raises `ClientError` when the body's time is over."""
        if self.body_time is None:
            data = self.sock.recv(READ_SIZE)
        else:
            data = self.receive_until(self.body_time)
        self.decoder.feed(data)
        return bool(data)

    def receive_until(self, end: float) -> bytes:
        """Read once; raises `ClientError` 408 when there is nothing until then."""
        try:
            self.sock.settimeout(max(0.001, end - time.monotonic()))
            return self.sock.recv(READ_SIZE)
        except TimeoutError:
            raise ClientError(408, "max_input_time: the body did not come in time") from None
        finally:
            self.sock.setblocking(True)

    def read_body(self) -> bytes:
        """The next piece of the body, b"" at its end.

        Raises `VisitorGone` when it never comes, `ClientError` when it is too large or too slow.
        """
        while not self.body_ended:
            event = self.decoder.next_event()
            if event is None:
                if not self.fill():
                    raise VisitorGone("the visitor went away within the request's body")
            elif isinstance(event, fastcgi.StdinData):
                self.count(len(event.data))
                return event.data
            elif isinstance(event, fastcgi.StdinEnd):
                self.body_ended = True
            elif isinstance(event, fastcgi.RequestAborted):
                raise VisitorGone("the web server gave up this request")
        return b""

    def count(self, size: int) -> None:
        """Hold the body to its limit."""
        if self.body_limit is not None:
            self.body_limit -= size
            if self.body_limit < 0:
                raise ClientError(413, "post_max_size: the body is larger")

    def send(self, data: bytes) -> None:
        """Send encoded records.  Raises `VisitorGone` when nobody takes them any more, unless that is ignored."""
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError) as error:
            if self.settings is None or not self.settings["ignore_user_abort"]:
                raise VisitorGone("the visitor went away within the answer") from error


class BodyReader(io.RawIOBase):
    """The request's body as a raw stream; wrapped in a BufferedReader it is wsgi.input."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self.connection = connection
        self.rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """As RawIOBase.readinto; raises OSError, as a file would, when the visitor went away."""
        if not self.rest:
            try:
                self.rest = self.connection.read_body()
            except VisitorGone as error:
                raise OSError(str(error)) from error
        size = min(len(buffer), len(self.rest))
        buffer[:size] = self.rest[:size]
        self.rest = self.rest[size:]
        return size


def body_file(connection: Connection) -> IO[bytes]:
    """wsgi.input for this connection."""
    if connection.body_ended:
        return io.BytesIO()
    return io.BufferedReader(BodyReader(connection), READ_SIZE)
