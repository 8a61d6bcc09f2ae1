"""An interpreter executed anew: what it is given, and nothing else."""

from __future__ import annotations

import os

import pytest

from itkwsgi.linux import fds
from itkwsgi.linux.title import PADDING
from itkwsgi.runtime.interpreter import PLAN_FD, execute
from itkwsgi.wire import orders
from tests.support.forked import in_child


@pytest.mark.parametrize("external", [False, True])
@pytest.mark.parametrize(("optimize", "flags"), [(0, []), (1, ["-O"]), (2, ["-OO"])])
def test_it_gets_its_descriptors_its_plan_and_its_flags(external: bool, optimize: int, flags: list[str]) -> None:
    plan = {"external": external, "uid": 1001, "optimize": optimize}
    kept = [0, 1, 2, 3, 4, 5] if external else [0, 1, 2, 3, 4]

    def executed() -> tuple[object, ...]:
        called: list[tuple[object, ...]] = []
        os.execve = lambda *args: called.append(args)  # type: ignore[assignment]
        null = os.open(os.devnull, os.O_RDWR)
        fds.arrange(dict.fromkeys([0, 1, 2, 3, 4, 5, 9], null))
        execute(plan, "/opt/python", "/boot.py")
        with os.fdopen(PLAN_FD, "rb") as file:
            told = orders.decode(file.read())
        return called, told, sorted(fds.open_descriptors()), [os.get_inheritable(fd) for fd in kept]

    called, told, opened, inherited = in_child(executed)
    assert called == [("/opt/python", ["/opt/python", *flags, "-I", "-S", "/boot.py", "pool", PADDING], {})]
    assert told == plan and opened == kept and inherited == [True] * len(kept)
