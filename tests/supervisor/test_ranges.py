"""Which ids there are for zygotes and sites."""

from hypothesis import given
from hypothesis import strategies as st

from itkwsgi.config.model import Ids
from itkwsgi.supervisor import ranges
from tests.support.configured import make_server

ROLES = {"front_ids": Ids(65530, 65530), "zygote_ids": Ids(65531, 65531), "log_ids": Ids(65532, 65532)}
NUMBERS = st.integers(0, 40)
SOME_RANGES = st.lists(st.tuples(NUMBERS, NUMBERS).map(lambda pair: (min(pair), max(pair))), max_size=4)


def server(**more):
    return make_server("/base", **{"uid_range": (1000, 2000), "gid_range": (1000, 3000), **ROLES, **more})


def test_a_site_may_be_in_the_ranges_or_the_servers_own_user():
    uids, gids = ranges.of_sites(server(user_id=Ids(33, 34)))
    assert uids == [(1000, 2000), (33, 33)]
    assert gids == [(1000, 3000), (34, 34)]


def test_without_a_user_of_the_servers_there_are_the_ranges_alone():
    assert ranges.of_sites(server(user_id=None)) == ([(1000, 2000)], [(1000, 3000)])


def test_the_servers_own_roles_are_cut_out_of_a_range_that_holds_them():
    uids, _ = ranges.of_sites(server(user_id=None, uid_range=(1000, 70000)))
    assert uids == [(1000, 65529), (65533, 70000)]


def test_a_zygote_may_be_itself_too():
    uids, gids = ranges.of_zygotes(server(user_id=None))
    assert (65531, 65531) in uids
    assert (65531, 65531) in gids


def test_root_is_in_no_range():
    assert ranges.without([(0, 5)], ()) == [(1, 5)]
    assert ranges.without([(0, 0)], ()) == []


@given(SOME_RANGES, st.lists(NUMBERS, max_size=5))
def test_without_takes_out_exactly_those(some, ids):
    left = {number for low, high in ranges.without(some, ids) for number in range(low, high + 1)}
    before = {number for low, high in some for number in range(low, high + 1)}
    assert left == before - {0, *ids}
    assert all(low <= high for low, high in ranges.without(some, ids))
