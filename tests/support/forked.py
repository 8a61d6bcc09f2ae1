"""Most of what the tests of itkwsgi.linux do cannot be undone, so it is done in a forked child."""

from __future__ import annotations

import mmap
import os
import pickle
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar, cast

from itkwsgi.linux.launch import RoleSpec, launch

Answer = TypeVar("Answer")

ORDINARY = 65534


def in_child(function: Callable[..., Answer], *args: object) -> Answer:
    """Call a function in a forked child; give back what it returns, or raise what it raises."""
    with mmap.mmap(-1, 1 << 16) as answer:  # and not a pipe: the child may close every descriptor
        pid = os.fork()
        if pid == 0:
            try:
                answer.write(pickle.dumps(_outcome(function, args)))
            finally:
                os._exit(0)
        with reaped(pid):
            assert os.waitpid(pid, 0) == (pid, 0)
        returned, value = pickle.loads(answer[:])
    if returned:
        return cast("Answer", value)
    raise value


def as_ordinary(function: Callable[..., Answer], *args: object) -> Answer:
    """The same as an ordinary user: when the tests are run by root the child changes to one first."""
    return in_child(lambda: _ordinary(function, *args))


class reaped:  # noqa: N801, a context manager reads like a verb
    """Whatever happens, this child does not outlive the block."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def __enter__(self) -> int:
        return self.pid

    def __exit__(self, *exception: object) -> None:
        with suppress(ProcessLookupError, ChildProcessError):
            if os.waitpid(self.pid, os.WNOHANG)[0] == 0:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)


def said_by(argv: list[str], fds: Mapping[int, int] | None = None, **spec: Any) -> str:
    """Launch a program as a role, with 1 and 2 a pipe; what it wrote until it ended."""
    reader, writer = os.pipe()
    null = os.open("/dev/null", os.O_RDONLY)
    with open(reader, "rb") as said:
        try:
            pid = launch(RoleSpec(name="role", argv=argv, fds={0: null, 1: writer, 2: writer, **(fds or {})}, **spec))
        finally:
            os.close(writer)
            os.close(null)
        with reaped(pid):
            return said.read().decode()


def _outcome(function: Callable[..., object], args: tuple[object, ...]) -> tuple[bool, object]:
    try:
        return True, function(*args)
    except Exception as error:
        return False, error
    except BaseException as error:  # pytest's own cannot travel
        return False, AssertionError(repr(error))


def _ordinary(function: Callable[..., Answer], *args: object) -> Answer:
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(ORDINARY, ORDINARY, ORDINARY)
        os.setresuid(ORDINARY, ORDINARY, ORDINARY)
    return function(*args)
