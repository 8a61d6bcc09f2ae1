"""Control groups: where ours is, whether it is ours, and what the calls do, on a tree of plain files.

The real hierarchy is in tests/root/test_cgroups.py.
"""

import errno
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itkwsgi.linux import cgroup

HYBRID = (
    "31 30 0:27 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
    "40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd\n"
    "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"
)
UNIFIED = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 master:1 - cgroup2 cgroup2 rw,nsdelegate\n"
INNER = "30 23 0:26 /system.slice/box /sys/fs/cgroup ro,nosuid - cgroup2 cgroup2 rw\n"
SPACE = "30 23 0:26 /a\\040b /mnt/c\\040d\\134e rw - cgroup2 none rw\n"


@pytest.mark.parametrize(
    ("cgroups", "mounts", "group"),
    [
        ("9:name=systemd:/\n4:memory:/x\n0::/\n", HYBRID, "/sys/fs/cgroup/unified"),
        ("0::/system.slice/itkwsgi.service\n", UNIFIED, "/sys/fs/cgroup/system.slice/itkwsgi.service"),
        ("0::/\n", UNIFIED, "/sys/fs/cgroup"),
        ("0::/system.slice/box\n", INNER, "/sys/fs/cgroup"),
        ("0::/system.slice/box/a\n", INNER, "/sys/fs/cgroup/a"),
        ("0::/system.slice/boxes\n", INNER, None),
        ("0::/a b/c\n", SPACE, "/mnt/c d\\e/c"),
        ("0::/user.slice\n", INNER + UNIFIED, "/sys/fs/cgroup/user.slice"),
        ("0::/..\n", UNIFIED, None),
        ("0::/../other\n", INNER, None),
        ("0::/a/../b\n", UNIFIED, None),
        ("4:memory:/x\n", HYBRID, None),
        ("0::/\n", "31 30 0:27 / /sys/fs/cgroup rw - tmpfs cgroup2 rw\n", None),
        ("", "", None),
    ],
)
def test_where_our_group_is(cgroups, mounts, group):
    assert cgroup.own_group(cgroups, mounts) == group


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20))
def test_a_mounts_path_is_read_as_it_was(path):
    shown = path.replace("\\", "\\134").replace(" ", "\\040").replace("\t", "\\011").replace("\n", "\\012")
    assert cgroup.unescape(shown) == path


def test_found_below_proc(tmp_path, monkeypatch):
    proc = tmp_path / "proc"
    proc.mkdir()
    assert cgroup.find(str(proc)) is None
    (proc / "cgroup").write_text("0::/a\n")
    (proc / "mountinfo").write_text(UNIFIED)
    assert cgroup.find(str(proc)) is None
    monkeypatch.setattr(cgroup, "is_ours", lambda group: True)
    assert cgroup.find(str(proc)) == "/sys/fs/cgroup/a"


@pytest.mark.parametrize(("value", "ours"), [(b"1", True), (b"0", False), (None, False)])
def test_a_group_is_ours_when_whoever_made_it_says_so(tmp_path, value, ours):
    if value is not None:
        try:
            os.setxattr(tmp_path, "user.delegate", value)
        except OSError as error:
            pytest.skip(f"this file system has no attributes: {error}")
    assert cgroup.is_ours(str(tmp_path)) is ours


def fake_group(path, kind="domain\n"):
    path.mkdir()
    for name in ("cgroup.procs", "cgroup.kill"):
        (path / name).touch()
    (path / "cgroup.type").write_text(kind)
    return str(path)


def test_what_is_written_where(tmp_path):
    group = fake_group(tmp_path / "a")
    fd = cgroup.open_procs(group)
    assert not os.get_inheritable(fd)
    os.write(fd, b"0")
    os.close(fd)
    cgroup.kill(group)
    assert (tmp_path / "a" / "cgroup.procs").read_bytes() == b"0"
    assert (tmp_path / "a" / "cgroup.kill").read_bytes() == b"1"
    cgroup.kill(str(tmp_path / "gone"))


def test_a_group_that_goes_while_it_is_ended(tmp_path, monkeypatch):
    group = fake_group(tmp_path / "a")

    def fail(number):
        def write(fd, data):
            raise OSError(number, os.strerror(number))

        return write

    monkeypatch.setattr(cgroup.os, "write", fail(errno.ENODEV))
    cgroup.kill(group)
    monkeypatch.setattr(cgroup.os, "write", fail(errno.EIO))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        cgroup.kill(group)


def test_which_groups_are_of_use(tmp_path):
    assert cgroup.is_of_use(fake_group(tmp_path / "a"))
    assert not cgroup.is_of_use(fake_group(tmp_path / "b", "domain invalid\n"))
    (tmp_path / "a" / "cgroup.kill").unlink()
    assert not cgroup.is_of_use(str(tmp_path / "a"))


def test_a_new_group_is_nobody_elses(tmp_path):
    cgroup.make(str(tmp_path / "a"))
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o700
    with pytest.raises(FileExistsError):
        cgroup.make(str(tmp_path / "a"))


def test_removed_with_all_below_or_not_yet(tmp_path):
    (tmp_path / "a" / "b" / "c").mkdir(parents=True)
    busy = tmp_path / "a" / "b" / "process"  # a plain file keeps a directory as a process keeps a group
    busy.touch()
    assert not cgroup.remove(str(tmp_path / "a"))
    busy.unlink()
    assert cgroup.remove(str(tmp_path / "a"))
    assert not (tmp_path / "a").exists()
    assert cgroup.remove(str(tmp_path / "a"))


def test_a_group_that_cannot_be_removed(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        cgroup.remove(str(tmp_path / "file"))


def test_one_holds_a_lock_at_a_time(tmp_path):
    first = cgroup.lock(str(tmp_path))
    assert first is not None
    assert not os.get_inheritable(first)
    assert cgroup.lock(str(tmp_path)) is None
    os.close(first)
    second = cgroup.lock(str(tmp_path))
    assert second is not None
    os.close(second)


def test_a_lock_on_what_was_removed_meanwhile_is_none(tmp_path, monkeypatch):
    path = tmp_path / "a"
    real = cgroup.fcntl.flock

    def remove_first(again):
        def flock(fd, how):
            path.rmdir()
            if again:
                path.mkdir()
                (tmp_path / "inode").mkdir()  # another may get the old number
            real(fd, how)

        return flock

    for again in (False, True):
        path.mkdir(exist_ok=True)
        open_now = len(os.listdir("/proc/self/fd"))
        kept = os.open(path, os.O_RDONLY)  # so that its inode number is not free
        monkeypatch.setattr(cgroup.fcntl, "flock", remove_first(again))
        assert cgroup.lock(str(path)) is None
        os.close(kept)
        assert len(os.listdir("/proc/self/fd")) == open_now
