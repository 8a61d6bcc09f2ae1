"""A pretended machine: its accounts are a table, and files under the test's directory are root's unless said otherwise.

So the rules for root are tested by whoever runs the tests.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from itkwsgi.config.load import load_on
from itkwsgi.config.machine import Accounts, Machine
from itkwsgi.config.model import Config, ConfigError, Ids
from itkwsgi.config.walk import Sight
from itkwsgi.linux.abilities import Abilities

USERS = {
    "root": Ids(0, 0, (), "root", "/root", "/bin/sh"),
    "toor": Ids(0, 0, (), "toor", "/root", "/bin/sh"),
    "www-data": Ids(33, 33, (), "www-data", "/var/www", ""),
    "jess": Ids(1001, 1001, (), "jess", "/home/jess", "/bin/bash"),
    "alice": Ids(1002, 1002, (), "alice", "/home/alice", "/bin/bash"),
    "student": Ids(1003, 100, (), "student", "/home/student", "/bin/bash"),
    "nginx": Ids(990, 990, (), "nginx", "/", ""),
}
GROUPS = {"root": 0, "www-data": 33, "jess": 1001, "alice": 1002, "users": 100, "nginx": 990, "web": 2000, "adm": 4}
MEMBERS = {"jess": [1001, 2000, 4, 0], "www-data": [33, 4, 2000]}


ABLE = Abilities(
    landlock=7,
    seccomp=True,
    user_namespaces=True,
    mount_namespaces=True,
    sys_admin=True,
    oom_floor=True,
    cgroup=True,
)


class PretendedAccounts(Accounts):
    """Accounts from a table."""

    def __init__(self) -> None:
        super().__init__()
        self.users = dict(USERS)
        self.groups = dict(GROUPS)
        self.asked: list[object] = []

    def find_user(self, said: str | int) -> Ids:
        self.asked.append(said)
        if isinstance(said, str):
            return self.users[said]
        return next(ids for ids in self.users.values() if ids.uid == said) if said in self.uids() else self.nobody(said)

    def uids(self) -> set[int]:
        return {ids.uid for ids in self.users.values()}

    def nobody(self, said: int) -> Ids:
        raise KeyError(said)

    def find_group(self, name: str) -> int:
        return self.groups[name]

    def find_group_name(self, gid: int) -> str:
        return {number: name for name, number in self.groups.items()}[gid]

    def find_groups(self, account: Ids) -> list[int]:
        return [*MEMBERS.get(account.name, []), account.gid]


class Pretence:
    """Builds machines and loads configurations on them.  ``owned``: uid and mode of paths that are not root's 0755."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.owned: dict[str, tuple[int, int]] = {}
        self.accounts = PretendedAccounts()
        self.abilities = ABLE
        self.hard_limits: dict[str, int] = {}
        self.package = str(directory / "package")
        (directory / "package").mkdir()
        self.write("site/app.py")

    def write(self, name: str, text: str = "") -> Path:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def lstat(self, path: str) -> os.stat_result:
        info = os.lstat(path)
        inside = Path(path).is_relative_to(self.directory) and path != str(self.directory)
        mode = info.st_mode if inside else stat.S_IFMT(info.st_mode) | 0o755
        uid, mode = self.owned.get(path, (0, stat.S_IMODE(mode) & ~0o022))
        fields = list(info)
        fields[0], fields[4], fields[5] = stat.S_IFMT(info.st_mode) | mode, uid, uid
        return os.stat_result(fields)

    def machine(self, user: str = "root", groups: tuple[int, ...] = ()) -> Machine:
        who = self.accounts.users[user]
        me = Ids(who.uid, who.gid, groups, who.name, who.home, who.shell)
        sight = Sight(self.lstat, os.readlink, lambda path: False)
        return Machine(me, who.home, self.package, self.accounts, sight, self.abilities, self.hard_limits)

    def load(self, text: str, user: str = "root", groups: tuple[int, ...] = (), look: bool = True) -> Config:
        self.write("itk.toml", text)
        return load_on(self.machine(user, groups), str(self.directory / "itk.toml"), look=look)

    def refusal(self, text: str, user: str = "root") -> list[str]:
        """The lines of the error, with the directory left out."""
        with pytest.raises(ConfigError) as caught:
            self.load(text, user)
        return [self.shorten(str(problem)) for problem in caught.value.problems]

    def shorten(self, text: str) -> str:
        return text.replace(str(self.directory) + "/", "")


LISTEN = '[server]\nlisten = ["127.0.0.1:8080"]\n'


def site(**keys: str) -> str:
    """A [[vhost]] that is fit to be served, and what is said of it here, as TOML."""
    said = {"name": '"a.example"', "user": "50001", "root": '"site"', "app": '"app.py"', **keys}
    return "[[vhost]]\n" + "".join(f"{key} = {value}\n" for key, value in said.items() if value)
