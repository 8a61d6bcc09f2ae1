"""FastCGI as the front reads it: the answer to one request, which a site's code wrote.  Strict for that reason.

A module of its own, because no site's process has any use for it.
"""

from __future__ import annotations

from itkwsgi.wire.events import Deadline, RequestEnded, StderrData, StdoutData
from itkwsgi.wire.fastcgi import DEADLINE, END, TIME
from itkwsgi.wire.records import END_REQUEST, STDERR, STDOUT, PieceReader, ProtocolError, fixed_body

TYPE_CHECKING = False
if TYPE_CHECKING:
    from itkwsgi.wire.events import AnswerEvent


class AnswerDecoder:
    """The front's side: the answer to one request."""

    __slots__ = ("_begun", "_body", "_ended", "_reader", "_request_id", "_stdout_ended")

    def __init__(self, request_id: int = 1) -> None:
        self._reader = PieceReader()
        self._request_id = request_id
        self._body = bytearray()
        self._begun = False
        self._stdout_ended = False
        self._ended = False

    def feed(self, data: bytes) -> None:
        """Add what was read."""
        self._reader.feed(data)

    def next_event(self) -> AnswerEvent | None:
        """The next event, None when more bytes are needed; after `RequestEnded` there is none.

        Raises `ProtocolError` for anything but STDOUT, STDERR, one END_REQUEST of this request, and one DEADLINE before
        any STDOUT.  A connection that ends without `RequestEnded` is a truncated answer: the caller's to notice.
        """
        while True:
            piece = self._reader.next_piece()
            if piece is None:
                return None
            kind, request_id, data, last = piece
            if request_id != self._request_id or self._ended:
                raise ProtocolError("a FastCGI record after the answer's end, or of another request")
            if kind == STDOUT:
                if self._stdout_ended:
                    raise ProtocolError("an answer that goes on after the end of its stream")
                self._begun = True
                if data:
                    return StdoutData(data)
                self._stdout_ended = True
            elif kind == STDERR:
                if data:
                    return StderrData(data)
            elif kind == END_REQUEST:
                body = fixed_body(self._body, data, last)
                if body is not None:
                    self._ended = True
                    return RequestEnded(*END.unpack(body))
            elif kind == DEADLINE and not self._begun:
                body = fixed_body(self._body, data, last)
                if body is not None:
                    self._begun = True  # said once, else each of very many would start a clock anew
                    return Deadline(TIME.unpack(body)[0] / 1000 or None)
            else:
                raise ProtocolError(f"a FastCGI record of type {kind} in an answer")
