"""What a request is made of, in the order in which it arrives: one head, any number of body chunks, one end.

The parser alone makes these, and only from what it has checked, so whoever holds one need not check again.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RequestHead:
    """The request line and the header fields.

    ``target`` is the request target as sent and ``raw_path`` its path as sent ("/" where an absolute target has none,
    "*" for the server as a whole); ``path`` is that path percent-decoded, its dot segments then resolved, its slashes
    kept, without NUL, starting with a slash (or ``b"*"``); it may hold any other octet.  ``query`` is as sent, without
    the "?".  ``host`` is in lower case, without port and trailing dot, an IPv6 address in its brackets; "" only in
    HTTP/1.0.  ``fields`` are pairs of a name in lower case and a value decoded as Latin-1, in the order sent, without
    those that a gateway must not see (a name with an underscore, ``Proxy``).  ``content_length`` and ``chunked``
    exclude each other.  ``expect_continue``: the client waits for `answer.CONTINUE` before it sends the body.
    """

    method: str
    target: str
    raw_path: str
    path: bytes
    query: str
    version: tuple[int, int]
    host: str
    port_in_host: int | None
    fields: tuple[tuple[str, str], ...]
    content_length: int | None
    chunked: bool
    keep_alive: bool
    expect_continue: bool

    @property
    def has_body(self) -> bool:
        """Whether any body may follow."""
        return self.chunked or bool(self.content_length)


@dataclass(frozen=True, slots=True)
class BodyChunk:
    """A piece of the body, never empty, cut wherever it suited; the cuts mean nothing."""

    data: bytes


@dataclass(frozen=True, slots=True)
class EndOfRequest:
    """The request is complete; what follows is the next one's."""


Event = RequestHead | BodyChunk | EndOfRequest
