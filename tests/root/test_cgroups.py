"""Control groups on the machine's own hierarchy: who enters, who cannot leave, and that one word ends them all.

Skipped, with the reason, where the machine has no hierarchy of version 2 that is ours.
"""

import contextlib
import json
import os
import signal
import time
from pathlib import Path

import pytest
from daemon import alive, wait_until

from itkwsgi.linux import cgroup
from itkwsgi.supervisor import cgroups

SITE = 50001


@pytest.fixture(scope="module")
def given():
    """A group that is marked as ours to divide, below the one these tests are in."""
    own = cgroup.own_group(Path("/proc/self/cgroup").read_text(), Path("/proc/self/mountinfo").read_text())
    if own is None:
        pytest.skip("this machine has no cgroup v2 hierarchy")
    group = f"{own}/itkwsgi-tests"
    try:
        cgroup.make(group)
        os.chmod(group, 0o755)
        os.setxattr(group, "trusted.delegate", b"1")
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    yield group
    wait_until(lambda: cgroup.remove(group), what="an empty group")


class Running:
    """Groups, and callbacks that are called when a test says so."""

    def __init__(self, given):
        self.given = given
        self.due = []
        self.notes = []
        self.groups = cgroups.begin(lambda seconds, callback: self.due.append(callback), self.notes.append, given)

    def until_removed(self, path):
        def removed():
            due, self.due = self.due, []
            for callback in due:
                callback()
            return not os.path.exists(path)

        wait_until(removed, 5, f"{path} is removed")


@pytest.fixture
def running(given):
    one = Running(given)
    if one.groups is None:
        pytest.skip("control groups cannot be made here, or not be ended (Linux 5.14)")
    yield one
    one.groups.kill(1)
    one.groups.forget(1)
    one.until_removed(one.groups.path(1))
    one.groups.close()
    assert not os.path.exists(one.groups.base)
    assert one.notes == []


def forked(fd, function, uid=SITE):
    """A process of that user that entered through ``fd`` after it had given up root, runs ``function``, and stays.

    As the fork of a role that was executed it holds none of our descriptors, of which one is the lock.
    """
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            for other in range(3, 256):
                if other not in (fd, writer):
                    with contextlib.suppress(OSError):
                        os.close(other)
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            if fd is not None:
                os.write(fd, b"0")
                os.close(fd)
            said = function()
        except OSError as error:
            said = type(error).__name__
        os.write(writer, f"{said!r}\n".encode())  # not read to its end: what is forked on keeps it open
        os.close(writer)
        signal.pause()
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as file:
        return pid, file.readline()


def end(pid):
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def group_of(pid):
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    return next(line.removeprefix("0::") for line in lines if line.startswith("0::"))


def entered(running, function=lambda: None):
    fd = running.groups.open(1)
    pid, said = forked(fd, function)
    os.close(fd)
    return pid, said


def test_who_was_handed_the_descriptor_enters_as_whoever_it_is(running):
    """The fork of a zygote, which has no right to any group."""
    pid, _ = entered(running)
    assert group_of(pid).endswith(f"/itkwsgi-{os.getpid()}/pool-1")
    assert group_of(os.getpid()) == group_of(os.getppid())
    end(pid)


def attempts(given, base, own, pid):
    """What a site might try; by name, what came of it."""

    def write(path, data=b"0"):
        fd = os.open(path, os.O_WRONLY)
        try:
            os.write(fd, data)
        finally:
            os.close(fd)

    tries = {
        "leave": lambda: write(f"{given}/cgroup.procs"),
        "enter again": lambda: write(f"{own}/cgroup.procs"),
        "fetch another": lambda: write(f"{own}/cgroup.procs", b"%d" % pid),
        "end its own": lambda: write(f"{own}/cgroup.kill", b"1"),
        "end all": lambda: write(f"{base}/cgroup.kill", b"1"),
        "thaw": lambda: write(f"{own}/cgroup.freeze", b"0"),
        "list": lambda: os.listdir(base),
        "lock": lambda: os.open(base, os.O_RDONLY),
        "lock its own": lambda: os.open(own, os.O_RDONLY),
        "make one below": lambda: os.mkdir(f"{own}/hidden"),
        "make one above": lambda: os.mkdir(f"{given}/hidden"),
        "remove": lambda: os.rmdir(own),
        "open the mode": lambda: os.chmod(base, 0o777),
    }
    found = {}
    for name, attempt in tries.items():
        try:
            attempt()
            found[name] = "done"
        except OSError as error:
            found[name] = type(error).__name__
    return found


def test_no_site_has_a_say_in_groups(running):
    base, own = running.groups.base, running.groups.path(1)
    pid, said = entered(running, lambda: attempts(running.given, base, own, os.getppid()))
    found = eval(said)
    assert set(found.values()) == {"PermissionError"}
    assert len(found) == 13
    assert group_of(pid).endswith("/pool-1")
    end(pid)


