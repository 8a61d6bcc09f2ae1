"""From a request's head to FastCGI parameters, which are CGI's variables (RFC 3875 section 4.1): pure.

No parameter says who the site is, what it may do, or which file is meant: those are the pool's to know.  A header field
becomes HTTP_ and its name in upper case, hyphens as underscores; a name with anything but letters, digits and hyphens
is left out, for two names must not become one.  ``Proxy`` never passes: HTTP_PROXY is an instruction to libraries
(CVE-2016-5385).  Fields that say how the body was sent do not pass either, since it was received whole: CONTENT_LENGTH
is its real length.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from itkwsgi.front.http1.events import RequestHead

Params = list[tuple[bytes, bytes]]

_NAME = re.compile(r"[a-z0-9\-]+")
_NOT_PASSED = frozenset(("proxy", "content-length", "transfer-encoding", "trailer", "te", "expect"))


def connection_params(scheme: str, software: str, address: str, port: str) -> Params:
    """What is the same for all requests of a connection.

    ``address`` and ``port`` are the client's; "" for a unix socket's, whose REMOTE_ADDR is then ``unix:`` (as nginx has
    it).
    """
    params = [
        (b"SCRIPT_NAME", b""),
        (b"GATEWAY_INTERFACE", b"CGI/1.1"),
        (b"SERVER_SOFTWARE", software.encode("latin-1")),
        (b"REQUEST_SCHEME", scheme.encode("latin-1")),
        (b"REMOTE_ADDR", address.encode("latin-1") or b"unix:"),
        (b"REMOTE_PORT", port.encode("latin-1")),
    ]
    if scheme == "https":
        params.append((b"HTTPS", b"on"))
    return params


def request_params(
    head: RequestHead, connection: Params, site_name: str, listener_port: str, content_length: int | None
) -> Params:
    """All parameters of a request.

    ``site_name`` and ``listener_port`` stand in where the request names no host or port; ``content_length`` is that of
    the received body, None when the request had none (RFC 3875 section 4.1.2).
    """
    query = head.query
    port = listener_port if head.port_in_host is None else str(head.port_in_host)
    params = [
        *connection,
        (b"REQUEST_METHOD", head.method.encode("latin-1")),
        (b"PATH_INFO", head.path),
        (b"QUERY_STRING", query.encode("latin-1")),
        (b"REQUEST_URI", (f"{head.raw_path}?{query}" if query else head.raw_path).encode("latin-1")),
        (b"SERVER_NAME", (head.host or site_name).encode("latin-1")),
        (b"SERVER_PORT", port.encode("latin-1")),
        (b"SERVER_PROTOCOL", b"HTTP/1.1" if head.version == (1, 1) else b"HTTP/1.0"),
    ]
    if content_length is not None:
        params.append((b"CONTENT_LENGTH", b"%d" % content_length))
    params.extend(field_params(head.fields))
    return params


def field_params(fields: tuple[tuple[str, str], ...]) -> list[tuple[bytes, bytes]]:
    """The header fields; several of one name are joined in their order, as RFC 9110 section 5.3 has it."""
    joined: dict[bytes, bytes] = {}
    for name, value in fields:
        variable = variable_name(name)
        if variable is None:
            continue
        if variable in joined:
            separator = b"; " if variable == b"HTTP_COOKIE" else b", "  # RFC 9113 section 8.2.3 for cookies
            joined[variable] += separator + value.encode("latin-1")
        else:
            joined[variable] = value.encode("latin-1")
    return list(joined.items())


@lru_cache(1024)
def variable_name(name: str) -> bytes | None:
    """The variable of a header field (its name in lower case), None for one that does not pass."""
    if name in _NOT_PASSED or not _NAME.fullmatch(name):
        return None
    variable = name.upper().replace("-", "_")
    if variable != "CONTENT_TYPE":
        variable = f"HTTP_{variable}"
    return variable.encode("ascii")


def plain_address(address: str) -> str:
    """Without the zone of a link-local address, and an IPv4 client of an IPv6 socket as IPv4."""
    address = address.partition("%")[0]
    return address[7:] if address.startswith("::ffff:") and "." in address else address
