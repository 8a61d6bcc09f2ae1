"""What children and their pool tell each other: labels, times, reports, and what a spoiled one comes to."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itkwsgi.runtime.board import FOREVER, LABEL, LONGEST_REPORT, REPORT, Board


def test_labels_are_each_childs_own_and_cut() -> None:
    board = Board(3)
    board.label(0, b"GET /a")
    board.label(1, b"POST /" + b"x" * 500)
    assert board.read_label(0) == "GET /a"
    assert board.read_label(1) == "POST /" + "x" * (LABEL - 6)
    assert board.read_label(2) == ""
    board.label(1, b"GET /")
    assert board.read_label(1) == "GET /"


def test_a_label_is_one_printable_line() -> None:
    board = Board(1)
    board.label(0, b"GET /\n\x1b[2J\xff")
    assert board.read_label(0) == "GET /??[2J\N{REPLACEMENT CHARACTER}"


def test_who_is_due_before_the_pool_looks_must_wake_it() -> None:
    board = Board(2)
    assert board.expect(0, 10.0, 0.0, 40.0)  # it looks never
    board.watch_again(40.0)
    assert not board.expect(1, 20.0, 0.0, 50.0)
    assert board.expect(1, 20.0, 25.0, 50.0)
    assert board.times(1) == (20.0, 25.0, 50.0) and board.times(0) == (10.0, 0.0, 40.0)
    board.unwatch(1)
    assert board.times(1) == (0.0, 0.0, 0.0)


def test_the_pool_sleeps_for_ever_at_first() -> None:
    assert not Board(1).expect(0, 1.0, 0.0, FOREVER)


def test_a_report_is_taken_once_and_not_written_over() -> None:
    board = Board(1)
    assert board.take() is None
    assert board.post(b"first") and not board.post(b"second")
    assert board.take() == b"first" and board.take() is None
    assert board.post(b"second") and board.take() == b"second"


@pytest.mark.parametrize("report", [b"", b"x" * (LONGEST_REPORT + 1)])
def test_what_is_no_report(report: bytes) -> None:
    board = Board(1)
    assert not board.post(report) and board.take() is None


def test_the_longest_report() -> None:
    board = Board(1)
    assert board.post(b"x" * LONGEST_REPORT) and board.take() == b"x" * LONGEST_REPORT


@given(st.binary(min_size=1, max_size=200), st.integers(0), st.integers(1, 255))
def test_a_spoiled_report_is_dropped(report: bytes, where: int, change: int) -> None:
    board = Board(1)
    board.post(report)
    board.reports[REPORT.size + where % len(report)] ^= change
    assert board.take() is None
    assert board.post(b"next") and board.take() == b"next"


@given(st.binary(min_size=8, max_size=8))
def test_no_size_reads_beyond_the_end(header: bytes) -> None:
    board = Board(1)
    board.reports[:8] = header
    assert board.take() is None or int.from_bytes(header[:4], "little") > 0


def test_children_write_into_the_same_memory() -> None:
    board = Board(1)
    pid = os.fork()
    if pid == 0:
        board.label(0, b"GET /from-a-child")
        os._exit(0 if board.post(b"report") else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert board.read_label(0) == "GET /from-a-child" and board.take() == b"report"


def test_who_gave_it_up_reports_no_more_and_others_do() -> None:
    board = Board(1)
    pid = os.fork()
    if pid == 0:
        board.post_no_more()
        gone = board.reports.closed and not board.post(b"late")
        os._exit(0 if gone else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert board.post(b"report") and board.take() == b"report"
