"""The real machine, and accounts asked for once."""

from __future__ import annotations

import os
import pwd
import resource

import pytest

from itkwsgi.config.machine import Accounts, hard_limits, this_machine
from itkwsgi.config.model import Ids
from itkwsgi.ini.registry import BY_NAME
from itkwsgi.linux.abilities import abilities


def test_who_calls_starts_the_server() -> None:
    machine = this_machine()
    assert (machine.me.uid, machine.me.gid) == (os.geteuid(), os.getegid())
    assert set(machine.me.groups) == set(os.getgroups()) - {os.getegid()}
    assert machine.is_root == (os.geteuid() == 0)
    assert machine.trusted == {0, os.geteuid()}
    assert os.path.isfile(os.path.join(machine.package, "config", "machine.py"))


def test_as_if_another_user_started_it() -> None:
    entry = next(entry for entry in pwd.getpwall() if entry.pw_uid not in (0, os.geteuid()))
    machine = this_machine(entry.pw_uid)
    assert (machine.me.uid, machine.me.gid, machine.me.name) == (
        entry.pw_uid,
        entry.pw_gid,
        pwd.getpwuid(entry.pw_uid).pw_name,
    )
    assert not machine.is_root


def test_a_number_without_an_account(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = this_machine(54321)
    assert machine.me == Ids(54321, 54321, (), "54321")
    assert machine.home == ""


def test_home_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/somewhere")
    assert this_machine().home == "/somewhere"
    monkeypatch.setenv("HOME", "relative")
    assert this_machine().home == ""


def test_limits_that_bind_every_site() -> None:
    found = hard_limits()
    for name, number in (
        ("max_processes", resource.RLIMIT_NPROC),
        ("max_open_files", resource.RLIMIT_NOFILE),
        ("max_file_size", resource.RLIMIT_FSIZE),
    ):
        _, hard = resource.getrlimit(number)
        assert found.get(name, resource.RLIM_INFINITY) == hard
    assert set(found) <= set(BY_NAME)
    assert this_machine().hard_limits == found and this_machine().abilities == abilities()


def test_real_accounts() -> None:
    accounts = Accounts()
    root = accounts.user("root")
    assert root is not None and (root.uid, root.gid, root.home) == (0, 0, "/root")
    assert accounts.user(0) == root
    assert accounts.group("root") == 0
    assert accounts.group_name(0) == "root (gid 0)"
    assert accounts.group_name(54321) == "gid 54321"
    assert accounts.user("no-such-user") is None and accounts.group("no-such-group") is None
    assert 0 not in accounts.supplementary(root)


class Slow(Accounts):
    """Counts what it is asked; its name service fails for some."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[object] = []

    def find_user(self, said: str | int) -> Ids:
        self.asked.append(said)
        if said == "ldap":
            raise OSError(5, "Input/output error")
        return Ids(7, 7, (), str(said))

    def find_groups(self, account: Ids) -> list[int]:
        return [9, 7, 8, 9]


def test_each_account_is_asked_for_once() -> None:
    accounts = Slow()
    for _ in range(3):
        accounts.user("a")
        assert accounts.user("ldap") is None
    assert accounts.asked == ["a", "ldap"]
    assert accounts.supplementary(Ids(7, 7, (), "a")) == (8, 9)
