"""What this kernel and this process's capabilities allow: asked of the kernel, nothing is tried out.

A protection that a site asks for and that cannot be had must be refused before the site starts; this is how the loader
knows, and how ``check`` tells the operator.  In the server's own interpreter only.

Sources: landlock(7), seccomp(2), namespaces(7), proc_sys_user(5), capabilities(7).
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from itkwsgi.linux import cgroup, landlock, process_status, seccomp

CAP_SYS_ADMIN = 21
CAP_SYS_RESOURCE = 24

# Linux 6.2: before that version truncate(2) emptied files outside an open_basedir.
OPEN_BASEDIR_NEEDS = 3
# Linux 5.19: a domain is what keeps a process from tracing others.  Before, each also forbade renames from directory to
# directory.
UNTRACED_NEEDS = 2


@dataclass(frozen=True, slots=True)
class Abilities:
    """``landlock``: its ABI, 0 for none.  ``seccomp``: filters of system calls, and we know this processor's calls.

    ``user_namespaces`` and ``mount_namespaces``: the kernel has them and permits more than none; making a mount
    namespace, or one of ids for others, takes ``sys_admin`` too (CAP_SYS_ADMIN).  ``oom_floor``: a process can be given
    an OOM score below which it cannot go by itself (CAP_SYS_RESOURCE).  ``cgroup``: this process's control group may be
    divided.
    """

    landlock: int
    seccomp: bool
    user_namespaces: bool
    mount_namespaces: bool
    sys_admin: bool
    oom_floor: bool
    cgroup: bool


def abilities() -> Abilities:
    """Of this process, now."""
    effective = process_status.read().effective
    return Abilities(
        landlock=landlock.abi(),
        seccomp=seccomp.available(),
        user_namespaces=may_make("user"),
        mount_namespaces=may_make("mnt"),
        sys_admin=bool(effective >> CAP_SYS_ADMIN & 1),
        oom_floor=bool(effective >> CAP_SYS_RESOURCE & 1),
        cgroup=may_divide(cgroup.find()),
    )


def may_divide(group: str | None) -> bool:
    """Whether groups can be made below that one."""
    return group is not None and os.access(group, os.W_OK)


def may_make(kind: str, limits: str = "/proc/sys/user") -> bool:
    """Whether the kernel has namespaces of that kind, and the administrator permits any."""
    try:
        with open(f"{limits}/max_{kind}_namespaces", "rb") as file:
            return int(file.read()) > 0
    except (OSError, ValueError):
        return False
