"""From the lines of a head to a `RequestHead`.

Lexing is one expression over all field lines: a line that it does not cover from its first octet to its CR LF is an
error, and so are folded lines, white space before the colon and controls.  Then come the rules that make a message's
end and its host unambiguous (RFC 9112 3.2, 6.1, 6.3; RFC 9110 7.2, 8.6, 10.1.1): at most one Content-Length, or exactly
one Transfer-Encoding that says "chunked", never both; one Host, the same as an absolute target's.

A gateway's variables cannot tell "-" from "_", so a name with an underscore could pose as another one; ``Proxy`` would
become HTTP_PROXY, which programs believe.  Both are dropped before anything reads them.  Upgrade is nobody's business:
a request that has one keeps its body and is answered as if it had none (RFC 9110 7.8).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from itkwsgi.errors import ClientError
from itkwsgi.front.http1.authority import Authority, parse_authority
from itkwsgi.front.http1.events import RequestHead
from itkwsgi.front.http1.grammar import TOKEN, VALUE
from itkwsgi.front.http1.target import DEFAULT_PORTS, Target, parse_target

Fields = list[tuple[str, str]]

LONGEST_METHOD = 32
LARGEST_LENGTH = 2**63 - 1
VERSIONS = {"1.1": (1, 1), "1.0": (1, 0)}

_REQUEST_LINE = re.compile(rf"({TOKEN}) ([\x21\x22\x24-\x7e]+) HTTP/([0-9]\.[0-9])")
_FIELD_LINE = re.compile(rf"^({TOKEN}):({VALUE})\r\n", re.MULTILINE)
_TABBED_FRAMING = re.compile(r"^(?:content-length|transfer-encoding):[^\r]*\t", re.MULTILINE | re.IGNORECASE)
_DIGITS = re.compile(r"[0-9]+")
_READ_HERE = frozenset(("host", "content-length", "transfer-encoding", "connection", "expect"))


class RequestLine(NamedTuple):
    """The parts of a valid request line."""

    method: str
    target: str
    version: tuple[int, int]
    parts: Target


def parse_request_line(line: str) -> RequestLine:
    """Read a request line without its CR LF.

    Raises `ClientError`: 400 malformed, 505 another version, 405 CONNECT and TRACE, 501 a method longer than 32
    characters.
    """
    found = _REQUEST_LINE.fullmatch(line)
    if found is None:
        raise ClientError(400, "a malformed request line")
    method, target, number = found.groups()
    version = VERSIONS.get(number)
    if version is None:
        raise ClientError(505, "an HTTP version other than 1.0 and 1.1")
    if method in ("CONNECT", "TRACE"):
        raise ClientError(405, f"{method} is not served")
    if len(method) > LONGEST_METHOD:
        raise ClientError(501, "a method nobody knows")
    return RequestLine(method, target, version, parse_target(method, target))


def lex_fields(text: str) -> Fields:
    """Split field lines, each with its CR LF, into names in lower case and values without white space around them.

    Raises `ClientError` 400 unless every line is a whole field, and for a tab in one that frames the body.
    """
    found = _FIELD_LINE.findall(text)
    # Each match lies within one line, from its start to its line feed: as many matches as line feeds cover the text.
    if len(found) != text.count("\n"):
        raise ClientError(400, _what_is_wrong(text))
    # The grammar allows it, but there are parsers that do not take "chunked" for what it is when a tab follows.
    if "\t" in text and _TABBED_FRAMING.search(text):
        raise ClientError(400, "a tab around Content-Length or Transfer-Encoding")
    return [(name.lower(), value.strip(" \t")) for name, value in found]


def _what_is_wrong(text: str) -> str:
    for line in text.split("\r\n"):
        if line.startswith((" ", "\t")):
            return "a folded header field"
        if line.partition(":")[0].endswith((" ", "\t")):
            return "white space before a header field's colon"
    return "a malformed header field"


def check_merged_size(fields: Fields, limit: int) -> None:
    """Refuse fields of one name that together are longer than one may be: a gateway joins them with ", ".

    Raises `ClientError` 431.
    """
    sizes: dict[str, int] = {}
    for name, value in fields:
        sizes[name] = sizes.get(name, len(name)) + len(value) + 2  # ": " or ", "
    if max(sizes.values(), default=0) > limit:
        raise ClientError(431, "header fields of one name are too long together")


def build_head(line: RequestLine, fields: Fields) -> RequestHead:
    """Apply the rules that concern several fields.

    Raises `ClientError`: 400 for ambiguous framing or host, 417 for an expectation other than 100-continue.
    """
    fields = [field for field in fields if "_" not in field[0] and field[0] != "proxy"]
    found: dict[str, list[str]] = {}
    for name, value in fields:
        if name in _READ_HERE:
            found.setdefault(name, []).append(value)
    host, port = _host(line, found.get("host", ()))
    chunked = _is_chunked(line.version, found.get("transfer-encoding", ()))
    length = _content_length(found.get("content-length", ()))
    if chunked and length is not None:
        raise ClientError(400, "both Content-Length and Transfer-Encoding")
    expects = "expect" in found and _expects_continue(found["expect"])
    return RequestHead(
        method=line.method,
        target=line.target,
        raw_path=line.parts.raw_path,
        path=line.parts.path,
        query=line.parts.query,
        version=line.version,
        host=host,
        port_in_host=port,
        fields=tuple(fields),
        content_length=length,
        chunked=chunked,
        keep_alive=_keeps_alive(line.version, found.get("connection", ())),
        expect_continue=expects and line.version == (1, 1) and (chunked or bool(length)),
    )


def _host(line: RequestLine, values: list[str] | tuple[()]) -> Authority:
    """The host: ``Host`` and an absolute target must agree, and 1.1 needs the former (RFC 9112 3.2)."""
    if len(values) > 1:
        raise ClientError(400, "more than one Host")
    if not values:
        if line.version == (1, 1):
            raise ClientError(400, "no Host")
        return line.parts.authority or Authority("", None)
    said = parse_authority(values[0])
    asked = line.parts.authority
    if asked is None:
        return said
    default = DEFAULT_PORTS[line.parts.scheme or "http"]
    if (said.host, said.port or default) != (asked.host, asked.port or default):
        raise ClientError(400, "the target's host is not the Host's")
    return asked


def _is_chunked(version: tuple[int, int], values: list[str] | tuple[()]) -> bool:
    if not values:
        return False
    if version < (1, 1):
        raise ClientError(400, "Transfer-Encoding in HTTP/1.0")
    if len(values) > 1 or values[0].lower() != "chunked":
        raise ClientError(400, 'a Transfer-Encoding other than "chunked"')
    return True


def _content_length(values: list[str] | tuple[()]) -> int | None:
    if not values:
        return None
    if len(values) > 1:
        raise ClientError(400, "more than one Content-Length")
    if not _DIGITS.fullmatch(values[0]):
        raise ClientError(400, "a malformed Content-Length")
    significant = values[0].lstrip("0") or "0"
    # The number of digits first: to convert thousands of them is slow, and Python refuses.
    if len(significant) > 19 or int(significant) > LARGEST_LENGTH:
        raise ClientError(400, "an impossible Content-Length")
    return int(significant)


def _expects_continue(values: Iterable[str]) -> bool:
    members = _members(values)
    if members - {"100-continue"}:
        raise ClientError(417, "an expectation other than 100-continue")
    return bool(members)


def _keeps_alive(version: tuple[int, int], values: list[str] | tuple[()]) -> bool:
    """RFC 9112 9.3."""
    if not values:
        return version == (1, 1)
    options = _members(values)
    return "close" not in options and (version == (1, 1) or "keep-alive" in options)


def _members(values: Iterable[str]) -> set[str]:
    """The members of a list-based field, in lower case (RFC 9110 5.6.1)."""
    return {member.strip(" \t").lower() for member in ",".join(values).split(",")} - {""}
