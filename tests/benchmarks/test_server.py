"""Starting and stopping real processes: small shell scripts that behave badly."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks import BenchmarkError, processes
from benchmarks.server import Server


class Script(Server):
    """A shell script that is ready when it has written a file."""

    name = "script"

    def __init__(self, work: Path, script: str) -> None:
        super().__init__(work)
        self.script = script

    def command(self) -> list[str]:
        return ["sh", "-c", self.script, str(self.directory / "ready")]

    def is_ready(self) -> bool:
        return (self.directory / "ready").exists()


def test_it_runs_within_the_block_and_its_children_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.server.PATIENCE", 0.2)
    with Script(tmp_path, 'sleep 60 & : > "$0"; wait') as server:
        tree = processes.tree_of(server.pid, processes.snapshot())
        assert len(tree) == 2
        assert os.getsid(server.pid) == server.pid
    stats = processes.snapshot()
    assert [pid for pid in tree if pid in stats and stats[pid].state != "Z"] == []


def test_one_that_ends_at_once_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"ended with 3:\noutput: bad luck"):
        Script(tmp_path, "echo bad luck; exit 3").start()


def test_one_that_answers_nothing_is_quoted(tmp_path: Path) -> None:
    with (
        Script(tmp_path, 'echo hm; : > "$0"; exec sleep 60') as server,
        pytest.raises(BenchmarkError, match=r"(?s)script: a\.bench: no answer.*output: hm"),
    ):
        server.check("a.bench")


def test_one_that_ignores_the_signal_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.server.STOP_TIMEOUT", 0.2)
    with Script(tmp_path, 'trap "" TERM; : > "$0"; while :; do sleep 0.1; done') as server:
        pid = server.pid
    assert pid not in processes.snapshot()
    with pytest.raises(BenchmarkError, match="not running"):
        _ = server.pid


def test_stopping_what_never_started_is_nothing(tmp_path: Path) -> None:
    server = Script(tmp_path, "")
    server.stop()
    assert server.url("/a") == f"http://127.0.0.1:{server.port}/a"
