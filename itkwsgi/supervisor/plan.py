"""From the configuration to what each process is told: pure.

A zygote gets its interpreter and what to preload; a pool its plan; a front the table of sites.  The front learns of a
site its names and nothing else: no user, no path of the site's.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from itkwsgi.config.confined import WALLS
from itkwsgi.config.coverage import coverage_of
from itkwsgi.ini.registry import BY_NAME
from itkwsgi.ini.tighter import is_within
from itkwsgi.linux.namespaces import overflow_uid
from itkwsgi.supervisor.confinement import confinement
from itkwsgi.supervisor.settings import pool_settings

if TYPE_CHECKING:
    from collections.abc import Collection

    from itkwsgi.config.model import Config, Listen, Said, Vhost

SYSTEM_PYTHON = "/usr/bin/python3"
BARE = ""  # the zygote that preloads nothing: system interpreter, and sites with an interpreter of their own
FRONT_LIMITS = ("post_max_size", "request_timeout", "max_input_time")
PRIVATE = "private "  # begins the key of a zygote that is one site's: no environment has a space in its name


@dataclass(frozen=True, slots=True)
class ZygotePlan:
    """One zygote: ``key`` is its environment's name, "" for the bare one; ``name`` is for people.

    ``private``: the one site it is for, in a mount namespace of its own.  ``no_new_privs``: no site of it is to run
    setuid programs.
    """

    key: str
    name: str
    python: str
    preload: tuple[str, ...]
    no_new_privs: bool = True
    private: Vhost | None = None


def zygote_plans(config: Config) -> list[ZygotePlan]:
    """The zygotes that are there from the start."""
    sites: dict[str, list[Vhost]] = {}
    for vhost in config.vhosts:
        if vhost.ids is not None and not vhost.private_tmp:
            sites.setdefault(zygote_key(vhost), []).append(vhost)
    return [zygote_plan(config, key, sites[key]) for key in sorted(sites)]


def zygote_plan(config: Config, environment: str, sites: list[Vhost]) -> ZygotePlan:
    """The zygote of an environment, for these sites."""
    no_new_privs = all(vhost.no_new_privs for vhost in sites)
    if environment == BARE:
        return ZygotePlan(BARE, "system", SYSTEM_PYTHON, (), no_new_privs)
    found = config.environments[environment]
    return ZygotePlan(environment, environment, venv_python(found.venv), tuple(found.preload), no_new_privs)


def private_plan(config: Config, vhost: Vhost) -> ZygotePlan:
    """The zygote that one site with ``private_tmp`` has while it is awake."""
    plan = zygote_plan(config, environment_key(vhost), [vhost])
    return replace(plan, key=zygote_key(vhost), name=PRIVATE + vhost.name, private=vhost)


def zygote_key(vhost: Vhost) -> str:
    """Which zygote forks this site's pool."""
    return f"{PRIVATE}{vhost.index}" if vhost.private_tmp else environment_key(vhost)


def environment_key(vhost: Vhost) -> str:
    """``preload = "none"`` means: from a zygote that has imported nothing."""
    if vhost.environment is None or vhost.preload == "none":
        return BARE
    return vhost.environment


def venv_python(venv: str) -> str:
    """The interpreter of a virtual environment."""
    return os.path.join(venv, "bin", "python")


def interpreter(config: Config, vhost: Vhost, *, fresh: bool = False) -> str | None:
    """The interpreter this site's pool execs after the switch; None when it is forked and stays.

    ``fresh``: one with an address layout that no other process has, or had before.  What ``optimize`` asks for an
    interpreter learns at its start only.
    """
    fresh = fresh or vhost.setting("optimize") > 0
    if vhost.python:
        return vhost.python
    if vhost.venv:
        return venv_python(vhost.venv)
    if vhost.environment is not None and (fresh or vhost.preload == "none"):
        return venv_python(config.environments[vhost.environment].venv)
    return SYSTEM_PYTHON if fresh else None


def preload(vhost: Vhost) -> str:
    """How much the pool imports; without fork(2) after the import, the children must do it."""
    forks = "fork" not in vhost.setting("disable")
    return vhost.preload if forks or vhost.preload == "none" else "framework"


def pool_plan(
    config: Config, vhost: Vhost, serial: int, *, privileged: bool, tmp_dir: str | None, fresh: bool = False
) -> dict[str, object]:
    """What a zygote is told to fork.  All of it comes from root; none of it from a request."""
    ids = vhost.ids
    if ids is None:
        raise ValueError(f"{vhost.name} has no identity")
    tmp_dir = vhost.setting("tmp_dir") or tmp_dir
    confine = confinement(vhost, config, tmp_dir=tmp_dir)
    return {
        "serial": serial,
        "index": vhost.index,
        "name": vhost.name,
        "uid": ids.uid,
        "gid": ids.gid,
        "groups": list(ids.groups),
        "account": {"name": ids.name, "home": ids.home, "shell": ids.shell},
        "privileged": privileged,
        "no_new_privs": vhost.no_new_privs,
        "nice": vhost.nice if not nice_from_outside(config, vhost) else 0,
        "interpreter": interpreter(config, vhost, fresh=fresh),
        "python": interpreter(config, vhost, fresh=True),
        "binary": vhost.binary if is_confined(vhost) else None,
        "optimize": vhost.setting("optimize"),
        "settings": pool_settings(vhost, config, tmp_dir=tmp_dir),
        "confine": confine,
        "umask": vhost.setting("umask"),
        "root": vhost.root,
        "app": vhost.app,
        "mount": "",
        "env": dict(vhost.env),
        "tmp_dir": tmp_dir,
        "preload": preload(vhost),
        "requests_per_child": vhost.requests_per_child,
        "min_spare": vhost.min_spare,
        "max_children": config.server.max_clients,
        "idle_timeout": vhost.idle_timeout,
        "exit_grace": vhost.exit_grace,
        "warmup": list(vhost.warmup),
        "peer_uid": front_uid(config) if privileged else os.getuid(),
        "external": vhost.pool_socket is not None,
    }


