"""What the supervisor told this front: the JSON of fd 4, as frozen data.

Root wrote it, so values are believed; a name that is missing or unknown means that the two roles are not of one
version, and this front must not start.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import Any, TypeVar

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


@dataclass(frozen=True, slots=True)
class Site:
    """A vhost as a front knows it.

    ``index`` names its pool; ``listeners`` are positions in the list of listeners; ``broken`` says why it cannot be
    served; ``max_clients`` None: as many as the server's leaves; ``log`` False: its answers are in no access log.
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
        sites = tuple(build(Site, site) for site in row.pop("sites"))
        return build(Settings, {**row, "listeners": listeners, "sites": sites})
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Bug(f"the front's settings: {error}") from error


def build(kind: type[Row], row: dict[str, Any]) -> Row:
    """One dataclass of a JSON object; lists become tuples.  Raises `TypeError` for a missing or an unknown name."""
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    if unknown := row.keys() - known:
        raise TypeError(f"{kind.__name__} has no {', '.join(sorted(unknown))}")
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in row.items()})
