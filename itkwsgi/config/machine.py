"""What the loader asks of the machine: who starts the server, who has an account, what is on the disk.

One object holds all of it, so that tests can load a configuration for another machine and another user.  Accounts are
asked for once per load: name services may be slow.
"""

from __future__ import annotations

import grp
import os
import pwd
import resource
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import itkwsgi
from itkwsgi.config.model import Ids
from itkwsgi.config.walk import PLAIN_SIGHT, Sight
from itkwsgi.ini.rlimits import RESOURCES
from itkwsgi.linux.abilities import Abilities, abilities

_T = TypeVar("_T")


class Accounts:
    """The machine's users and groups, each looked up once.  A name service that fails knows nobody."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, object], object] = {}

    def user(self, said: str | int) -> Ids | None:
        """The account of that name or number: its ids (``groups`` not yet filled in), home and shell."""
        return self._once("user", said, lambda: self.find_user(said))

    def group(self, name: str) -> int | None:
        """The number of that group."""
        return self._once("group", name, lambda: self.find_group(name))

    def group_name(self, gid: int) -> str:
        """For messages: ``users (gid 100)``, or ``gid 100``."""
        name = self._once("gid", gid, lambda: self.find_group_name(gid))
        return f"{name} (gid {gid})" if name else f"gid {gid}"

    def supplementary(self, account: Ids) -> tuple[int, ...]:
        """The account's groups, as initgroups(3) would set them, without ``account.gid``; sorted."""
        found = self._once("groups", account, lambda: self.find_groups(account))
        return tuple(sorted(set(found or ()) - {account.gid}))

    def _once(self, what: str, key: object, find: Callable[[], _T]) -> _T | None:
        if (what, key) not in self._known:
            try:
                self._known[what, key] = find()
            except (KeyError, OSError):
                self._known[what, key] = None
        return self._known[what, key]  # type: ignore[return-value]

    # --- the look-ups themselves, each raising KeyError for what there is not

    def find_user(self, said: str | int) -> Ids:
        """By pwd."""
        entry = pwd.getpwuid(said) if isinstance(said, int) else pwd.getpwnam(said)
        return Ids(entry.pw_uid, entry.pw_gid, (), entry.pw_name, entry.pw_dir, entry.pw_shell)

    def find_group(self, name: str) -> int:
        """By grp."""
        return grp.getgrnam(name).gr_gid

    def find_group_name(self, gid: int) -> str:
        """By grp."""
        return grp.getgrgid(gid).gr_name

    def find_groups(self, account: Ids) -> list[int]:
        """By getgrouplist(3)."""
        return os.getgrouplist(account.name, account.gid)


def hard_limits() -> dict[str, int]:
    """What bounds this process, and with it every limit of a site's, by the setting's name; unlimited ones are left
    out."""
    found = {name: resource.getrlimit(number)[1] for name, number in RESOURCES.items()}
    return {name: hard for name, hard in found.items() if hard != resource.RLIM_INFINITY}


@dataclass(frozen=True, slots=True)
class Machine:
    """``me``: who starts the server; ``home``: that user's, "" for none; ``package``: the directory of itkwsgi;
    ``abilities`` and ``hard_limits``: of the process that asks.
    """

    me: Ids
    home: str
    package: str = os.path.dirname(os.path.abspath(itkwsgi.__file__))
    accounts: Accounts = field(default_factory=Accounts)
    sight: Sight = PLAIN_SIGHT
    abilities: Abilities = field(default_factory=abilities)
    hard_limits: Mapping[str, int] = field(default_factory=hard_limits)

    @property
    def is_root(self) -> bool:
        """Can the server change its user at all?"""
        return self.me.uid == 0

    @property
    def trusted(self) -> frozenset[int]:
        """Who may own what the server relies on: root, and whoever starts it."""
        return frozenset((0, self.me.uid))


def this_machine(euid: int | None = None) -> Machine:
    """The real one.  ``euid``: ask as if that user had started the server."""
    accounts = Accounts()
    uid = os.geteuid() if euid is None else euid
    account = accounts.user(uid) or Ids(uid, uid, (), str(uid))
    if uid == os.geteuid():
        gid = os.getegid()
        groups = tuple(sorted(set(os.getgroups()) - {gid}))
        home = os.path.expanduser("~")
    else:
        gid, groups, home = account.gid, accounts.supplementary(account), account.home
    me = Ids(uid, gid, groups, account.name, account.home, account.shell)
    return Machine(me, home if home.startswith("/") else "", accounts=accounts)