def test_the_control_with_the_groups_made_open_a_site_leaves(running):
    """As a careless mode would leave them: then it is out of reach."""
    own = running.groups.path(1)
    fd = running.groups.open(1)
    procs = (f"{running.given}/cgroup.procs", f"{own}/cgroup.procs")
    modes = [os.stat(path).st_mode & 0o777 for path in procs]

    def leave():
        with open(procs[0], "w") as file:
            file.write("0")

    for path in procs:
        os.chmod(path, 0o666)
    try:
        pid, _ = forked(fd, leave)
        assert not group_of(pid).endswith("/pool-1")
    finally:
        for path, mode in zip(procs, modes, strict=True):
            os.chmod(path, mode)
        os.close(fd)
    end(pid)


def hide():
    """Double forks into sessions of their own, each of which forks on; their pids."""
    reader, writer = os.pipe()
    for _ in range(5):
        if os.fork() == 0:
            os.setsid()
            if os.fork():
                os._exit(0)
            os.setsid()
            os.fork()
            os.write(writer, b"%d " % os.getpid())
            os.close(writer)
            os.closerange(0, 100)
            time.sleep(60)
            os._exit(0)
        os.wait()
    os.close(writer)
    with os.fdopen(reader) as file:
        return [int(word) for word in file.read().split()]


def test_one_word_ends_all_however_they_hid(running):
    pid, said = entered(running, hide)
    hidden = eval(said)
    assert len(hidden) == 10
    end(pid)  # its process group and its children go with it, or not: the rest does not
    assert all(alive(each) for each in hidden)
    running.groups.kill(1)
    wait_until(lambda: not any(alive(each) for each in hidden), 5, "all are ended")


def bomb():
    """Forks for ever, each of them a leader of its own session that forks on; never more than some hundreds at once."""
    if os.fork() == 0:
        os.setsid()
        end = time.monotonic() + 20  # if nothing ends it
        while time.monotonic() < end:
            for _ in range(20):
                if os.fork() == 0:
                    os.setsid()
                    time.sleep(0.02)
                    if os.fork():
                        os._exit(0)
                    time.sleep(0.02)
                    os._exit(0)
            time.sleep(0.005)
        os._exit(0)


def test_a_fork_bomb_in_full_flight_is_ended(running):
    entered(running, bomb)
    procs = Path(running.groups.path(1), "cgroup.procs")
    wait_until(lambda: len(procs.read_text().split()) > 15, 10, "it is under way")
    running.groups.forget(1)
    running.until_removed(running.groups.path(1))


def test_what_a_killed_server_left_behind_is_ended_by_the_next(running):
    """And while it lived it was left alone."""
    reader, writer = os.pipe()
    server = os.fork()
    if server == 0:
        other = Running(running.given).groups
        fd = other.open(7)
        pid, _ = forked(fd, lambda: None)
        os.write(writer, f"{other.base} {pid}\n".encode())
        os.close(writer)
        signal.pause()
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as file:
        base, left = file.readline().split()
    third = Running(running.given).groups
    assert alive(int(left))
    third.close()
    end(server)
    fourth = Running(running.given)
    fourth.until_removed(base)
    assert not alive(int(left))
    fourth.groups.close()


@pytest.fixture
def inside(given):
    """This process is in the group meanwhile, and so is what it starts."""
    before = group_of(os.getpid())
    enter(given)
    yield given
    enter(given.removesuffix("/itkwsgi-tests"))
    assert group_of(os.getpid()) == before


def enter(group):
    with open(f"{group}/cgroup.procs", "w") as file:
        file.write("0")


def test_each_pool_of_a_server_that_was_given_a_group_has_one_of_its_own(inside, daemon, site):
    one = daemon(site("a.test", "user = 50001\nidle_timeout = '1s'") + site("b.test", "user = 50002"))
    pools = [json.loads(one.get(host, "/facts").body)["pool"] for host in ("a.test", "b.test")]
    groups = [group_of(pid) for pid in pools]
    assert [group.rpartition("/")[2] for group in groups] == ["pool-1", "pool-2"]
    base = f"{inside}/itkwsgi-{one.pid}"
    assert group_of(one.pid) == group_of(os.getpid())  # neither the server nor a zygote is in any
    wait_until(lambda: not os.path.exists(f"{base}/pool-1"), what="the group of a site that sleeps is gone")
    assert one.stop() == 0
    assert not os.path.exists(base)


def test_without_a_group_given_there_is_none(daemon, site):
    one = daemon(site("a.test", "user = 50001"))
    pool = json.loads(one.get("a.test", "/facts").body)["pool"]
    assert group_of(pool) == group_of(os.getpid())
