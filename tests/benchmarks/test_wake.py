"""Waiting for a site to sleep."""

from __future__ import annotations

import pytest

from benchmarks import BenchmarkError
from benchmarks.wake import SLEEPER, wait_asleep


def test_it_waits_until_the_last_process_is_gone() -> None:
    answers = [[7, 8], [8], []]
    asked = []

    def pids(user: int) -> list[int]:
        asked.append(user)
        return answers.pop(0)

    wait_asleep(SLEEPER.user, pids)
    assert asked == [SLEEPER.user] * 3
    assert answers == []


def test_a_site_that_stays_awake_is_an_error() -> None:
    with pytest.raises(BenchmarkError, match=r"\[7\]"):
        wait_asleep(50301, lambda user: [7], timeout=0)
