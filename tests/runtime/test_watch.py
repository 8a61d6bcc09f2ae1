"""The pool's eye on its children's time, on a clock of the test's."""

from __future__ import annotations

import os
import signal

import pytest

from itkwsgi.runtime import watch as module
from itkwsgi.runtime.board import Board
from itkwsgi.runtime.watch import DUMP_SECONDS, FOREVER, Watch, answer_dump_signal
from tests.support.daemon import wait_until


@pytest.fixture
def deeds(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr(module, "signal", lambda pid: found.append(f"stacks of {pid}"))
    monkeypatch.setattr(module, "end_group", lambda pid: found.append(f"end of {pid}"))
    monkeypatch.setattr(module, "log", found.append)
    return found


def test_nothing_to_watch(deeds: list[str]) -> None:
    watch = Watch(Board(2))
    watch.look({10: 0, 11: 1}, 5.0)
    assert watch.at == FOREVER and deeds == []


def test_a_slow_one_is_said_once_and_one_over_time_is_ended(deeds: list[str]) -> None:
    board = Board(2)
    watch = Watch(board)
    board.label(0, b"GET /slow")
    board.expect(0, 100.0, 102.0, 105.0)
    watch.look({10: 0}, 100.5)
    assert watch.at == 102.0 and deeds == []
    watch.look({10: 0}, 102.0)
    assert watch.at == 105.0
    assert deeds == ["slow_request 2 s: GET /slow is slow after 2.0 s, in process 10:", "stacks of 10"]
    deeds.clear()
    watch.look({10: 0}, 103.0)
    assert watch.at == 105.0 and deeds == []
    watch.look({10: 0}, 105.25)
    assert watch.at == 105.25 + DUMP_SECONDS
    assert deeds == ["request_timeout 5 s: GET /slow is ended after 5.2 s, in process 10:", "stacks of 10"]
    deeds.clear()
    watch.look({10: 0}, 105.3)
    assert deeds == []
    watch.look({10: 0}, 106.0)
    assert deeds == ["end of 10"] and watch.at == FOREVER


def test_one_that_is_gone_is_not_ended_though_its_pid_may_be_anothers(deeds: list[str]) -> None:
    board = Board(1)
    watch = Watch(board)
    board.expect(0, 1.0, 0.0, 2.0)
    watch.look({10: 0}, 3.0)
    board.unwatch(0)
    watch.look({}, 3.05)
    watch.look({10: 0}, 9.0)
    assert "end of 10" not in deeds


def test_the_pool_looks_again_when_the_first_is_due(deeds: list[str]) -> None:
    board = Board(3)
    watch = Watch(board)
    board.expect(0, 1.0, 0.0, 60.0)
    board.expect(1, 1.0, 30.0, 40.0)
    watch.look({10: 0, 11: 1, 12: 2}, 2.0)
    assert watch.at == 30.0
    assert not board.expect(2, 2.0, 0.0, 31.0) and board.expect(2, 2.0, 0.0, 29.0)


def test_the_stacks_are_written_even_when_no_python_runs() -> None:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(writer, 2)
        answer_dump_signal()
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        os.write(2, b"ready\n")
        while True:
            signal.sigwait([signal.SIGINT])  # in C, and woken by no handler
    os.close(writer)
    assert os.read(reader, 100) == b"ready\n"
    module.signal(pid)
    try:
        text = b""
        while b"test_watch.py" not in text:
            more = os.read(reader, 4096)
            assert more
            text += more
    finally:
        module.end_group(pid)
        assert os.waitpid(pid, 0)[1] == signal.SIGKILL
        os.close(reader)


def test_who_is_gone_already_is_no_error() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"), what="its end")
    module.signal(pid)
    module.end_group(pid)
