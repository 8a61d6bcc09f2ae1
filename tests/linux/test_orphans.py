from __future__ import annotations

import os
import signal
import time

import pytest

from itkwsgi.linux import kernel, orphans, process_status
from tests.support.forked import in_child


def sleeper() -> int:
    """A child that ignores what can be ignored."""
    pid = os.fork()
    if pid == 0:
        try:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            time.sleep(60)
        finally:
            os._exit(0)
    return pid


def dead_child() -> int:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    return pid


def orphan(depth: int = 1) -> None:
    """A grandchild whose parent is gone (``depth`` generations of them)."""
    if os.fork() == 0:
        try:
            if depth:
                orphan(depth - 1)
            else:
                time.sleep(60)
        finally:
            os._exit(0)


def children():
    return set(process_status.children_of(os.getpid()))


def wait_until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_an_unknown_child_is_killed_and_a_known_one_is_not():
    def change():
        known, unknown = sleeper(), sleeper()
        try:
            assert orphans.kill_unknown_children({known}) == [unknown]
            wait_until(lambda: not orphans.kill_unknown_children({known}))
            wait_until(lambda: children() == {known})
            assert process_status.read(known).state != process_status.ZOMBIE
            assert os.waitpid(known, os.WNOHANG) == (0, 0)
        finally:
            orphans.end_all_children()
        return True

    assert in_child(change)


def test_a_dead_unknown_child_is_reaped_and_not_reported():
    def change():
        dead = dead_child()
        assert dead in children()
        assert orphans.kill_unknown_children(set()) == []
        return children()

    assert in_child(change) == set()


def test_the_status_of_a_known_dead_child_is_left_to_its_owner():
    def change():
        known = dead_child()
        orphans.kill_unknown_children({known})
        return os.waitpid(known, 0) == (known, 0)

    assert in_child(change)


def test_an_orphan_comes_to_the_subreaper_and_is_killed():
    def change():
        kernel.set_subreaper()
        known = os.fork()
        if known == 0:
            try:
                orphan()
            finally:
                os._exit(0)
        os.waitpid(known, 0)
        wait_until(children)
        wait_until(lambda: orphans.kill_unknown_children(set()) or not children())
        wait_until(lambda: not orphans.kill_unknown_children(set()) and not children())
        return True

    assert in_child(change)


def test_all_are_ended_grandchildren_and_stopped_ones_too():
    def change():
        kernel.set_subreaper()
        stopped = sleeper()
        os.kill(stopped, signal.SIGSTOP)
        dead_child()
        for depth in range(4):
            orphan(depth)
        if os.fork() == 0:
            try:
                for _ in range(5):
                    sleeper()
                sleeper()
                time.sleep(60)
            finally:
                os._exit(0)
        assert orphans.end_all_children() == []
        with pytest.raises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)
        return children()

    assert in_child(change) == set()


def test_one_that_forks_and_exits_all_the_time_is_caught():
    def change():
        kernel.set_subreaper()
        if os.fork() == 0:
            try:
                while os.fork() == 0:
                    time.sleep(0.0005)
            finally:
                os._exit(0)
        time.sleep(0.05)
        return orphans.end_all_children(), children()

    assert in_child(change) == ([], set())


def test_no_children_end_at_once():
    assert in_child(orphans.end_all_children) == []


def test_one_that_hangs_in_the_kernel_is_returned():
    """No process can be made to hang here, so the kill does nothing and the state is made up."""

    def change():
        hanging = sleeper()
        real_kill, real_read = os.kill, process_status.read
        os.kill = lambda pid, number: None if pid == hanging else real_kill(pid, number)

        def read(pid="self"):
            status = real_read(pid)
            if pid == hanging:
                status.state = process_status.DISK_SLEEP
            return status

        process_status.read = read
        sleeper()
        begin = time.monotonic()
        left = orphans.end_all_children(30)
        took = time.monotonic() - begin
        real_kill(hanging, signal.SIGKILL)
        os.waitpid(hanging, 0)
        return left == [hanging], took, children()

    found, took, left = in_child(change)
    assert found and left == set()
    assert orphans.HANGS_AFTER <= took < 10


def test_one_that_may_not_be_killed_is_returned_at_the_deadline():
    def change():
        untouchable = sleeper()
        real_kill = os.kill

        def refuse(pid, number):
            raise PermissionError(1, "Operation not permitted")

        os.kill = refuse
        assert orphans.kill_unknown_children(set()) == [untouchable]
        left = orphans.end_all_children(0.05)
        real_kill(untouchable, signal.SIGKILL)
        os.waitpid(untouchable, 0)
        return left == [untouchable]

    assert in_child(change)


def test_a_pid_that_is_no_child_is_never_signalled(monkeypatch):
    """Whatever the list says: it may be old, and the number another process's by now."""

    def change():
        signalled = []
        os.kill = lambda pid, number: signalled.append(pid)
        process_status.children_of = lambda pid: [1, os.getppid()]
        return orphans.kill_unknown_children(set()), signalled

    assert in_child(change) == ([], [])


def test_a_list_that_cannot_be_read_is_an_error(monkeypatch):
    def refuse(pid):
        raise FileNotFoundError("no such list")

    monkeypatch.setattr(process_status, "children_of", refuse)
    with pytest.raises(FileNotFoundError):
        orphans.kill_unknown_children(set())
    with pytest.raises(FileNotFoundError):
        orphans.end_all_children()


def test_a_child_that_the_list_left_out_is_still_ended():
    """The kernel may leave children out of the list while others exit."""

    def change():
        sleeper()
        real = process_status.children_of
        answers: list[list[int]] = [[], []]
        process_status.children_of = lambda pid: answers.pop() if answers else real(pid)
        return orphans.end_all_children(), children()

    assert in_child(change) == ([], set())
