"""What the kernel allows, held against what it does when it is tried."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import pytest

from itkwsgi.linux import cgroup, landlock, seccomp
from itkwsgi.linux.abilities import abilities, may_divide, may_make
from tests.support.forked import in_child

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000


def unshared(flags: int) -> bool:
    """Try it, in a child."""
    return in_child(lambda: ctypes.CDLL(None, use_errno=True).unshare(flags) == 0)


def test_it_agrees_with_those_that_carry_it_out() -> None:
    found = abilities()
    assert (found.landlock, found.seccomp) == (landlock.abi(), seccomp.available())


def test_namespaces_are_there_when_they_can_be_made() -> None:
    found = abilities()
    assert (found.mount_namespaces and found.sys_admin) == unshared(CLONE_NEWNS)
    if unshared(CLONE_NEWUSER):
        assert found.user_namespaces


def test_an_oom_score_has_a_floor_for_who_may_set_one() -> None:
    """CAP_SYS_RESOURCE: who has it may lower its score (proc_pid_oom_score_adj(5))."""

    def lower() -> bool:
        before = int(Path("/proc/self/oom_score_adj").read_text())
        if before == -1000:
            return abilities().oom_floor  # nothing is lower
        try:
            Path("/proc/self/oom_score_adj").write_text(f"{before - 1}")
        except PermissionError:
            return False
        return True

    if not abilities().oom_floor:
        assert os.geteuid() != 0 or not in_child(lower)
    else:
        assert in_child(lower)


def test_a_control_group_that_may_be_divided(tmp_path: Path) -> None:
    assert may_divide(str(tmp_path)) and not may_divide(None) and not may_divide(f"{tmp_path}/none")
    assert abilities().cgroup == may_divide(cgroup.find())


@pytest.mark.parametrize(("text", "may"), [("15000\n", True), ("0\n", False), ("", False), ("x", False), (None, False)])
def test_an_administrator_may_permit_none(tmp_path: Path, text: str | None, may: bool) -> None:
    if text is not None:
        (tmp_path / "max_user_namespaces").write_text(text)
    assert may_make("user", str(tmp_path)) is may


def test_an_ordinary_user_is_told_so() -> None:
    """Capabilities are asked of the process, not of its uid."""

    def without() -> tuple[bool, bool]:
        os.setresuid(65534, 65534, 65534)
        found = abilities()
        return found.sys_admin, found.oom_floor

    if os.geteuid() != 0:
        assert (abilities().sys_admin, abilities().oom_floor) == (False, False)
    else:
        assert in_child(without) == (False, False)
