"""What the supervisor told this front: the JSON of fd 4, as frozen data.

Root wrote it, so values are believed; a name that is missing or unknown means that the two roles are not of one
version, and this front must not start.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, TypeVar

from itkwsgi.errors import Bug

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Listener:
    """A socket to accept from.  ``text`` is how the operator wrote it, ``scheme`` http or https."""

    fd: int
    text: str
    scheme: str

    @property
    def port(self) -> str:
        """The port by the text; a unix socket has its scheme's."""
        if self.text.startswith("unix:"):
            return "443" if self.scheme == "https" else "80"
        return self.text.rpartition(":")[2]


class Limit(NamedTuple):
    """What the administrator said; None or 0 for no limit.  ``final``: nothing that the site says can change it."""

    value: float | None
    final: bool


NO_LIMIT = Limit(None, True)


@dataclass(frozen=True, slots=True)
class Limits:
    """The settings that a front itself keeps, for one part of a site's URLs.  Bytes and seconds."""

    post_max_size: Limit = NO_LIMIT
    request_timeout: Limit = NO_LIMIT
    max_input_time: Limit = NO_LIMIT
    expose_server: bool = True


UNLIMITED = Limits()


@dataclass(frozen=True, slots=True)
class Site:
    """A vhost, or a part of one, as a front knows it.

    ``index`` names its pool; ``listeners`` are positions in the list of listeners; ``broken`` says why it cannot be
    served; ``max_clients`` None: as many as the server's leaves; ``log`` False: its answers are in no access log.

    A part has a pool of its own and is served by no name: ``part_of`` is its site's index.  ``parts``: the prefixes of
    paths that have one, and its index.  ``limits``: what holds below which prefix; the last one's is "", which is all.
    Both the longest prefix first, none with a slash at its end.
    """

    index: int
    name: str
    aliases: tuple[str, ...]
    default: bool
    listeners: tuple[int, ...]
    broken: str | None = None
    server_signature: bool = True
    log: bool = True
    max_clients: int | None = None
    part_of: int | None = None
    parts: tuple[tuple[bytes, int], ...] = ()
    limits: tuple[tuple[bytes, Limits], ...] = ((b"", UNLIMITED),)

    @property
    def owner(self) -> int:
        """The index of the whole site: whoever runs a part runs the site, so what is shared out, it gets once."""
        return self.index if self.part_of is None else self.part_of


@dataclass(frozen=True, slots=True)
class Settings:
    """Times in seconds, sizes in bytes, rates in bytes per second."""

    generation: int
    fronts: int
    listeners: tuple[Listener, ...]
    sites: tuple[Site, ...]
    keepalive_timeout: float
    header_timeout: float
    body_timeout: float
    body_min_rate: float
    limit_request_line: int
    limit_request_fields: int
    limit_request_field_size: int
    max_clients: int
    max_connections_per_address: int
    server_tokens: str
    spool_dir: str
    spool_max: int
    graceful_timeout: float
    access_fd: int
    buffer_memory: int = 256 * 1024 * 1024

    def share(self, whole: int) -> int:
        """This front's part of a limit that holds for all fronts together, at least 1."""
        return max(1, whole // self.fronts)


def load(data: bytes) -> Settings:
    """Decode fd 4's content.  Raises `Bug` when it is not what this version expects."""
    try:
        row = json.loads(data)
        listeners = tuple(build(Listener, listener) for listener in row.pop("listeners"))
        sites = tuple(build_site(site) for site in row.pop("sites"))
        return build(Settings, {**row, "listeners": listeners, "sites": sites})
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Bug(f"the front's settings: {error}") from error


def build_site(row: dict[str, Any]) -> Site:
    """A site, with its parts and limits.  Raises `TypeError` and `ValueError`."""
    row = dict(row)
    if "parts" in row:
        row["parts"] = tuple((as_bytes(prefix), index) for prefix, index in row["parts"])
    if "limits" in row:
        row["limits"] = tuple((as_bytes(prefix), build_limits(limits)) for prefix, limits in row["limits"])
        if not row["limits"] or row["limits"][-1][0]:
            raise ValueError("limits that do not say what holds for all the rest")
    return build(Site, row)


def build_limits(row: dict[str, Any]) -> Limits:
    """What holds somewhere.  Raises `TypeError`."""
    return build(Limits, {name: Limit(*value) if isinstance(value, list) else value for name, value in row.items()})


def as_bytes(prefix: str) -> bytes:
    """A prefix as it stands in a path; Python writes bytes that are no UTF-8 as lone surrogates."""
    return prefix.encode("utf-8", "surrogateescape")


def build(kind: type[Row], row: dict[str, Any]) -> Row:
    """One dataclass of a JSON object; lists become tuples.  Raises `TypeError` for a missing or an unknown name."""
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    if unknown := row.keys() - known:
        raise TypeError(f"{kind.__name__} has no {', '.join(sorted(unknown))}")
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in row.items()})
