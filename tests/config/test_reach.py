"""May this user get there, by the mode bits?"""

from __future__ import annotations

import os
import stat
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from itkwsgi.config.model import Ids
from itkwsgi.config.reach import ENTER, EXECUTE, READ, WRITE, refusal
from itkwsgi.config.walk import Sight

JESS = Ids(1001, 1001, (2000,), "jess")
NUMBER = Ids(50001, 50001, (), "50001")

Tree = dict[str, tuple[int, int, int]]  # path -> mode with type, uid, gid
DIRECTORY, FILE, LINK = stat.S_IFDIR, stat.S_IFREG, stat.S_IFLNK


def sight(tree: Tree, links: dict[str, str] | None = None, acl: Callable[[str], bool] = lambda path: False) -> Sight:
    def lstat(path: str) -> os.stat_result:
        if path == "/":
            return os.stat_result((DIRECTORY | 0o755, 1, 1, 1, 0, 0, 0, 0, 0, 0))
        if path not in tree:
            raise FileNotFoundError(2, "No such file or directory", path)
        mode, uid, gid = tree[path]
        return os.stat_result((mode, 1, 1, 1, uid, gid, 0, 0, 0, 0))

    return Sight(lstat, lambda path: (links or {})[path], acl)


def test_the_directory_that_refuses_is_named() -> None:
    tree = {"/root": (DIRECTORY | 0o700, 0, 0), "/root/x": (DIRECTORY | 0o755, 0, 0)}
    assert refusal("/root/x", NUMBER, READ, sight=sight(tree)) == "/root is 0700: user 50001 cannot enter"
    assert refusal("/root/x", JESS, READ, sight=sight(tree)) == "/root is 0700: user jess cannot enter"


@pytest.mark.parametrize(
    ("mode", "uid", "gid", "want", "word"),
    [
        (0o700, 1001, 0, READ | ENTER, ""),
        (0o500, 1001, 0, READ | ENTER, ""),
        (0o400, 1001, 0, ENTER, "enter"),
        (0o700, 1001, 0, READ | WRITE | ENTER, ""),
        (0o500, 1001, 0, READ | WRITE | ENTER, "write"),
        (0o077, 1001, 1001, ENTER, "enter"),  # the owner's bits count alone, though its group may
        (0o750, 0, 1001, READ | ENTER, ""),
        (0o750, 0, 2000, READ | ENTER, ""),  # by a supplementary group
        (0o705, 0, 2000, ENTER, "enter"),  # the group's bits count alone, though everybody may
        (0o755, 0, 0, READ | ENTER, ""),
        (0o711, 0, 0, ENTER, ""),
        (0o711, 0, 0, READ | ENTER, "read"),
        (0o744, 0, 0, READ | ENTER, "enter"),
        (0o750, 0, 0, READ, "read"),
    ],
)
def test_only_the_first_class_that_fits_counts(mode: int, uid: int, gid: int, want: int, word: str) -> None:
    said = refusal("/d", JESS, want, "directory", sight({"/d": (DIRECTORY | mode, uid, gid)}))
    assert said == (f"/d is {mode:04o}: user jess cannot {word}" if word else "")


def test_files_are_read_or_executed() -> None:
    tree = {"/f": (FILE | 0o640, 0, 0), "/x": (FILE | 0o644, 0, 0)}
    assert refusal("/f", JESS, READ, "file", sight(tree)) == "/f is 0640: user jess cannot read"
    assert refusal("/x", JESS, EXECUTE, "file", sight(tree)) == "/x is 0644: user jess cannot execute"


def test_kinds() -> None:
    tree = {"/f": (FILE | 0o755, 0, 0), "/d": (DIRECTORY | 0o755, 0, 0), "/p": (stat.S_IFIFO | 0o666, 0, 0)}
    assert refusal("/f", JESS, READ, "directory", sight(tree)) == "/f is not a directory"
    assert refusal("/d", JESS, READ, "file", sight(tree)) == "/d is not a file"
    assert refusal("/p", JESS, READ, "file", sight(tree)) == "/p is not a file"
    assert refusal("/p", JESS, READ, sight=sight(tree)) == ""


def test_links_lead_through_what_they_lead_to() -> None:
    tree = {"/l": (LINK | 0o777, 0, 0), "/root": (DIRECTORY | 0o700, 0, 0), "/root/f": (FILE | 0o644, 0, 0)}
    assert refusal("/l", JESS, READ, "file", sight(tree, {"/l": "root/f"})) == "/root is 0700: user jess cannot enter"
    assert refusal("/l", JESS, READ, "file", sight(tree, {"/l": "l"})) == "/l: Too many levels of symbolic links"


def test_what_is_not_there() -> None:
    tree = {"/f": (FILE | 0o644, 0, 0)}
    assert refusal("/none/x", JESS, READ, sight=sight(tree)) == "/none does not exist"
    assert refusal("/f/x", JESS, READ, sight=sight(tree)) == "/f is not a directory"


def test_without_a_user_only_existence_and_kind_count() -> None:
    tree = {"/root": (DIRECTORY | 0o700, 0, 0), "/root/f": (FILE | 0, 0, 0)}
    assert refusal("/root/f", None, READ, "file", sight(tree)) == ""
    assert refusal("/root/f", None, READ, "directory", sight(tree)) == "/root/f is not a directory"
    assert refusal("/root/g", None, 0, "", sight(tree)) == "/root/g does not exist"


def test_what_an_access_list_decides_is_not_judged() -> None:
    tree = {"/d": (DIRECTORY | 0o700, 0, 0), "/d/f": (FILE | 0o600, 0, 0)}
    assert (
        refusal("/d/f", JESS, READ, "file", sight(tree, acl=lambda path: path == "/d"))
        == "/d/f is 0600: user jess cannot read"
    )
    assert refusal("/d/f", JESS, READ, "file", sight(tree, acl=lambda path: True)) == ""


def test_what_root_may_not_see_is_not_judged() -> None:
    def squashed(path: str) -> os.stat_result:
        raise PermissionError(13, "Permission denied", path)

    assert refusal("/nfs/home", JESS, READ, sight=Sight(squashed)) == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to ask the kernel as another user")
@pytest.mark.parametrize("mode", [0o700, 0o711, 0o750, 0o755, 0o705, 0o070, 0o007])
@pytest.mark.parametrize("owner", [(0, 0), (50001, 0), (0, 50001), (0, 50002)])
def test_agrees_with_the_kernel(mode: int, owner: tuple[int, int]) -> None:
    """What the static walk says is what a process of that user meets."""
    user = Ids(50001, 50001, (50002,), "50001")
    with tempfile.TemporaryDirectory() as top:  # pytest's own directories let nobody else in
        os.chmod(top, 0o755)
        directory = Path(top, "d")
        directory.mkdir()
        os.chown(directory, *owner)
        directory.chmod(mode)
        said = refusal(str(directory), user, READ | ENTER, "directory")
        entered = as_user(user, "cd", str(directory))
        listed = as_user(user, "ls", str(directory))
    assert (said == "") == (entered and listed)


def as_user(user: Ids, command: str, path: str) -> bool:
    """Whether a process of that user can do it."""
    done = subprocess.run(
        ["/bin/sh", "-c", f'{command} "$1"', "sh", path],
        user=user.uid,
        group=user.gid,
        extra_groups=list(user.groups),
        capture_output=True,
        check=False,
    )
    return done.returncode == 0
