"""How slow a client may be."""

import pytest

from itkwsgi.front.deadlines import SEND_SECONDS, BodyPace, Taking


def test_a_body_without_a_rate_only_has_to_go_on():
    pace = BodyPace(100.0, 20.0, 0)
    assert pace.deadline(100.0, 0) == 120.0
    assert pace.deadline(119.0, 1) == 139.0


@pytest.mark.parametrize(("size", "deadline"), [(0, 120.0), (1000, 122.0), (20_000, 139.0)])
def test_a_rate_bounds_the_whole(size, deadline):
    pace = BodyPace(100.0, 20.0, 500)
    assert pace.deadline(119.0, size) == deadline


def test_a_dripping_body_is_overdue_in_the_end():
    pace = BodyPace(0.0, 20.0, 500)
    now = 0.0
    while now < 1000 and pace.deadline(now, 1) > now:
        now += 1.0
    assert now == 21.0


def test_a_client_that_takes_something_is_not_stuck():
    taking = Taking(0.0)
    taking.written = 1_000_000
    assert not taking.is_stuck(10.0, 900_000)
    assert not taking.is_stuck(10.0 + SEND_SECONDS - 1, 900_000)
    assert taking.is_stuck(10.0 + SEND_SECONDS, 900_000)
    assert not taking.is_stuck(11.0 + SEND_SECONDS, 899_999)


@pytest.mark.parametrize("rate", [0, 500])
def test_all_of_a_body_has_its_time_however_fast_it_comes(rate):
    pace = BodyPace(100.0, 20.0, rate, 30.0)
    assert pace.deadline(105.0, 1_000_000) == 125.0
    assert pace.deadline(125.0, 1_000_000) == 130.0
    assert not pace.is_over(129.9)
    assert pace.is_over(130.0)


@pytest.mark.parametrize("most", [None, 0])
def test_a_body_without_such_a_time_has_any(most):
    pace = BodyPace(100.0, 20.0, 0, most)
    assert pace.deadline(10_000.0, 1) == 10_020.0
    assert not pace.is_over(1e12)
