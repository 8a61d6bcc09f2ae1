"""Namespaces of a role: what is pure here; with real ones in tests/root/test_namespaces.py."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from itkwsgi.linux import namespaces

RANGES = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)).map(lambda two: (min(two), max(two))), max_size=6)


def ids_of(ranges):
    return {number for low, high in ranges for number in range(low, high + 1)}


@given(RANGES)
def test_merged_ranges_are_the_same_ids_in_order_and_apart(ranges):
    lines = namespaces.merged(ranges)
    assert ids_of(lines) == ids_of(ranges)
    assert all(before[1] + 1 < after[0] for before, after in pairwise(lines))


def test_this_process_has_the_ids_of_the_whole_machine_or_says_which():
    assert namespaces.read_map("uid_map")


def test_the_stand_in_of_the_kernel():
    assert namespaces.overflow_uid() > 0
