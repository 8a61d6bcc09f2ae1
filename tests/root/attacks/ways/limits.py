"""Taking more than one's share: limits raised, priority, the order in which the kernel kills, core files."""

from __future__ import annotations

import errno
import os
import resource

from tests.root.attacks.attempt import Missing, Way, refuse
from tests.root.attacks.calls import call

LIMITS = {name: getattr(resource, f"RLIMIT_{name}") for name in ("CORE", "NOFILE", "NPROC", "FSIZE", "MEMLOCK", "NICE")}
CAP_SYS_RESOURCE = 24
REAL_TIME_CLASS, PROCESS = 1, 1
OF_THE_SERVER = 0


def raising(number):
    def way(targets):
        _, hard = resource.getrlimit(number)
        if hard == resource.RLIM_INFINITY:
            raise Missing("there is no limit to raise")
        if number == resource.RLIMIT_NOFILE:
            with open("/proc/sys/fs/nr_open") as file:
                if hard >= int(file.read()):
                    raise Missing("the limit is as high as the kernel's own")
        try:
            resource.setrlimit(number, (hard + 1, hard + 1))
        except ValueError as error:  # what Python makes of EPERM here
            refuse(errno.EPERM if "not allowed" in str(error) else errno.EINVAL)
        return resource.getrlimit(number)

    return way


def seeing(number):
    return lambda targets: resource.getrlimit(number)


def raising_the_soft(number):
    def way(targets):
        soft, hard = resource.getrlimit(number)
        resource.setrlimit(number, (soft + 1, hard))
        return resource.getrlimit(number)

    return way


def nicer(targets):
    os.setpriority(os.PRIO_PROCESS, 0, -10)
    return os.getpriority(os.PRIO_PROCESS, 0)


def real_time(policy):
    def way(targets):
        os.sched_setscheduler(0, policy, os.sched_param(1))
        return "real time"

    return way


def real_time_disk(targets):
    call("ioprio_set", PROCESS, 0, REAL_TIME_CLASS << 13)
    return "the disk first"


def dies_later(score):
    def way(targets):
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write(str(score))
        return f"oom_score_adj {score}"

    return way


def dies_as_late_as_the_server(targets):
    if not targets["oom_floor"]:
        raise Missing("the server was started without CAP_SYS_RESOURCE and could set no floor for its sites")
    return dies_later(OF_THE_SERVER)(targets)


def core_file(targets):
    """A process that crashed leaves its memory behind, for whoever can read the file."""
    with open("/proc/sys/kernel/core_pattern") as file:
        if file.read().startswith(("|", "/")):
            raise Missing("core files of this machine do not land in the directory of the process")
    os.chdir(targets["own"])
    pid = os.fork()
    if pid == 0:
        _, hard = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
        os.abort()
    _, status = os.waitpid(pid, 0)
    left = [name for name in os.listdir(".") if name.startswith("core")]
    for name in left:
        os.unlink(name)
    return left or (refuse() if os.WIFSIGNALED(status) else None)


NEEDS_A_LIMIT = "who makes the control has no such limit, or CAP_SYS_RESOURCE, which not every root has"
WAYS = {
    **{f"raise RLIMIT_{name}": Way(raising(number), control="", why=NEEDS_A_LIMIT) for name, number in LIMITS.items()},
    "a better priority": Way(nicer),
    "the processor first, FIFO": Way(real_time(os.SCHED_FIFO)),
    "the processor first, round robin": Way(real_time(os.SCHED_RR)),
    "the disk first": Way(real_time_disk),
    "never be killed for memory": Way(dies_later(-1000), control="resource"),
    "be killed for memory as late as the server": Way(dies_as_late_as_the_server, control="resource"),
    "leave a core file": Way(core_file, control="plain"),
}
# For a site whose limits the admin fixed.
FIXED = {
    **{name: way for name, way in WAYS.items() if name.startswith("raise RLIMIT_")},
    **{f"see RLIMIT_{name}": Way(seeing(number)) for name, number in LIMITS.items()},
    **{f"raise the soft RLIMIT_{name}": Way(raising_the_soft(number)) for name, number in LIMITS.items()},
}
