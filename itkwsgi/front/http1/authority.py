"""A host and perhaps a port, as they stand in ``Host`` and in an absolute target (RFC 3986 3.2, RFC 9110 4.2, 7.2).

Accepted are names as DNS and its users write them (letters, digits, hyphen, underscore), dotted IPv4 addresses and
bracketed IPv6 addresses.  Refused is whatever another program could take for a different host: user information,
percent escapes, octal, hexadecimal or short IPv4 forms, zone identifiers, an empty host.  As in the WHATWG URL standard
a name whose last label is a number must be an IPv4 address.
"""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

from itkwsgi.errors import ClientError

LONGEST_NAME = 253

_LABEL = r"[0-9a-z_\-]{1,63}"
_AUTHORITY = re.compile(rf"({_LABEL}(?:\.{_LABEL})*)\.?(?::([0-9]{{0,5}}))?")
_IPV6_AUTHORITY = re.compile(r"\[([0-9a-f:.]{2,45})\](?::([0-9]{0,5}))?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_IPV4 = re.compile(r"(?:(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(?:\.(?!$)|$)){4}")


class Authority(NamedTuple):
    """``host`` in lower case, without a trailing dot, IPv6 in brackets; ``port`` 1 to 65535, or None if none is
    given."""

    host: str
    port: int | None


def parse_authority(text: str) -> Authority:
    """Read ``host`` or ``host:port``.  Raises `ClientError` 400 for anything else."""
    text = text.lower()
    found = _AUTHORITY.fullmatch(text)
    if found is None:
        return _parse_ipv6(text)
    host, port = found.groups()
    last = host.rpartition(".")[2]
    if len(host) > LONGEST_NAME or (_NUMBER.fullmatch(last) and not _IPV4.fullmatch(host)):
        raise ClientError(400, "a malformed host")
    return Authority(host, _port(port) if port else None)


def _parse_ipv6(text: str) -> Authority:
    found = _IPV6_AUTHORITY.fullmatch(text)
    if found is None:
        raise ClientError(400, "a malformed host")
    address, port = found.groups()
    try:
        ipaddress.IPv6Address(address)
    except ValueError as error:
        raise ClientError(400, "a malformed IPv6 address as host") from error
    return Authority(f"[{address}]", _port(port) if port else None)


def _port(digits: str) -> int:
    port = int(digits)
    if not 0 < port < 65536:
        raise ClientError(400, "a port out of range")
    return port
