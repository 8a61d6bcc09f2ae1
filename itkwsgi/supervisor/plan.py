"""From the configuration to what each process is told: pure.

A zygote gets its interpreter and what to preload; a pool its plan; a front the table of sites.  The front learns of a
site its names and nothing else: no user, no path of the site's.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from itkwsgi.config.model import Config, Listen, Vhost

SYSTEM_PYTHON = "/usr/bin/python3"
BARE = ""  # the zygote that preloads nothing: system interpreter, and sites with an interpreter of their own


@dataclass(frozen=True, slots=True)
class ZygotePlan:
    """One zygote: ``key`` is its environment's name, "" for the bare one."""

    key: str
    python: str
    preload: tuple[str, ...]


def zygote_plans(config: Config, system_python: str = SYSTEM_PYTHON) -> list[ZygotePlan]:
    """The zygotes that this configuration's sites need."""
    needed = {zygote_key(vhost) for vhost in config.vhosts if vhost.ids is not None}
    plans = []
    for key in sorted(needed):
        if key == BARE:
            plans.append(ZygotePlan(BARE, system_python, ()))
        else:
            environment = config.environments[key]
            plans.append(ZygotePlan(key, venv_python(environment.venv), tuple(environment.preload)))
    return plans


def zygote_key(vhost: Vhost) -> str:
    """Which zygote forks this site's pool.  ``preload = "none"`` means: from one that has imported nothing."""
    if vhost.environment is None or vhost.preload == "none":
        return BARE
    return vhost.environment


def venv_python(venv: str) -> str:
    """The interpreter of a virtual environment."""
    return os.path.join(venv, "bin", "python")


def interpreter(config: Config, vhost: Vhost) -> str | None:
    """The interpreter this site's pool execs after the switch; None when it is forked and stays."""
    if vhost.python:
        return vhost.python
    if vhost.venv:
        return venv_python(vhost.venv)
    if vhost.environment is not None and vhost.preload == "none":
        return venv_python(config.environments[vhost.environment].venv)
    return None


def pool_plan(config: Config, vhost: Vhost, serial: int, *, privileged: bool, tmp_dir: str | None) -> dict[str, object]:
    """What a zygote is told to fork.  All of it comes from root; none of it from a request."""
    ids = vhost.ids
    if ids is None:
        raise ValueError(f"{vhost.name} has no identity")
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
        "nice": vhost.nice,
        "interpreter": interpreter(config, vhost),
        "root": vhost.root,
        "app": vhost.app,
        "mount": "",
        "env": dict(vhost.env),
        "tmp_dir": tmp_dir,
        "preload": vhost.preload,
        "requests_per_child": vhost.requests_per_child,
        "min_spare": vhost.min_spare,
        "max_children": config.server.max_clients,
        "idle_timeout": vhost.idle_timeout,
        "exit_grace": vhost.exit_grace,
        "warmup": list(vhost.warmup),
        "peer_uid": config.server.front_ids.uid if privileged else os.getuid(),
        "external": vhost.pool_socket is not None,
    }


def front_settings(config: Config, generation: int, first_fd: int, access_fd: int, bodies: str) -> dict[str, object]:
    """The table and the limits a front serves by."""
    server = config.server
    numbers = {listen.text: number for number, listen in enumerate(config.listens)}
    return {
        "generation": generation,
        "fronts": front_count(config),
        "listeners": [listener_row(listen, first_fd + number) for number, listen in enumerate(config.listens)],
        "sites": [site_row(vhost, numbers) for vhost in config.vhosts],
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


def site_row(vhost: Vhost, numbers: dict[str, int]) -> dict[str, object]:
    """A site as the front knows it."""
    return {
        "index": vhost.index,
        "name": vhost.name,
        "aliases": list(vhost.aliases),
        "default": vhost.default,
        "listeners": [numbers[listen.text] for listen in vhost.listens],
        "broken": str(vhost.problems[0]) if vhost.problems else None,
        "server_signature": vhost.server_signature,
    }
