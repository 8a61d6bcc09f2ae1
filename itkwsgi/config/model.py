"""The configuration as the other parts see it: frozen, slotted, plain data.

Units: times are seconds (float), sizes bytes (int), ids numbers.  Names were looked up and paths made absolute by the
loader; nothing here asks the machine anything.  The fields of `Server`, `Environment` and `Vhost` bear the names of
their keys in itk.toml; what was resolved from them stands beside them (``user_id``, ``front_ids``, ``listens`` ...).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from itkwsgi.errors import OperatorError
from itkwsgi.ini.merge import Said
from itkwsgi.ini.registry import BY_NAME

__all__ = [
    "Area", "Config", "ConfigError", "Environment", "Ids", "Listen", "PoolSocket", "Problem", "Said", "Server", "Vhost",
    "in_order",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, or worth knowing, and where it was said.  ``line`` 0: nowhere in particular."""

    file: str
    line: int
    key: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        """``file:line: key: what is wrong (hint)``, always one line."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        hint = f" ({self.hint})" if self.hint else ""
        return ": ".join(part for part in (place, self.key, self.message + hint) if part)


def in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Sorted by file and line, each once."""
    return tuple(sorted(set(problems), key=lambda p: (p.file, p.line, p.key, p.message, p.hint)))


class ConfigError(OperatorError):
    """The configuration cannot be served; ``problems`` holds every reason, ``str()`` is one line for each."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = in_order(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


@dataclass(frozen=True, slots=True)
class Ids:
    """Who a process is to be.  ``groups`` are the supplementary ones, sorted, without ``gid``.

    A number without an account has its number as ``name``, and no ``home`` and ``shell``.
    """

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    name: str = ""
    home: str = ""
    shell: str = ""


@dataclass(frozen=True, slots=True)
class Listen:
    """An address to listen on: "tcp" with ``host`` (numeric, IPv6 without brackets) and ``port``, or "unix" with
    ``path``.

    ``text`` is its one canonical spelling: 127.0.0.1:80, [::1]:80, unix:/run/x.sock.  IPv6 listeners take IPv6 only.
    """

    kind: str
    host: str
    port: int
    path: str
    text: str


@dataclass(frozen=True, slots=True)
class PoolSocket:
    """A site's own socket for another web server: owner and group as numbers, ``mode`` its permission bits."""

    path: str
    uid: int
    gid: int
    mode: int


@dataclass(frozen=True, slots=True)
class Area:
    """What is said for a part of a site's requests: [[vhost.directory]] or [[vhost.location]]; ``where``: file:line.

    ``path`` of a directory is an absolute path, of a location the canonical path of a URL without a slash at its end,
    so that "" is all of it.
    """

    path: str
    settings: dict[str, Said]
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """[server].  Users as they were said or by default, at the end what they are.

    ``user_id`` is who a site is that names no user: None when that account does not exist and was not asked for.
    Started by an ordinary user all four identities are that user.
    """

    listen: tuple[Listen, ...]
    user: str | int | None
    group: str | int | None
    front_user: str | int
    zygote_user: str | int
    log_user: str | int
    uid_range: tuple[int, int]
    gid_range: tuple[int, int]
    id_namespace: bool
    fronts: int
    max_clients: int
    keepalive_timeout: float
    header_timeout: float
    body_timeout: float
    body_min_rate: int
    limit_request_line: int
    limit_request_fields: int
    limit_request_field_size: int
    max_connections_per_address: int
    server_tokens: str
    run_dir: str
    access_log: str
    error_log: str
    graceful_timeout: float
    max_pools: int
    max_imports: int
    spool_dir: str
    spool_max: int
    log_max: int

    user_id: Ids | None
    front_ids: Ids
    zygote_ids: Ids
    log_ids: Ids


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """[environment.NAME]: an interpreter and its packages, preloaded once for all its sites; ``where``: file:line."""

    name: str
    venv: str
    preload: tuple[str, ...]
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Vhost:
    """One [[vhost]].  With ``problems`` it is broken: it answers errors and never runs; ``ids`` may then be None.

    ``user`` is as it was said, None for the server's.  ``app``: a file is an absolute path, anything else a module;
    either may have ``:callable`` after it; ``file`` is where the app is, as far as its name tells.  At most one of
    ``environment`` (a name), ``venv`` and ``python`` is set; none of them: the system's interpreter.  ``access_log``
    and ``error_log`` None: the server's.

    ``settings`` holds what its own tables say, by name; ``directories`` and ``locations`` what is said for parts of it,
    from the shortest path to the longest, each path once; ``allow_override`` the settings that its own files may set.
    ``holding``: what is in force in its pool from before the import.  ``public``: where URLs map to files, or None.

    ``part_of``: such a Vhost is the pool of its own that the paths below ``prefix`` of that site (an index) have, and
    ``holding`` is what the administrator says there.

    ``binary``: what to execute for the interpreter of a site that is confined, where that is a link which the site
    could change, and what it leads to is not; None for the interpreter itself.  ``private_tmp``: /tmp is the site's
    own, and with ``private_var_tmp`` /var/tmp too.
    """

    index: int
    name: str
    aliases: tuple[str, ...]
    listens: tuple[Listen, ...]
    default: bool
    user: str | int | None
    ids: Ids | None
    app: str
    file: str
    root: str
    public: str | None
    environment: str | None
    venv: str | None
    python: str | None
    env: tuple[tuple[str, str], ...]
    nice: int
    preload: str
    requests_per_child: int
    min_spare: int
    idle_timeout: float
    startup_timeout: float
    no_new_privs: bool
    private_tmp: bool
    private_var_tmp: bool
    exit_grace: float
    warmup: tuple[str, ...]
    server_signature: bool
    access_log: str | None
    error_log: str | None
    pool_socket: PoolSocket | None
    settings: dict[str, Said]
    directories: tuple[Area, ...]
    locations: tuple[Area, ...]
    allow_override: tuple[str, ...]
    holding: dict[str, Said]
    part_of: int | None
    prefix: str
    binary: str | None
    problems: tuple[Problem, ...]
    where: str

    def setting(self, name: str) -> Any:
        """The value of a setting in its pool: what holds there, else the default.  Raises KeyError for no name of
        one."""
        said = self.holding.get(name)
        return BY_NAME[name].default if said is None else said.value


@dataclass(frozen=True, slots=True)
class Config:
    """All of it.  ``listens`` is every address to bind, each once; ``notes`` are worth saying and stop nothing.

    ``vhosts``: each has a pool; the sites come first, then their parts, and ``index`` is the position in here.
    """

    path: str
    server: Server
    environments: dict[str, Environment]
    vhosts: tuple[Vhost, ...]
    notes: tuple[Problem, ...]
    listens: tuple[Listen, ...]

    @property
    def sites(self) -> tuple[Vhost, ...]:
        """The sites alone, without their parts."""
        return tuple(vhost for vhost in self.vhosts if vhost.part_of is None)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is wrong with single sites, all of them."""
        return in_order(problem for vhost in self.vhosts for problem in vhost.problems)
