"""Walking as the kernel walks; and whether somebody else could change what is there."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from itkwsgi.config.walk import MOST_LINKS, Sight, exists, has_acl, steps, untrusted


class Disk:
    """A pretended disk: path -> (mode with type, uid, target of a link)."""

    def __init__(self, **things: object) -> None:
        self.things: dict[str, tuple[int, int, str]] = {"/": (stat.S_IFDIR | 0o755, 0, "")}

    def directory(self, path: str, mode: int = 0o755, uid: int = 0) -> Disk:
        self.things[path] = (stat.S_IFDIR | mode, uid, "")
        return self

    def file(self, path: str, mode: int = 0o644, uid: int = 0) -> Disk:
        self.things[path] = (stat.S_IFREG | mode, uid, "")
        return self

    def link(self, path: str, target: str, uid: int = 0) -> Disk:
        self.things[path] = (stat.S_IFLNK | 0o777, uid, target)
        return self

    def lstat(self, path: str) -> os.stat_result:
        if path not in self.things:
            raise FileNotFoundError(2, "No such file or directory", path)
        mode, uid, _ = self.things[path]
        return os.stat_result((mode, 1, 1, 1, uid, uid, 0, 0, 0, 0))

    @property
    def sight(self) -> Sight:
        return Sight(self.lstat, lambda path: self.things[path][2], lambda path: False)

    def untrusted(self, path: str, sticky: bool = False) -> str:
        return untrusted(path, frozenset((0,)), self.sight, sticky)


@pytest.fixture
def disk() -> Disk:
    return Disk().directory("/a").directory("/a/b").file("/a/b/f").directory("/tmp", 0o1777)


def visited(disk: Disk, path: str) -> list[str]:
    return [visit.path + "!" * visit.last for visit in steps(path, disk.sight)]


def test_each_component(disk: Disk) -> None:
    assert visited(disk, "/a/b/f") == ["/", "/a", "/a/b", "/a/b/f!"]
    assert visited(disk, "/") == ["/!"]
    assert visited(disk, "/a//b/") == ["/", "/a", "/a/b!"]


def test_links_are_followed_where_they_stand(disk: Disk) -> None:
    disk.link("/a/rel", "b/../b").link("/abs", "/a/rel").link("/up", "a/b/..").link("/root", "/").link("/dot", ".")
    assert visited(disk, "/a/rel/f") == ["/", "/a", "/a/rel", "/a/b", "/a", "/a/b", "/a/b/f!"]
    assert visited(disk, "/abs/f") == ["/", "/abs", "/", "/a", "/a/rel", "/a/b", "/a", "/a/b", "/a/b/f!"]
    assert visited(disk, "/up") == ["/", "/up", "/a", "/a/b", "/a!"]
    assert visited(disk, "/root") == ["/", "/root", "/!"]
    assert visited(disk, "/dot") == ["/", "/dot", "/!"]


def test_dots_above_the_root_stay_there(disk: Disk) -> None:
    assert visited(disk, "/../../a") == ["/", "/", "/", "/a!"]


@pytest.mark.parametrize(
    ("path", "error", "filename"),
    [
        ("/a/x/y", FileNotFoundError, "/a/x"),
        ("/a/b/f/x", NotADirectoryError, "/a/b/f"),
        ("/loop/x", OSError, "/loop/x"),
    ],
)
def test_fails_as_the_kernel_does(disk: Disk, path: str, error: type[OSError], filename: str) -> None:
    disk.link("/loop", "loop")
    with pytest.raises(error) as caught:
        list(steps(path, disk.sight))
    assert caught.value.filename == filename


def test_links_are_counted(disk: Disk) -> None:
    for number in range(MOST_LINKS + 1):
        disk.link(f"/{number}", f"{number + 1}" if number else "1")
    disk.file(f"/{MOST_LINKS + 1}")
    assert visited(disk, "/1")[-1] == f"/{MOST_LINKS + 1}!"
    with pytest.raises(OSError, match="symbolic links"):
        list(steps("/0", disk.sight))


def test_existence(disk: Disk) -> None:
    disk.link("/l", "/a/b/f").link("/gone", "/a/none")
    found = [path for path in ("/", "/a/b/f", "/l", "/gone", "/a/none", "/a/b/f/x") if exists(path, disk.sight)]
    assert found == ["/", "/a/b/f", "/l"]


def test_what_cannot_be_seen_counts_as_nothing() -> None:
    def squashed(path: str) -> os.stat_result:
        raise PermissionError(13, "Permission denied", path)

    assert exists("/nfs/home", Sight(squashed)) is False


def test_agrees_with_the_real_disk(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_text("")
    (tmp_path / "l").symlink_to("d/../d")
    *_, last = steps(str(tmp_path / "l" / "f"))
    assert os.path.samestat(last.info, os.stat(tmp_path / "l" / "f")) and last.last
    assert last.path == os.path.realpath(tmp_path / "l" / "f")


def test_what_is_roots_alone_is_trusted(disk: Disk) -> None:
    disk.link("/l", "/a/b")
    for path in ("/a/b/f", "/l/f", "/", "/a"):
        assert disk.untrusted(path) == ""


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda disk: disk.directory("/a", uid=5), "/a belongs to uid 5"),
        (lambda disk: disk.file("/a/b/f", uid=5), "/a/b/f belongs to uid 5"),
        (lambda disk: disk.directory("/a", 0o775), "/a is 0775: its group may write it"),
        (lambda disk: disk.directory("/a/b", 0o757), "/a/b is 0757: everybody may write it"),
        (lambda disk: disk.file("/a/b/f", 0o666), "/a/b/f is 0666: everybody may write it"),
        (lambda disk: disk.link("/a/b/f", "/a/b/f", uid=5), "/a/b/f belongs to uid 5"),
        (lambda disk: disk.link("/a/b/f", "/tmp/x").file("/tmp/x", uid=5), "/tmp/x belongs to uid 5"),
        (lambda disk: disk.link("/a/b/f", "/tmp/x"), "/tmp/x does not exist, and anybody could make it in /tmp"),
        (lambda disk: disk.link("/a/b/f", "f"), "/a/b/f: Too many levels of symbolic links"),
    ],
)
def test_what_somebody_else_could_change(disk: Disk, change, fault: str) -> None:
    change(disk)
    assert disk.untrusted("/a/b/f") == fault


def test_sticky_directories_may_be_passed(disk: Disk) -> None:
    disk.directory("/tmp/x").file("/tmp/x/f")
    assert disk.untrusted("/tmp/x/f") == ""
    assert disk.untrusted("/tmp") == "/tmp is 1777: everybody may write it"
    assert disk.untrusted("/tmp", sticky=True) == ""
    disk.directory("/tmp", 0o777)
    assert disk.untrusted("/tmp/x/f") == "/tmp is 0777: everybody may write it"


def test_what_is_not_there_is_trusted_where_nobody_can_make_it(disk: Disk) -> None:
    assert disk.untrusted("/a/b/none/x") == ""
    assert disk.untrusted("/tmp/none/x") == "/tmp/none does not exist, and anybody could make it in /tmp"


def test_access_lists_are_seen(tmp_path: Path) -> None:
    assert has_acl(str(tmp_path)) is False
    assert has_acl(str(tmp_path / "none")) is False
