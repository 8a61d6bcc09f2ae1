"""What the two FastCGI decoders find: one small class for each thing that can be said.

Plain classes with slots, because they are made for each request in a site's interpreter, where every import costs.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Union


class Event:
    """What a decoder found.  Equal when type and fields are."""

    __slots__: tuple[str, ...] = ()

    def _fields(self) -> tuple[Any, ...]:
        return tuple([getattr(self, name) for name in self.__slots__])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Event) and type(self) is type(other) and self._fields() == other._fields()

    def __hash__(self) -> int:
        return hash((type(self), self._fields()))

    def __repr__(self) -> str:
        fields = ", ".join([f"{name}={getattr(self, name)!r}" for name in self.__slots__])
        return f"{type(self).__name__}({fields})"


class RequestBegun(Event):
    """BEGIN_REQUEST.  Answer a role other than `RESPONDER` and `AUTHORIZER` with `UNKNOWN_ROLE`."""

    __slots__ = ("keep_conn", "request_id", "role")

    def __init__(self, role: int, keep_conn: bool, request_id: int) -> None:
        self.role = role
        self.keep_conn = keep_conn
        self.request_id = request_id


class RequestParams(Event):
    """All parameters of the request."""

    __slots__ = ("params",)

    def __init__(self, params: dict[bytes, bytes]) -> None:
        self.params = params


class StdinData(Event):
    """A piece of the request's body, never empty."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


class StdinEnd(Event):
    """The body is complete."""

    __slots__ = ()


class RequestAborted(Event):
    """ABORT_REQUEST: the visitor is gone.  What still comes for this request is ignored."""

    __slots__ = ()


class RequestRefused(Event):
    """A second request began on a busy connection.  Answer that id with `CANT_MPX_CONN`."""

    __slots__ = ("request_id",)

    def __init__(self, request_id: int) -> None:
        self.request_id = request_id


class GetValues(Event):
    """FCGI_GET_VALUES.  Answer with `encode_get_values_result`."""

    __slots__ = ("names",)

    def __init__(self, names: tuple[bytes, ...]) -> None:
        self.names = names


class UnknownRecord(Event):
    """A management record of a type we do not know.  Answer with `encode_unknown_type`."""

    __slots__ = ("type",)

    def __init__(self, type: int) -> None:
        self.type = type


class StdoutData(Event):
    """A piece of the answer, never empty."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


class StderrData(Event):
    """A piece of what the application says to the web server's log, never empty."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


class RequestEnded(Event):
    """END_REQUEST: the answer is complete."""

    __slots__ = ("app_status", "protocol_status")

    def __init__(self, app_status: int, protocol_status: int) -> None:
        self.app_status = app_status
        self.protocol_status = protocol_status


class Deadline(Event):
    """How long the request may take in all, in seconds; None for any time."""

    __slots__ = ("seconds",)

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds


if TYPE_CHECKING:
    RequestEvent = Union[
        RequestBegun, RequestParams, StdinData, StdinEnd, RequestAborted, RequestRefused, GetValues, UnknownRecord
    ]
    AnswerEvent = Union[StdoutData, StderrData, RequestEnded, Deadline]
