"""What ``check`` says of the machine: two lines of plain words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from itkwsgi.config.machine import Machine

if TYPE_CHECKING:
    from itkwsgi.config.model import Config
    from itkwsgi.linux.abilities import Abilities

# What Landlock learnt with each version that matters here (landlock(7)).
_LANDLOCK = ((1, "files"), (4, "TCP ports"), (6, "signals and abstract sockets"))


def machine_line(abilities: Abilities) -> str:
    """What this kernel has for protection."""
    has = [
        landlock(abilities.landlock),
        "seccomp" if abilities.seccomp else "no seccomp",
        namespaces(abilities),
        "a control group to divide" if abilities.cgroup else "no control group to divide (as this command was started)",
    ]
    return f"machine: {', '.join(has)}"


def landlock(version: int) -> str:
    """Landlock 7 (files, ...)."""
    if not version:
        return "no Landlock"
    return f"Landlock {version} ({', '.join(what for since, what in _LANDLOCK if version >= since)})"


def namespaces(abilities: Abilities) -> str:
    """Those that can be made by whoever asks."""
    kinds = {"user": abilities.user_namespaces, "mount": abilities.mount_namespaces}
    found = " and ".join(kind for kind, there in kinds.items() if there)
    if not found:
        return "no user or mount namespaces"
    return f"{found} namespaces{'' if abilities.sys_admin else ' (but no CAP_SYS_ADMIN to make them)'}"


def protections_line(config: Config, machine: Machine) -> str:
    """What holds for every site."""
    return f"in force: {'; '.join(protections(config, machine))}"


def protections(config: Config, machine: Machine) -> Iterator[str]:
    """One by one."""
    if not machine.is_root:
        yield f"nothing between the sites: all are {machine.me.name}"
    else:
        yield "each site is a user of its own" if own_users(config) else "no site is root, but some share a user"
        yield "zygotes are held to uid_range and gid_range by seccomp"
        yield f"id_namespace is {'on' if config.server.id_namespace else 'off'}"
    can = "cannot" if machine.abilities.oom_floor else "can"
    yield f"sites {can} lower their OOM score{'' if machine.abilities.oom_floor else ' (no CAP_SYS_RESOURCE)'}"


def own_users(config: Config) -> bool:
    """Does no uid come twice?"""
    uids = [vhost.ids.uid for vhost in config.sites if vhost.ids is not None]
    return len(uids) == len(set(uids))
