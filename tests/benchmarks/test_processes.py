"""The parsers of /proc, and process trees; this test's own processes are the oracle for the rest."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.processes import (
    Stat,
    cpu_seconds,
    parse_pss,
    parse_stat,
    parse_uid,
    pids_of_user,
    read,
    snapshot,
    tree_of,
    usage_of_tree,
    usages,
)

FIELDS = "S 7 1 1 0 -1 4194560 9 9 0 0 10 20 300 400 20 0 1 0 4711 1000 50"


@given(st.text())
def test_the_name_of_a_process_may_be_anything(name: str) -> None:
    assert parse_stat(f"42 ({name}) {FIELDS}") == Stat(pid=42, parent=7, cpu=730, start=4711, state="S")


def test_a_process_named_like_a_stat() -> None:
    assert parse_stat(f"42 (a) S 1 2) {FIELDS}").parent == 7


@pytest.mark.parametrize(
    ("text", "size"),
    [("55d0-7ffc ---p 00000000 00:00 0 [rollup]\nRss: 9 kB\nPss: 12 kB\nPss_Anon: 3 kB\n", 12288), ("", 0)],
)
def test_pss_is_in_bytes(text: str, size: int) -> None:
    assert parse_pss(text) == size


def test_the_effective_user_counts() -> None:
    assert parse_uid("Name:\tx\nUid:\t1\t50001\t3\t4\nGid:\t9\t9\t9\t9\n") == 50001


def test_a_status_without_user_is_refused() -> None:
    with pytest.raises(ValueError, match="Uid"):
        parse_uid("Name:\tx\n")


def stats_of(parents: dict[int, int]) -> dict[int, Stat]:
    return {pid: Stat(pid, parent, 0, 0) for pid, parent in parents.items()}


def test_a_tree_has_parents_first_and_no_strangers() -> None:
    stats = stats_of({9: 1, 5: 9, 7: 9, 6: 5, 8: 1})
    assert tree_of(9, stats) == [9, 5, 7, 6]
    assert tree_of(10, stats) == []


@given(st.dictionaries(st.integers(1, 30), st.integers(0, 30)))
def test_a_tree_is_closed_under_parenthood(parents: dict[int, int]) -> None:
    stats = stats_of({pid: min(parent, pid - 1) for pid, parent in parents.items()})
    tree = tree_of(1, stats)
    assert len(tree) == len(set(tree))
    assert {pid for pid in stats if stats[pid].parent in tree} <= set(tree)


def test_a_child_is_found_and_its_time_stays_when_it_ended() -> None:
    before = cpu_seconds(os.getpid())
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as child:
        time.sleep(0.3)
        stats = snapshot()
        assert child.pid in tree_of(os.getpid(), stats)
        assert stats[child.pid].parent == os.getpid()
        child.kill()
    assert child.pid not in tree_of(os.getpid(), snapshot())
    assert cpu_seconds(os.getpid()) - before > 0.05


def test_this_process_has_memory_a_title_and_a_user() -> None:
    mine = usage_of_tree(os.getpid())[0]
    assert (mine.pid, mine.uid) == (os.getpid(), os.geteuid())
    assert mine.pss > 1_000_000
    assert "python" in mine.title or "pytest" in mine.title
    assert os.getpid() in pids_of_user(os.geteuid())


def test_what_has_ended_is_left_out() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    assert usages([child.pid]) == []
    assert read(Path("/proc") / str(child.pid) / "stat") == ""
