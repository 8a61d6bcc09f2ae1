"""From the zygote to a pool: what happens between fork and the site's code.

Everything here runs in the freshly forked process.  While it still holds capabilities it does only what needs them, in
the order of the one switch: descriptors, session, limits, nice, then `become`.  Whatever surprises ends the process:
the supervisor sees its status, the visitor a 500, and nothing ran under a wrong identity.
"""

from __future__ import annotations

import _signal
import os
import resource
import sys

from itkwsgi.linux import by_ctypes, fds
from itkwsgi.linux.identity import Identity, SwitchError
from itkwsgi.linux.switch import become
from itkwsgi.runtime.confine import confine
from itkwsgi.runtime.interpreter import CHANNEL_FD, EXTERNAL_FD, LISTENER_FD, execute
from itkwsgi.wire import orders

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    Ranges = Sequence[tuple[int, int]]

# Sites die before the server does when memory runs out, and before their zygote, which they cannot go back below.
SITE_OOM_SCORE = 400


class Parent:
    """What a fork needs of its zygote: its pid, the path of boot.py, and which ids root said may be had at all."""

    __slots__ = ("boot", "gids", "pid", "uids")

    def __init__(self, pid: int, boot: str, uids: Ranges = (), gids: Ranges = ()) -> None:
        self.pid = pid
        self.boot = boot
        self.uids = uids
        self.gids = gids


class PoolOrder:
    """The descriptors of a pool.  One is a memory file with its plan, written by root and read in the fork alone: what
    a zygote has read, every site that it forks can find in its own memory."""

    __slots__ = ("cgroup", "channel", "external", "listener", "log", "memory", "plan")

    def __init__(self, received: list[int], more: tuple[str, ...] = ()) -> None:
        """``more``: what comes beside the four that every pool has: "cgroup", "external"."""
        self.listener, self.channel, self.log, self.memory = received[:4]
        others = dict(zip(more, received[4:]))
        self.external = others.get("external")
        self.cgroup = others.get("cgroup")
        self.plan: dict[str, Any] = {}

    def read_plan(self) -> dict[str, Any]:
        """In the fork."""
        self.plan = orders.decode(os.pread(self.memory, orders.MAX_ORDER, 0))
        return self.plan

    def descriptors(self) -> dict[int, int]:
        """Where each descriptor goes, by its final number; 0 is /dev/null."""
        places = {1: self.log, 2: self.log, LISTENER_FD: self.listener, CHANNEL_FD: self.channel}
        if self.external is not None:
            places[EXTERNAL_FD] = self.external
        return places

    def close(self) -> None:
        """The zygote keeps none of them."""
        for fd in (self.listener, self.channel, self.log, self.memory, self.external, self.cgroup):
            if fd is not None:
                os.close(fd)


def turn_into_pool(order: PoolOrder, zygote: Parent) -> None:
    """Become the pool in the forked process; never returns."""
    plan = order.read_plan()
    if order.cgroup is not None:
        os.write(order.cgroup, b"0")  # cgroups(7): "this process"; from here on nothing of it can hide
    place_descriptors(order)
    reset_signals()
    os.setsid()
    limit_before_switch(plan)
    identity = Identity(plan["uid"], plan["gid"], tuple(plan["groups"]))
    if plan["privileged"]:
        refuse_outside(identity, zygote)
    become(identity, by_ctypes, privileged=plan["privileged"], no_new_privs=plan["no_new_privs"])
    die_with(zygote.pid)
    by_ctypes.set_dumpable(True)  # nothing secret was inherited, and its own /proc must be its own
    if plan["interpreter"]:
        execute(plan, plan["binary"] or plan["interpreter"], zygote.boot)
    confine(plan["confine"])
    from itkwsgi.runtime.main import run_pool

    run_pool(plan)


def refuse_outside(identity: Identity, zygote: Parent) -> None:
    """uid_range and gid_range once more, at the last moment.  Raises `SwitchError`."""
    for what, numbers, ranges in (
        ("uid", (identity.uid,), zygote.uids),
        ("gid", (identity.gid, *identity.groups), zygote.gids),
    ):
        for number in numbers:
            if not any(low <= number <= high for low, high in ranges):
                raise SwitchError(f"{what} {number} is outside what sites may be")


def place_descriptors(order: PoolOrder) -> None:
    """Exactly 0-2, the listeners and the channel."""
    null = os.open(os.devnull, os.O_RDWR)
    places = order.descriptors()
    places[0] = null
    fds.arrange(places)
    fds.close_all_except(places)


def reset_signals() -> None:
    """As in a plain script: handlers default, nothing blocked."""
    _signal.set_wakeup_fd(-1)
    for number in (_signal.SIGCHLD, _signal.SIGTERM, _signal.SIGHUP, _signal.SIGUSR1, _signal.SIGUSR2):
        _signal.signal(number, _signal.SIG_DFL)
    _signal.signal(_signal.SIGINT, _signal.default_int_handler)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())


def limit_before_switch(plan: dict[str, Any]) -> None:
    """What takes capabilities, or must hold before the first line of the site runs."""
    if plan["nice"]:
        os.setpriority(os.PRIO_PROCESS, 0, plan["nice"])
    by_ctypes.set_dumpable(True)  # else /proc/self belongs to root; the switch makes it non-dumpable again
    with open("/proc/self/oom_score_adj", "w") as score:
        score.write(str(SITE_OOM_SCORE))
    for limit, soft, hard in plan["confine"]["rlimits"]:
        resource.setrlimit(limit, (soft, hard))
        if resource.getrlimit(limit) != (soft, hard):
            raise SwitchError(f"resource limit {limit} is {resource.getrlimit(limit)} and not {(soft, hard)}")
    os.umask(plan["umask"])


def die_with(zygote_pid: int) -> None:
    """Set the death signal after the switch, which clears it, and look whether the zygote is still there."""
    by_ctypes.set_death_signal(_signal.SIGKILL)
    if os.getppid() != zygote_pid:
        os._exit(0)


def fork_pool(order: PoolOrder, zygote: Parent) -> int:
    """Fork; return the pool's pid.  Raises OSError when the kernel has no process to give."""
    pid = os.fork()
    if pid:
        return pid
    try:
        turn_into_pool(order, zygote)
    except BaseException as error:  # whatever it is, this process must not return into the zygote's loop
        report_and_exit(order.plan, error)
    finally:
        os._exit(70)
    raise AssertionError("unreachable")


def report_and_exit(plan: dict[str, Any], error: BaseException) -> None:
    """Say what stopped the pool, in the site's log."""
    failed = "become" if isinstance(error, SwitchError) else "start as"
    text = f"itkwsgi: {plan.get('name')}: could not {failed} uid {plan.get('uid')}: {type(error).__name__}: {error}\n"
    try:
        os.write(2, text.encode(errors="backslashreplace"))
    finally:
        sys.stderr = None
        os._exit(70)
