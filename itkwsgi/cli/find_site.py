"""Which site answers a URL, by the configuration alone: what a front makes of a request target and a Host field.

A front has a listener, a URL perhaps a port.  So a name is looked for on every listener that the URL may mean: those of
its port, else, since another server may stand in front, unix sockets; without a port all, that of the scheme first.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from itkwsgi.config.addresses import parse_host
from itkwsgi.config.model import Config, Listen, Vhost
from itkwsgi.errors import OperatorError
from itkwsgi.ini.tighter import is_within
from itkwsgi.ini.values import Wrong, quoted

PORTS = {"http": 80, "https": 443}

_URL = re.compile(r"(?:([a-z][a-z0-9+.-]*)://)?([^/?#]*)([^?#]*).*", re.IGNORECASE | re.DOTALL)
_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[^\[\]:@*]+)(?::([0-9]{1,5}))?", re.IGNORECASE)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})|%00")


class NoSite(OperatorError):
    """No site answers, and what does; or the URL is none."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A URL.  ``host`` as names of sites are written, ``port`` None when none is named, ``path`` as the app gets it
    (decoded, as file names are in Python).
    """

    scheme: str
    host: str
    port: int | None
    path: str


@dataclass(frozen=True, slots=True)
class Answer:
    """Who answers, on which listener, and by what: its name, one of its patterns, or as the default."""

    site: Vhost
    listen: Listen
    by: str


# --- what is asked for


def parse_url(url: str) -> Asked:
    """A URL with or without its scheme.  Raises `NoSite`."""
    found = _URL.fullmatch(url)
    assert found is not None  # it matches anything
    scheme, authority, raw_path = (found[1] or "http").lower(), found[2], found[3]
    parts = _AUTHORITY.fullmatch(authority)
    if scheme not in PORTS or parts is None:
        raise NoSite(f"{quoted(url)} is no URL of a site (write http://host/path)")
    port = int(parts[2]) if parts[2] else None
    if port is not None and not 1 <= port <= 65535:
        raise NoSite(f"{quoted(url)} is no URL: {port} is no port")
    try:
        host = parts[1].lower() if parts[1].startswith("[") else parse_host(parts[1])
    except Wrong:
        raise NoSite(f"{quoted(url)} is no URL: {quoted(parts[1])} is not a host name") from None
    return Asked(scheme, host, port, path_of(raw_path))


def path_of(raw: str) -> str:
    """The path as a front hands it on: decoded once, then without its dot segments (RFC 3986 section 5.2.4).

    Raises `NoSite` for one that it refuses.
    """
    if _BAD_ESCAPE.search(raw):
        raise NoSite("no site sees a path with a bad escape: the answer is 400 Bad Request")
    kept: list[str] = []
    segments = os.fsdecode(unquote_to_bytes(os.fsencode(raw or "/"))).split("/")[1:]
    for segment in segments:
        if segment == ".." and not kept:
            raise NoSite("no site sees a path above the root: the answer is 400 Bad Request")
        if segment == "..":
            kept.pop()
        elif segment != ".":
            kept.append(segment)
    return "/" + "/".join([*kept, ""] if segments[-1] in (".", "..") else kept)


# --- who answers


def find_site(config: Config, asked: Asked) -> Answer:
    """The site that answers.  Raises `NoSite`."""
    listens = candidates(config.listens, asked)
    if not listens:
        where = ", ".join(listen.text for listen in config.listens) or "no address"
        raise NoSite(f"nothing listens on port {asked.port} (the server listens on {where})")
    for listen in listens:
        site = by_name(on(config, listen), asked.host)
        if site is not None:
            return Answer(site, listen, "by its name" if asked.host in (site.name, *site.aliases) else "by a pattern")
    for listen in listens:
        for site in on(config, listen):
            if site.default:
                return Answer(site, listen, "as the default")
    raise NoSite(f"no site answers for {asked.host}: the answer is 421 Misdirected Request")


def candidates(listens: Sequence[Listen], asked: Asked) -> list[Listen]:
    """The listeners that the URL may mean, the likeliest first."""
    if asked.port is None:
        port = PORTS[asked.scheme]
        return sorted(listens, key=lambda listen: (listen.port != port, host_text(listen) != asked.host))
    found = [listen for listen in listens if listen.kind == "tcp" and listen.port == asked.port]
    found.sort(key=lambda listen: host_text(listen) != asked.host)
    return found or [listen for listen in listens if listen.kind == "unix"]


def host_text(listen: Listen) -> str:
    """The host of an address as it stands in a URL."""
    return f"[{listen.host}]" if ":" in listen.host else listen.host


def on(config: Config, listen: Listen) -> list[Vhost]:
    """The sites on that listener."""
    return [site for site in config.sites if listen in site.listens]


def by_name(sites: Sequence[Vhost], host: str) -> Vhost | None:
    """The site of exactly that name, else that of the longest pattern; of two the first."""
    names = {name: site for site in reversed(sites) for name in (site.name, *site.aliases)}
    return next((names[name] for name in spellings(host) if name in names), None)


def spellings(host: str) -> Iterator[str]:
    """The names under which a site may have that host."""
    yield host
    rest = host.partition(".")[2]
    while rest:
        yield f"*.{rest}"
        rest = rest.partition(".")[2]


def part_of(config: Config, site: Vhost, path: str) -> Vhost | None:
    """The part of the site whose pool serves that canonical path; None for the site's own."""
    parts = [vhost for vhost in config.vhosts if vhost.part_of == site.index and is_within(path, vhost.prefix)]
    return max(parts, key=lambda part: len(part.prefix), default=None)
