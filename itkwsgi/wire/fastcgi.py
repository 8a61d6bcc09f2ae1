"""FastCGI 1.0, the responder's side and the web server's: bytes to events and back, no sockets.

One request at a time on a connection (FCGI_MPXS_CONNS is 0).  A request's order is the specification's (section 6.2):

    BEGIN_REQUEST, PARAMS..., empty PARAMS, STDIN..., empty STDIN     ->  `RequestDecoder`, in the pool
    STDOUT and STDERR..., END_REQUEST                                 ->  `answers.AnswerDecoder`, in the front

An authorizer (section 6.3) is asked whether a request may come: the parameters of it all, no STDIN, and 200 for yes.
One record type is ours, DEADLINE: a child of the server's own tells the front how long this request may take.

The pool's side is liberal where the specification says so (records of unknown requests are ignored, management records
answered), since foreign web servers speak to it.  The front's side is strict: what it reads, a site's code wrote.
Usage of both: ``feed()`` what was read, then ``next_event()`` until it says None.  A `ProtocolError` is final.
"""

from __future__ import annotations

import struct

from itkwsgi.wire.events import (
    Deadline,
    GetValues,
    RequestAborted,
    RequestBegun,
    RequestEnded,
    RequestParams,
    RequestRefused,
    StderrData,
    StdinData,
    StdinEnd,
    StdoutData,
    UnknownRecord,
)
from itkwsgi.wire.records import (
    ABORT_REQUEST,
    BEGIN_REQUEST,
    BODY_SIZE,
    DATA,
    END_REQUEST,
    GET_VALUES,
    GET_VALUES_RESULT,
    MAX_CONTENT,
    PARAMS,
    STDERR,
    STDIN,
    STDOUT,
    UNKNOWN_TYPE,
    VERSION,
    PieceReader,
    ProtocolError,
    decode_pairs,
    encode_pairs,
    encode_record,
    encode_stream,
    fixed_body,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from itkwsgi.wire.events import RequestEvent

__all__ = [
    "ABORT_REQUEST",
    "AGAIN",
    "AUTHORIZER",
    "BEGIN_REQUEST",
    "CANT_MPX_CONN",
    "DATA",
    "DEADLINE",
    "END_REQUEST",
    "GET_VALUES",
    "GET_VALUES_RESULT",
    "KEEP_CONN",
    "MAX_CONTENT",
    "MAX_PARAMS",
    "OVERLOADED",
    "PARAMS",
    "REQUEST_COMPLETE",
    "RESPONDER",
    "STDERR",
    "STDIN",
    "STDOUT",
    "UNKNOWN_ROLE",
    "UNKNOWN_TYPE",
    "Deadline",
    "GetValues",
    "ProtocolError",
    "RequestAborted",
    "RequestBegun",
    "RequestDecoder",
    "RequestEnded",
    "RequestParams",
    "RequestRefused",
    "StderrData",
    "StdinData",
    "StdinEnd",
    "StdoutData",
    "UnknownRecord",
    "decode_simple_request",
    "encode_deadline",
    "encode_end_request",
    "encode_get_values_result",
    "encode_request_head",
    "encode_stdin",
    "encode_stdout",
    "encode_stdout_end",
    "encode_unknown_type",
]

RESPONDER = 1  # role
AUTHORIZER = 2
KEEP_CONN = 1  # flag: the web server may send another request on this connection

REQUEST_COMPLETE = 0  # protocol status
CANT_MPX_CONN = 1
OVERLOADED = 2
UNKNOWN_ROLE = 3
AGAIN = 64  # of our own, to the front: nothing ran, and the next pool of this site is to be asked

MAX_PARAMS = 256 * 1024  # bytes of a request's PARAMS, lengths included: four times what the front lets a head have

DEADLINE = 200  # a record of our own, from a child to the front, before its answer

_BEGIN = struct.Struct(">HB5x")  # role, flags
END = struct.Struct(">IB3x")  # application status, protocol status
TIME = struct.Struct(">Q")  # milliseconds, 0 for none
_UNKNOWN = struct.Struct(">B7x")  # type
_SIMPLE = struct.Struct(">BBHHBxH6xBBHHBx")  # BEGIN_REQUEST, and the header of PARAMS
_EMPTY_ENDS = struct.Struct(">BBHHBxBBHHBx")  # the ends of PARAMS and STDIN


def encode_request_head(
    params: Iterable[tuple[bytes, bytes]], *, role: int = RESPONDER, keep_conn: bool = False, request_id: int = 1
) -> bytes:
    """BEGIN_REQUEST for that role, the parameters and their end."""
    begin = _BEGIN.pack(role, KEEP_CONN if keep_conn else 0)
    return b"".join(
        (
            encode_record(BEGIN_REQUEST, request_id, begin),
            encode_stream(PARAMS, request_id, encode_pairs(params)),
            encode_record(PARAMS, request_id, b""),
        )
    )


def encode_stdin(data: bytes, request_id: int = 1) -> bytes:
    """A piece of the request's body; b"" ends it."""
    return encode_stream(STDIN, request_id, data) or encode_record(STDIN, request_id, b"")


def encode_stdout(data: bytes, request_id: int = 1) -> bytes:
    """A piece of the answer; b"" gives no record."""
    return encode_stream(STDOUT, request_id, data)


def encode_stdout_end(request_id: int = 1) -> bytes:
    """The answer is complete; END_REQUEST follows."""
    return encode_record(STDOUT, request_id, b"")


def encode_end_request(app_status: int = 0, protocol_status: int = REQUEST_COMPLETE, request_id: int = 1) -> bytes:
    """The request is over."""
    return encode_record(END_REQUEST, request_id, END.pack(app_status, protocol_status))


def encode_deadline(seconds: float | None, request_id: int = 1) -> bytes:
    """The request may take so long in all, None for any time: the front answers 504 then."""
    return encode_record(DEADLINE, request_id, TIME.pack(max(1, int(seconds * 1000)) if seconds else 0))


def encode_get_values_result(values: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The answer to `GetValues`: those of the names asked for that we know (section 4.1)."""
    return encode_record(GET_VALUES_RESULT, 0, encode_pairs(values))


def encode_unknown_type(type: int) -> bytes:
    """The answer to `UnknownRecord` (section 4.2)."""
    return encode_record(UNKNOWN_TYPE, 0, _UNKNOWN.pack(type))


# How far a request came.
_HEAD = 0
_BODY = 1
_WHOLE = 2
_ABORTED = 3


def decode_simple_request(data: bytes) -> tuple[int, dict[bytes, bytes]] | None:
    """``(request id, params)`` of what is exactly one whole request without a body, as `encode_request_head` makes it.

    None for anything else, malformed or only longer: that takes a `RequestDecoder`.  Nearly every request is a simple
    one, and each is the first thing its process does, on memory that is copied for it page by page.
    Raises `ProtocolError` as the decoder would.
    """
    if len(data) < _SIMPLE.size:
        return None
    version, kind, request_id, size, padding, role, version2, kind2, id2, size2, padding2 = _SIMPLE.unpack_from(data)
    end = _SIMPLE.size + size2
    if (version, kind, size, padding, role) != (VERSION, BEGIN_REQUEST, BODY_SIZE, 0, RESPONDER):
        return None
    if (version2, kind2, id2) != (VERSION, PARAMS, request_id) or not size2 or not request_id:
        return None
    if data[end + padding2 :] != _EMPTY_ENDS.pack(VERSION, PARAMS, request_id, 0, 0, VERSION, STDIN, request_id, 0, 0):
        return None
    return request_id, decode_pairs(data[_SIMPLE.size : end])


class RequestDecoder:
    """The pool's side.  ``request_id`` is the active request's, 0 when there is none."""

    __slots__ = ("_body", "_params", "_params_size", "_reader", "_stage", "request_id")

    def __init__(self) -> None:
        self._reader = PieceReader()
        self._body = bytearray()  # of a record that is no stream
        self.reset()

    def reset(self) -> None:
        """The request was answered: wait for the next one.  What still comes for the old one is ignored."""
        self.request_id = 0
        self._stage = _HEAD
        self._params: list[bytes] = []
        self._params_size = 0

    def feed(self, data: bytes) -> None:
        """Add what was read; b"" is permitted and changes nothing."""
        self._reader.feed(data)

    def next_event(self) -> RequestEvent | None:
        """The next event, None when more bytes are needed.

        Raises `ProtocolError` for what no web server may send: another version, malformed records, disordered streams.
        """
        while True:
            piece = self._reader.next_piece()
            if piece is None:
                return None
            event = self._take(*piece)
            if event is not None:
                return event

    def _take(self, kind: int, request_id: int, data: bytes, last: bool) -> RequestEvent | None:
        if request_id == 0:
            return self._take_management(kind, data, last)
        if kind == BEGIN_REQUEST:
            return self._take_begin(request_id, data, last)
        if request_id != self.request_id or self._stage == _ABORTED:
            return None  # of a request that is over, or was refused (section 3.3, "Managing Request IDs")
        if kind == STDIN:
            return self._take_stdin(data)
        if kind == PARAMS:
            return self._take_params(data)
        if kind == ABORT_REQUEST and last:
            self._stage = _ABORTED
            return RequestAborted()
        if kind not in (ABORT_REQUEST, DATA):
            raise ProtocolError(f"a FastCGI record of type {kind} within a request")
        return None

    def _take_begin(self, request_id: int, data: bytes, last: bool) -> RequestEvent | None:
        body = fixed_body(self._body, data, last)
        if body is None:
            return None
        if request_id == self.request_id:
            raise ProtocolError("a FastCGI request that began twice")
        if self.request_id:
            return RequestRefused(request_id)
        self.request_id = request_id
        role, flags = _BEGIN.unpack(body)
        return RequestBegun(role, bool(flags & KEEP_CONN), request_id)

    def _take_params(self, data: bytes) -> RequestEvent | None:
        if self._stage != _HEAD:
            raise ProtocolError("FastCGI parameters after their end")
        if data:
            self._params_size += len(data)
            if self._params_size > MAX_PARAMS:
                raise ProtocolError(f"more than {MAX_PARAMS} bytes of FastCGI parameters")
            self._params.append(data)
            return None
        self._stage = _BODY
        params = b"".join(self._params)
        self._params = []
        return RequestParams(decode_pairs(params))

    def _take_stdin(self, data: bytes) -> RequestEvent:
        if self._stage != _BODY:
            raise ProtocolError("a FastCGI body before the parameters' end, or after its own")
        if data:
            return StdinData(data)
        self._stage = _WHOLE
        return StdinEnd()

    def _take_management(self, kind: int, data: bytes, last: bool) -> RequestEvent | None:
        if kind == BEGIN_REQUEST:
            raise ProtocolError("a FastCGI request without an id")
        if kind == GET_VALUES:
            self._body += data
        if not last:
            return None
        if kind != GET_VALUES:
            return UnknownRecord(kind)
        names = tuple(decode_pairs(bytes(self._body)))
        self._body.clear()
        return GetValues(names)
