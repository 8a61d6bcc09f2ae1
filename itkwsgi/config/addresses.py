"""Addresses to listen on, and names of sites.

Listeners are numeric: resolving a name could hang, and root never asks the network.  Each has one spelling, so equal
listeners compare equal as text.  An IPv6 listener takes IPv6 only (the supervisor sets IPV6_V6ONLY): 0.0.0.0:80 and
[::]:80 do not clash.

Names of sites are host names as in RFC 1123, with underscores, since browsers send them, lower-cased, without the dot
at the end, non-ASCII ones encoded by IDNA; or ``*.`` before one.  A name without dots and an IPv4 address are names
too.
"""

from __future__ import annotations

import ipaddress
import os
import re

from itkwsgi.config.model import Listen
from itkwsgi.ini.values import Wrong, parse_path, parse_text, shown

# sockaddr_un holds 108 bytes with the final NUL (unix(7)).
LONGEST_SOCKET_PATH = 107
LONGEST_NAME = 253

_TCP = re.compile(r"(?:\[([^\]]*)\]|([^\[\]:]*)):([0-9]{1,5})")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_FORMS = 'write "127.0.0.1:8080", "[::1]:8080" or "unix:/path"'


def parse_listen(raw: object, directory: str) -> Listen:
    """HOST:PORT with a numeric host, [IPv6]:PORT, or unix:PATH."""
    text = parse_text(raw)
    if text.startswith("unix:"):
        return _unix(text, directory)
    match = _TCP.fullmatch(text)
    if match is None:
        raise Wrong(f"{shown(raw)} is not an address to listen on", _FORMS)
    port = int(match[3])
    if not 1 <= port <= 65535:
        raise Wrong(f"{shown(raw)}: {port} is no port: 1 to 65535")
    return _tcp_v6(text, match[1], port) if match[1] is not None else _tcp_v4(text, match[2], port)


def _tcp_v4(text: str, host: str, port: int) -> Listen:
    try:
        address = ipaddress.IPv4Address(host)
    except ValueError:
        hint = {"localhost": f"did you mean 127.0.0.1:{port}?", "*": f"did you mean 0.0.0.0:{port}?"}
        hint[""] = hint["*"]
        raise Wrong(f"{shown(text)} is not a numeric address", hint.get(host, _FORMS)) from None
    return Listen("tcp", str(address), port, "", f"{address}:{port}")


def _tcp_v6(text: str, host: str, port: int) -> Listen:
    try:
        address = ipaddress.IPv6Address(host)
    except ValueError:
        raise Wrong(f"{shown(text)} is not a numeric address", _FORMS) from None
    if address.scope_id:
        raise Wrong(f"{shown(text)}: an address with a zone is not supported")
    if address.ipv4_mapped:
        raise Wrong(f"{shown(text)}: IPv6 listeners take IPv6 only", f"did you mean {address.ipv4_mapped}:{port}?")
    return Listen("tcp", str(address), port, "", f"[{address}]:{port}")


def _unix(text: str, directory: str) -> Listen:
    path = parse_socket_path(text.removeprefix("unix:"), directory)
    return Listen("unix", "", 0, path, f"unix:{path}")


def parse_socket_path(raw: object, directory: str) -> str:
    """Where a unix socket may be: a path that fits its address."""
    if isinstance(raw, str) and raw.startswith("@"):
        raise Wrong(f"{shown(raw)}: abstract sockets are not supported: anyone may take their names")
    if isinstance(raw, str) and raw.endswith("/"):
        raise Wrong(f"{shown(raw)} is a directory, not the path of a socket")
    path = parse_path(raw, directory)
    length = len(os.fsencode(path))
    if length > LONGEST_SOCKET_PATH:
        raise Wrong(f"{shown(path)} is too long for a socket: {length} bytes, at most {LONGEST_SOCKET_PATH}")
    return path


def parse_host(raw: object) -> str:
    """A host name, or ``*.`` and a host name, in its canonical form."""
    text = parse_text(raw)
    wildcard = text.startswith("*.")
    name = _ascii(text[2:] if wildcard else text)
    if not name or len(name) > LONGEST_NAME or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise Wrong(f"{shown(raw)} is not a host name", _remedy(text))
    return f"*.{name}" if wildcard else name


def _ascii(text: str) -> str:
    """Lower-cased, without the last dot, by IDNA where it has other letters; "" when that cannot be."""
    if not text.isascii():
        if len(text) > LONGEST_NAME:  # the codec takes quadratic time
            return ""
        try:
            text = text.encode("idna").decode("ascii")
        except UnicodeError:
            return ""
    return text.lower().removesuffix(".")


def _remedy(text: str) -> str:
    if "://" in text:
        return "write the name alone, without scheme and path"
    if re.search(r":[0-9]+$", text):
        return "write the name without the port, which belongs in listen"
    if "*" in text:
        return 'a star stands for whole labels at the front: "*.example.org"'
    return ""
