"""How the supervisor starts a role: fork, become, exec; nothing is inherited that is not on the list.

The child has the supervisor's memory until the exec, so it can only go forward: whatever goes wrong is told to the
parent through a close-on-exec pipe, said in one line on its fd 2, and ended by `os._exit`.  Signals are blocked over
the fork, or the supervisor's own handlers would run in the child.  In the server's own interpreter only: python-prctl.
"""

from __future__ import annotations

import fcntl
import os
import resource
import select
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from itkwsgi.errors import Bug, OperatorError
from itkwsgi.linux import by_prctl, fds, namespaces, seccomp
from itkwsgi.linux.identity import Identity, SwitchError, current_identity
from itkwsgi.linux.switch import NOTHING, become
from itkwsgi.linux.title import PADDING

LONGEST_START = 10.0  # seconds from fork to exec
_LONGEST_TEXT = 1024  # bytes: well below what a pipe takes at once
_LOOKS = 500  # at a child just killed, with a pause between
_PAUSE = 0.002  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleSpec:
    """What a role is to be.

    ``argv[0]`` is the absolute path of its program; one padding argument is added, as room for a title.  ``fds`` maps
    each descriptor it gets to the one here that it is a copy of; 0, 1 and 2 must be among them.  ``identity`` None: an
    ordinary user's server, nobody to become.  ``keep``: the capabilities it still has after the exec.
    ``death_signal``: what it gets when the supervisor ends.  ``nice``: from -20 to 19, None to leave it.
    ``oom_score``: whom the kernel kills first when memory runs out, proc_pid_oom_score_adj(5); a process can lower its
    own no further, if root had CAP_SYS_RESOURCE.  ``binds``: (directory, place) pairs of a mount namespace of its own.
    ``id_map``: the only uids and gids there are, as ranges, in a user namespace of its own.  ``filter``: a seccomp
    program, in force for it and all its descendants.
    """

    name: str
    argv: list[str]
    fds: dict[int, int]
    identity: Identity | None = None
    keep: frozenset[int] = NOTHING
    cwd: str = "/"
    umask: int = 0o077
    nice: int | None = None
    no_new_privs: bool = True
    death_signal: int | None = None
    oom_score: int | None = None
    binds: tuple[tuple[str, str], ...] = ()
    id_map: tuple[namespaces.Ranges, namespaces.Ranges] | None = None
    filter: bytes | None = None
    env: Mapping[str, str] = field(default_factory=dict)


def launch(spec: RoleSpec) -> int:
    """Start a role; returns its pid once it runs its own program.  The caller reaps it.

    Raises `OperatorError`, naming the step that failed, when it could not be started (nothing is left then to reap),
    and `Bug` for a spec that makes no sense.  A role killed between fork and exec looks started: it is reaped dead.
    """
    _refuse(spec)
    try:
        pid, problem = _start(spec)
    except OSError as error:
        raise OperatorError(f"{spec.name}: cannot start: {error}") from error
    if problem:
        end(pid)
        raise OperatorError(f"{spec.name}: cannot start: {problem}")
    return pid


def _start(spec: RoleSpec) -> tuple[int, str]:
    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        try:
            pid = _fork(spec, writer)
        finally:
            os.close(writer)
        return pid, _outcome(reader)
    finally:
        os.close(reader)


def _refuse(spec: RoleSpec) -> None:
    if not spec.argv or not os.path.isabs(spec.argv[0]):
        raise Bug(f"{spec.name}: no absolute path to execute")
    if not {0, 1, 2} <= spec.fds.keys():
        raise Bug(f"{spec.name}: without 0, 1 and 2 the first file it opens becomes its output")
    if spec.identity is None and os.geteuid() == 0:
        raise Bug(f"{spec.name}: no role runs as root")


def _fork(spec: RoleSpec, report: int) -> int:
    parent = os.getpid()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        pid = os.fork()
        if pid == 0:
            try:
                _in_child(spec, parent, report)
            finally:
                os._exit(Bug.exit_code)
        return pid
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _in_child(spec: RoleSpec, parent: int, report: int) -> None:
    """Take each step; at the first that fails, say so.  Returns only then."""
    step = "start"
    try:
        # Above all targets, so that no step closes or replaces it.
        report = fcntl.fcntl(report, fcntl.F_DUPFD_CLOEXEC, max(spec.fds) + 1)
        for name, action in _steps(spec, parent, report):
            step = name
            action()
    except BaseException as error:
        _say(report, spec.name, f"{step}: {error or type(error).__name__}")


