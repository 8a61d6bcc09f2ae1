"""Limits as the kernel keeps them, each in a process of its own."""

from __future__ import annotations

import os
import resource
import signal
import time

import pytest

from itkwsgi.errors import TimeLimitExceeded
from itkwsgi.ini.rlimits import RESOURCES
from itkwsgi.runtime.limits import ProcessorTime, half_used, room, set_limit
from tests.support.forked import in_child

INFINITY = resource.RLIM_INFINITY


def burn(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def limits_after(name: str, *steps: tuple[int | None, bool]) -> tuple[int, int]:
    for value, fixed in steps:
        set_limit(name, value, fixed)
    return resource.getrlimit(RESOURCES[name])


@pytest.mark.parametrize("name", ["memory_limit", "max_file_size"])
def test_a_default_moves_both_ways_and_what_is_fixed_only_down(name: str) -> None:
    mega = 2**28
    assert in_child(limits_after, name, (mega, False)) == (mega, INFINITY)
    assert in_child(limits_after, name, (mega, False), (2 * mega, False)) == (2 * mega, INFINITY)
    assert in_child(limits_after, name, (mega, False), (None, False)) == (INFINITY, INFINITY)
    assert in_child(limits_after, name, (2 * mega, True)) == (2 * mega, 2 * mega)
    assert in_child(limits_after, name, (mega, True), (2 * mega, False)) == (mega, mega)
    assert in_child(limits_after, name, (2 * mega, True), (mega, False)) == (mega, 2 * mega)
    assert in_child(limits_after, name, (2 * mega, True), (None, False)) == (2 * mega, 2 * mega)


def final(value: int, fixed: bool, again: bool) -> bool:
    found = set_limit("max_file_size", value, fixed)
    return set_limit("max_file_size", value, fixed) if again else found


def test_it_says_what_cannot_be_taken_back() -> None:
    assert in_child(final, 2**20, True, False) and not in_child(final, 2**20, False, False)
    assert not in_child(final, 2**20, True, True)  # nothing more was lost by that


def test_how_far_it_can_go() -> None:
    def rooms() -> tuple[int | None, int | None]:
        before = room("max_file_size")
        set_limit("max_file_size", 2**20, True)
        return before, room("max_file_size")

    assert in_child(rooms) == (None, 2**20)


# --- processor time


def limited(seconds: float | None, fixed: bool, lasting: bool = False, burnt: float = 0.0) -> tuple[int, int]:
    time_ = ProcessorTime(lasting, usual=5.0)
    signal.signal(signal.SIGPROF, time_.exceeded)
    burn(burnt)
    time_.start(seconds, fixed)
    time_.stop()
    return resource.getrlimit(resource.RLIMIT_CPU)


def test_the_kernels_limit_is_two_seconds_behind_and_hard_when_fixed() -> None:
    assert in_child(limited, 5.0, False) == (8, INFINITY)  # with what is used already, rounded up
    assert in_child(limited, 5.0, True) == (8, 8)
    assert in_child(limited, 5.0, True, True) == (8, 9)
    assert in_child(limited, None, False) == (INFINITY, INFINITY)


def started_twice(lasting: bool) -> tuple[tuple[int, int], tuple[int, int], bool, bool]:
    time_ = ProcessorTime(lasting, usual=3.0)
    signal.signal(signal.SIGPROF, time_.exceeded)
    time_.start(3.0, True)
    first, fresh = resource.getrlimit(resource.RLIMIT_CPU), time_.worn()
    burn(1.1)
    time_.start(3.0, True)
    time_.stop()
    return first, resource.getrlimit(resource.RLIMIT_CPU), fresh, time_.worn()


def test_a_process_that_lasts_ends_before_a_hard_limit_would_cut_a_request_short() -> None:
    assert in_child(started_twice, True) == ((6, 7), (7, 7), False, True)


def exceed(seconds: float) -> tuple[str, float]:
    time_ = ProcessorTime(False)
    signal.signal(signal.SIGPROF, time_.exceeded)
    begun = time.process_time()
    time_.start(seconds, False)
    try:
        burn(5.0)
    except TimeLimitExceeded as error:
        return str(error), time.process_time() - begun
    return "", 0.0


def test_the_request_gets_an_exception() -> None:
    text, used = in_child(exceed, 0.2)
    assert text == "max_execution_time: 0.2 s of processor time are used up" and 0.15 < used < 1.0


def stopped() -> bool:
    time_ = ProcessorTime(False)
    signal.signal(signal.SIGPROF, time_.exceeded)
    time_.start(0.05, False)
    time_.stop()
    burn(0.2)
    return True


def test_no_exception_after_the_end() -> None:
    assert in_child(stopped)


@pytest.mark.parametrize(("fixed", "number"), [(False, signal.SIGXCPU), (True, signal.SIGKILL)])
def test_who_goes_on_all_the_same_is_ended(fixed: bool, number: int) -> None:
    pid = os.fork()
    if pid == 0:
        time_ = ProcessorTime(False)
        time_.start(0.01, fixed)
        time_.stop()
        if fixed:
            signal.signal(signal.SIGXCPU, signal.SIG_IGN)
        burn(30.0)
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == number


def halves(hard: int) -> tuple[bool, bool]:
    resource.setrlimit(resource.RLIMIT_CPU, (hard, hard))
    before = half_used()
    burn(0.6)
    return before, half_used()


def test_a_pool_knows_when_half_is_used() -> None:
    assert in_child(halves, 1) == (False, True)
    assert in_child(halves, 1000) == (False, False)


def unlike(usual: float | None, *requests: tuple[float, bool]) -> list[tuple[int, bool]]:
    time_ = ProcessorTime(True, usual)
    signal.signal(signal.SIGPROF, time_.exceeded)
    found = []
    for seconds, fixed in requests:
        time_.start(seconds, fixed)
        found.append((resource.getrlimit(resource.RLIMIT_CPU)[1], time_.worn()))
    time_.stop()
    return found


@pytest.mark.parametrize(
    ("usual", "requests", "found"),
    [
        (None, [(20.0, True), (1.0, True)], [(23, True), (4, True)]),  # a stricter one is the kernel's too
        (20.0, [(20.0, True), (1.0, True)], [(24, False), (4, True)]),
        (None, [(30.0, False), (1.0, True)], [(INFINITY, False), (4, True)]),
        (20.0, [(20.0, True), (20.0, True)], [(24, False), (24, False)]),
    ],
)
def test_a_limit_of_its_own_is_that_process_last(
    usual: float | None, requests: list[tuple[float, bool]], found: list[tuple[int, bool]]
) -> None:
    assert in_child(unlike, usual, *requests) == found