def is_confined(vhost: Vhost) -> bool:
    """Are there walls around any request of it?"""
    tables = (vhost.holding, *(area.settings for area in (*vhost.directories, *vhost.locations)))
    return any(said.value for table in tables for name, said in table.items() if name in WALLS)


def front_uid(config: Config) -> int:
    """The uid of a front as a pool sees it: in a user namespace that does not have it, the kernel's stand-in."""
    return overflow_uid() if config.server.id_namespace else config.server.front_ids.uid


def nice_from_outside(config: Config, vhost: Vhost) -> bool:
    """CAP_SYS_NICE counts outside user namespaces only, so root lifts the priority of a pool itself."""
    return config.server.id_namespace and vhost.nice < 0


def front_settings(config: Config, generation: int, first_fd: int, access_fd: int, bodies: str) -> dict[str, object]:
    """The table and the limits a front serves by."""
    server = config.server
    numbers = {listen.text: number for number, listen in enumerate(config.listens)}
    return {
        "generation": generation,
        "fronts": front_count(config),
        "listeners": [listener_row(listen, first_fd + number) for number, listen in enumerate(config.listens)],
        "sites": [site_row(vhost, numbers, parts_of(vhost, config)) for vhost in config.vhosts],
        "access_fd": access_fd,
        "spool_dir": bodies,
        "spool_max": server.spool_max,
        "keepalive_timeout": server.keepalive_timeout,
        "header_timeout": server.header_timeout,
        "body_timeout": server.body_timeout,
        "body_min_rate": server.body_min_rate,
        "limit_request_line": server.limit_request_line,
        "limit_request_fields": server.limit_request_fields,
        "limit_request_field_size": server.limit_request_field_size,
        "max_clients": server.max_clients,
        "max_connections_per_address": server.max_connections_per_address,
        "server_tokens": server.server_tokens,
        "graceful_timeout": server.graceful_timeout,
    }


def front_count(config: Config) -> int:
    """``fronts``, or one for every two cores."""
    return config.server.fronts or max(1, (os.cpu_count() or 1) // 2)


def listener_row(listen: Listen, fd: int) -> dict[str, object]:
    """A listener as the front knows it."""
    return {"fd": fd, "text": listen.text, "scheme": "http"}


def site_row(vhost: Vhost, numbers: dict[str, int], parts: list[list[object]]) -> dict[str, object]:
    """A site, or a part of one, as the front knows it."""
    return {
        "index": vhost.index,
        "name": vhost.name,
        "aliases": list(vhost.aliases),
        "default": vhost.default,
        "listeners": [numbers[listen.text] for listen in vhost.listens],
        "broken": str(vhost.problems[0]) if vhost.problems else None,
        "server_signature": vhost.server_signature,
        "part_of": vhost.part_of,
        "parts": parts,
        "limits": front_limits(vhost),
    }


def parts_of(site: Vhost, config: Config) -> list[list[object]]:
    """[prefix, index] of what has a pool of its own, the longest prefix first."""
    parts = [part for part in config.vhosts if part.part_of == site.index]
    parts.sort(key=lambda part: part.prefix.count("/"), reverse=True)
    return [[part.prefix, part.index] for part in parts]


def front_limits(vhost: Vhost) -> list[list[object]]:
    """[prefix, limits] of what the front itself keeps, the longest prefix first; the last is "", for all the rest."""
    coverage = coverage_of(vhost)
    found = {"": limits_at(coverage.said_at(""), vhost.allow_override)}
    for prefix in coverage.edges():
        limits = limits_at(coverage.said_at(prefix), vhost.allow_override)
        outer = max((each for each in found if not each or is_within(prefix, each)), key=len)
        if limits != found[outer]:
            found[prefix] = limits
    return [[prefix, limits] for prefix, limits in reversed(found.items())]


def limits_at(settings: dict[str, Said], overridable: Collection[str]) -> dict[str, object]:
    """By name: value, and whether nothing that the site says can change it."""
    limits: dict[str, object] = {}
    for name in FRONT_LIMITS:
        said = settings.get(name)
        value = BY_NAME[name].default if said is None else said.value
        limits[name] = [value, name not in overridable or (said is not None and said.fixed)]
    said = settings.get("expose_server")
    limits["expose_server"] = said is None or said.value
    return limits
