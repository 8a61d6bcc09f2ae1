"""How many children wait ahead."""

from hypothesis import given
from hypothesis import strategies as st

from itkwsgi.runtime.spares import MOST_SPARES, SparePolicy


def test_starts_with_min_spare():
    assert SparePolicy(2, 100).missing(0, 0, 0.0) == 2


def test_min_spare_zero_still_keeps_one_to_accept():
    assert SparePolicy(0, 100).missing(0, 0, 0.0) == 1


def test_doubles_while_demand_outruns_the_spares():
    policy = SparePolicy(1, 100)
    assert [policy.missing(0, busy, 0.1 * busy) for busy in (1, 2, 3, 4)] == [2, 4, 8, 8]


def test_a_start_without_any_child_is_no_demand():
    policy = SparePolicy(1, 100)
    assert policy.missing(0, 0, 0.0) == 1
    assert policy.target == 1


def test_falls_back_by_one_each_quiet_second():
    policy = SparePolicy(1, 100)
    for busy in (1, 2, 3):
        policy.missing(0, busy, 0.0)
    targets = []
    for second in range(1, 10):
        policy.missing(8, 0, float(second))
        targets.append(policy.target)
    assert targets == [7, 6, 5, 4, 3, 2, 1, 1, 1]


def test_never_more_children_than_allowed():
    assert SparePolicy(4, 10).missing(0, 9, 0.0) == 1
    assert SparePolicy(4, 10).missing(0, 10, 0.0) == 0


def test_surplus_is_what_exceeds_the_target():
    policy = SparePolicy(2, 10)
    assert policy.surplus(3)
    assert not policy.surplus(2)


@given(
    st.integers(0, 20),
    st.integers(1, 50),
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60), st.floats(0, 5)), max_size=50),
)
def test_stays_within_its_bounds(min_spare, most, events):
    policy = SparePolicy(min_spare, most)
    now = 0.0
    for idle, busy, pause in events:
        now += pause
        missing = policy.missing(idle, busy, now)
        assert missing == 0 or idle + busy + missing <= most
        assert policy.min_spare <= policy.target <= max(policy.min_spare, MOST_SPARES)