def _steps(spec: RoleSpec, parent: int, report: int) -> Iterator[tuple[str, Callable[[], object]]]:
    yield "signals", _default_signals
    yield "session", os.setsid
    yield "descriptors", lambda: _exact_descriptors(spec.fds, report)
    yield "directory", lambda: os.chdir(spec.cwd)
    yield "umask", lambda: os.umask(spec.umask)
    yield "core limit", lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if spec.nice is not None:
        nice = spec.nice
        yield "nice", lambda: os.setpriority(os.PRIO_PROCESS, 0, nice)
    privileged = os.geteuid() == 0
    yield from _steps_of_confinement(spec)
    yield "identity", lambda: _become(spec, privileged)
    if spec.death_signal is not None:
        number = spec.death_signal
        yield "death signal", lambda: _die_with(parent, number)
    yield f"exec {spec.argv[0]}", lambda: os.execve(spec.argv[0], [*spec.argv, PADDING], dict(spec.env))


def _steps_of_confinement(spec: RoleSpec) -> Iterator[tuple[str, Callable[[], object]]]:
    """What takes root's rights, and must hold before they go."""
    if spec.oom_score is not None:
        score = spec.oom_score
        yield "OOM score", lambda: _set_oom_score(score)
    if spec.binds:
        yield "mount namespace", lambda: namespaces.own_mounts(spec.binds)
    if spec.id_map is not None:
        uids, gids = spec.id_map
        yield "user namespace", lambda: namespaces.own_ids(uids, gids)
    if spec.filter is not None:
        program = spec.filter
        if spec.no_new_privs:  # without CAP_SYS_ADMIN the kernel takes no filter before this
            yield "no_new_privs", by_prctl.set_no_new_privs
        yield "seccomp", lambda: seccomp.install(program)


def _set_oom_score(score: int) -> None:
    path = "/proc/self/oom_score_adj"
    with open(path, "w", encoding="ascii") as file:
        file.write(str(score))
    with open(path, encoding="ascii") as file:
        found = int(file.read())
    if found != score:
        raise Bug(f"{path} is {found} and not {score}")


def _default_signals() -> None:
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _exact_descriptors(mapping: dict[int, int], report: int) -> None:
    fds.arrange(mapping)
    fds.close_all_except({*mapping, report})
    found = fds.open_descriptors().keys()
    if found != {*mapping, report}:
        raise Bug(f"open are {sorted(found)} and not {sorted(mapping)}")


def _become(spec: RoleSpec, privileged: bool) -> None:
    """``privileged``: whether this was root, which in a user namespace of its own it does not seem to be."""
    identity = current_identity() if spec.identity is None else spec.identity
    become(identity, by_prctl, privileged=privileged, no_new_privs=spec.no_new_privs, keep=spec.keep)


def _die_with(parent: int, number: int) -> None:
    """After the change of identity, which makes the kernel forget it; the parent may have ended meanwhile."""
    by_prctl.set_death_signal(number)
    if os.getppid() != parent:
        raise SwitchError("the supervisor ended")


def _say(report: int, name: str, text: str) -> None:
    line = " ".join(text.split()).encode("utf-8", "replace")[:_LONGEST_TEXT]
    os.write(report, line)
    stderr = select.poll()
    stderr.register(2, select.POLLOUT)
    if stderr.poll(0) == [(2, select.POLLOUT)]:  # a pipe that is full or closed must not hold or kill us here
        os.write(2, name.encode("utf-8", "replace") + b": cannot start: " + line + b"\n")


def _outcome(reader: int) -> str:
    """What the child said when exec, or its end, closed the pipe; "" for nothing: it is on its way."""
    deadline = time.monotonic() + LONGEST_START
    pipe = select.poll()
    pipe.register(reader, select.POLLIN)
    said = b""
    while pipe.poll(max(0.0, deadline - time.monotonic()) * 1000):
        more = os.read(reader, _LONGEST_TEXT)
        if not more:
            return said.decode("utf-8", "replace")
        said += more
    return f"nothing happened for {LONGEST_START:g} s"


def end(pid: int) -> None:
    """End and reap a child of ours; one that hangs in the kernel is left to whoever reaps unknown children."""
    os.kill(pid, signal.SIGKILL)
    for _ in range(_LOOKS):
        if os.waitpid(pid, os.WNOHANG)[0] == pid:
            return
        time.sleep(_PAUSE)
