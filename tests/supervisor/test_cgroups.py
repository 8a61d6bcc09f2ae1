"""Groups of pools, on a tree of plain directories: a file in one stands for a process in it."""

import os
from pathlib import Path

import pytest

from itkwsgi.linux import cgroup
from itkwsgi.supervisor import cgroups
from itkwsgi.supervisor.cgroups import FIRST_PAUSE, LONGEST_PAUSE, begin


class Tree:
    """A hierarchy, a kernel that makes files in new groups, a clock to turn, and what was noted."""

    def __init__(self, group):
        self.group = group
        self.kind = "domain\n"
        self.killed: list[str] = []
        self.notes: list[str] = []
        self.due: list[tuple[float, object]] = []
        self.running = None

    def make(self, path):
        os.mkdir(path, 0o700)

    def after(self, seconds, callback):
        self.due.append((seconds, callback))

    def turn(self):
        """Let the time come for all that is due; how long that was."""
        due, self.due = self.due, []
        for _, callback in due:
            callback()
        return [seconds for seconds, _ in due]

    def begin(self):
        self.running = begin(self.after, self.notes.append, str(self.group))
        return self.running

    def groups(self):
        return sorted(str(path.relative_to(self.group)) for path in self.group.rglob("*") if path.is_dir())

    def enter(self, name):
        (self.group / name / "process").touch()

    def leave(self, name):
        (self.group / name / "process").unlink()


@pytest.fixture
def tree(tmp_path, monkeypatch):
    tree = Tree(tmp_path / "group")
    tree.group.mkdir()
    monkeypatch.setattr(cgroup, "is_of_use", lambda base: tree.kind == "domain\n")
    monkeypatch.setattr(cgroup, "kill", lambda path: tree.killed.append(os.path.relpath(path, tree.group)))
    monkeypatch.setattr(cgroup, "open_procs", lambda path: os.open(path, os.O_RDONLY))
    return tree


@pytest.fixture
def groups(tree):
    groups = tree.begin()
    yield groups
    if groups.lock is not None:
        os.close(groups.lock)


BASE = f"itkwsgi-{os.getpid()}"


def test_a_pool_has_a_group_as_long_as_it_lives(tree, groups):
    fd = groups.open(7)
    assert os.readlink(f"/proc/self/fd/{fd}") == str(tree.group / BASE / "pool-7")
    os.close(fd)
    assert tree.groups() == [BASE, f"{BASE}/pool-7"]
    groups.kill(7)
    assert tree.killed == [f"{BASE}/pool-7"]
    groups.forget(7)
    assert tree.groups() == [BASE]
    assert tree.due == []


def test_a_pool_without_a_group_is_no_matter(tree, groups):
    groups.kill(9)
    groups.forget(9)
    assert (tree.killed, tree.due, tree.notes) == ([], [], [])


def test_a_group_is_removed_when_it_is_empty_and_ended_until_then(tree, groups):
    for serial in (1, 2):
        os.close(groups.open(serial))
        tree.enter(f"{BASE}/pool-{serial}")
        groups.forget(serial)
    pauses = [tree.turn() for _ in range(3)]
    assert pauses == [[FIRST_PAUSE], [FIRST_PAUSE * 2], [FIRST_PAUSE * 4]]
    assert tree.killed.count(f"{BASE}/pool-1") == 4
    tree.leave(f"{BASE}/pool-1")
    for _ in range(20):
        (pause,) = tree.turn()
    assert pause == LONGEST_PAUSE
    assert tree.groups() == [BASE, f"{BASE}/pool-2"]
    tree.leave(f"{BASE}/pool-2")
    tree.turn()
    assert tree.groups() == [BASE]
    assert tree.due == []
    os.close(groups.open(3))
    tree.enter(f"{BASE}/pool-3")
    groups.forget(3)
    assert tree.turn() == [FIRST_PAUSE]


def test_a_group_that_cannot_be_made_is_said_once(tree, groups, monkeypatch):
    def fail(path):
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(cgroup, "make", fail)
    assert groups.open(1) is None
    assert groups.open(2) is None
    assert len(tree.notes) == 1
    groups.kill(1)
    groups.forget(1)
    assert tree.killed == []


def test_a_group_that_cannot_be_entered_is_removed(tree, groups, monkeypatch):
    def fail(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(cgroup, "open_procs", fail)
    assert groups.open(1) is None
    assert tree.groups() == [BASE]


def test_what_cannot_be_ended_or_removed_is_said_and_not_tried_for_ever(tree, groups, monkeypatch):
    def fail(path):
        raise PermissionError(13, "Permission denied")

    os.close(groups.open(1))
    monkeypatch.setattr(cgroup, "kill", fail)
    monkeypatch.setattr(cgroup, "remove", fail)
    groups.forget(1)
    assert len(tree.notes) == 2
    assert tree.due == []


def test_at_the_end_all_is_ended_and_removed(tree):
    groups = tree.begin()
    os.close(groups.open(1))
    os.close(groups.open(2))
    groups.close()
    assert tree.killed == [BASE]
    assert tree.groups() == []


def test_what_is_not_empty_at_the_end_is_the_next_servers_to_end(tree):
    groups = tree.begin()
    os.close(groups.open(1))
    tree.enter(f"{BASE}/pool-1")
    groups.close()
    assert tree.groups() == [BASE, f"{BASE}/pool-1"]
    tree.killed.clear()
    groups = tree.begin()
    assert groups.base == str(tree.group / f"{BASE}.1")
    assert tree.killed == [BASE]
    tree.leave(f"{BASE}/pool-1")
    tree.turn()
    assert tree.groups() == [f"{BASE}.1"]
    groups.close()


def test_a_living_servers_groups_are_left_alone(tree):
    first = tree.begin()
    os.close(first.open(1))
    second = tree.begin()
    assert tree.killed == []
    assert tree.groups() == [BASE, f"{BASE}.1", f"{BASE}/pool-1"]
    second.close()
    first.close()


def test_what_is_not_ours_is_left_alone(tree):
    names = ["itkwsgi.service", "itkwsgi-web.service", "itkwsgi-", "itkwsgi-12x", "my-itkwsgi-12", "user.slice"]
    for name in names:
        (tree.group / name).mkdir()
    tree.begin().close()
    assert tree.groups() == sorted(names)
    assert tree.killed == [BASE]


def test_a_server_whose_new_group_another_takes_for_a_leftover_takes_another_name(tree, monkeypatch):
    real = cgroup.lock
    others = []

    def lock(path):
        if not others:
            others.append(real(path))  # the other one looks at it
            Path(path).rmdir()
        return real(path)

    monkeypatch.setattr(cgroup, "lock", lock)
    groups = tree.begin()
    assert groups.base == str(tree.group / f"{BASE}.1")
    os.close(others[0])
    groups.close()


@pytest.mark.parametrize("why", ["no group", "no right", "no name", "not of use", "not readable"])
def test_where_it_cannot_be_had_it_is_absent(tree, monkeypatch, why):
    def fail(path):
        raise PermissionError(13, "Permission denied")

    if why == "no group":
        assert begin(tree.after, tree.notes.append, None) is None
        return
    if why == "no right":
        monkeypatch.setattr(cgroup, "make", fail)
    elif why == "no name":
        monkeypatch.setattr(cgroup, "lock", lambda path: None)
        monkeypatch.setattr(cgroups, "NAMES", 0)
    elif why == "not of use":
        tree.kind = "threaded\n"
    else:
        monkeypatch.setattr(cgroup, "is_of_use", fail)
    assert tree.begin() is None
    assert tree.groups() == []
    assert tree.notes == []
