"""The request target (RFC 9112 3.2) and the path in it.

Three of its four forms are served: ``/path?query``, ``http://host/path?query`` and, for OPTIONS, ``*``.  The fourth
belongs to CONNECT, which is not.

The path is decoded once and its dot segments are resolved after that (RFC 3986 5.2.4), so ``%2e%2e`` climbs exactly as
``..`` does, and what would climb above the root is refused instead of being cut.  Slashes are not merged.  A second
decoding never happens: ``%252e`` is a file name with a percent sign.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from itkwsgi.errors import ClientError
from itkwsgi.front.http1.authority import Authority, parse_authority

DEFAULT_PORTS = {"http": 80, "https": 443}

_ABSOLUTE = re.compile(r"(https?)://([^/?]*)([^?]*)(?:\?(.*))?", re.IGNORECASE)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})|%00")


class Target(NamedTuple):
    """The parts of a request target; ``scheme`` and ``authority`` only of an absolute one."""

    raw_path: str
    path: bytes
    query: str
    scheme: str | None = None
    authority: Authority | None = None


def parse_target(method: str, text: str) -> Target:
    """Take a target apart that consists of visible ASCII without "#".

    Raises `ClientError` 400 if it has none of the forms that go with the method, or its path or host is bad.
    """
    if text.startswith("/"):
        raw_path, _, query = text.partition("?")
        return Target(raw_path, resolve_path(raw_path), query)
    if text == "*" and method == "OPTIONS":
        return Target("*", b"*", "")
    return _parse_absolute(method, text)


def _parse_absolute(method: str, text: str) -> Target:
    found = _ABSOLUTE.fullmatch(text)
    if found is None:
        raise ClientError(400, "a request target of no known form")
    scheme, host, raw_path, query = found.groups()
    authority = parse_authority(host)
    if not raw_path and query is None and method == "OPTIONS":
        return Target("*", b"*", "", scheme.lower(), authority)  # RFC 9112 3.2.4
    raw_path = raw_path or "/"
    return Target(raw_path, resolve_path(raw_path), query or "", scheme.lower(), authority)


def resolve_path(raw_path: str) -> bytes:
    """Decode an ASCII path that starts with "/" and resolve its dot segments.

    Raises `ClientError` 400 for a percent sign without two hexadecimal digits, an escaped NUL, or a path above the
    root.
    """
    if "%" not in raw_path:
        path = raw_path.encode("ascii")
    elif _BAD_ESCAPE.search(raw_path):
        raise ClientError(400, "a bad escape in the path")
    else:
        path = unquote_to_bytes(raw_path)
    return _without_dot_segments(path) if b"/." in path else path


def _without_dot_segments(path: bytes) -> bytes:
    """RFC 3986 5.2.4, but for ``..`` at the root."""
    kept: list[bytes] = []
    segments = path.split(b"/")[1:]
    for segment in segments:
        if segment == b"..":
            if not kept:
                raise ClientError(400, "a path above the root")
            kept.pop()
        elif segment != b".":
            kept.append(segment)
    if segments[-1] in (b".", b".."):
        kept.append(b"")
    return b"/" + b"/".join(kept)
