"""The router against a plain search through all sites, and against the matching in the sites' own processes."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itkwsgi.front.refusal import Refusal
from itkwsgi.front.router import Router, normal, place_of
from itkwsgi.front.settings import UNLIMITED, Limit, Limits, Site, as_bytes
from itkwsgi.ini import match


def site(index, name, *aliases, default=False, listeners=(0,)):
    return Site(index, name, aliases, default, tuple(listeners))


ROUTER = Router(
    [
        site(0, "a.example", "www.a.example", "*.a.example"),
        site(1, "deep.b.a.example", "*.b.a.example", "[::1]"),
        site(2, "C.Example", listeners=[0, 1]),
        site(3, "default.example", default=True, listeners=[1]),
        site(4, "*.users.example"),
    ],
    3,
)


@pytest.mark.parametrize(
    ("host", "index"),
    [
        ("a.example", 0),
        ("A.EXAMPLE", 0),
        ("a.example.", 0),
        ("www.a.example", 0),
        ("x.a.example", 0),
        ("x.y.a.example", 0),
        ("b.a.example", 0),
        ("x.b.a.example", 1),
        ("deep.b.a.example", 1),
        ("[::1]", 1),
        ("c.example", 2),
        ("jess.users.example", 4),
    ],
)
def test_the_site_of_a_host(host, index):
    assert ROUTER.find(0, host).index == index


@pytest.mark.parametrize("host", ["example", "xa.example", "users.example", "127.0.0.1", "default.example", ".", "*"])
def test_a_host_of_nobody_is_421(host):
    with pytest.raises(Refusal) as refusal:
        ROUTER.find(0, host)
    assert refusal.value.status == 421


def test_no_host_is_400_without_a_default():
    with pytest.raises(Refusal) as refusal:
        ROUTER.find(0, "")
    assert refusal.value.status == 400


@pytest.mark.parametrize("host", ["", "nobody.example", "a.example"])
def test_the_default_of_its_listener(host):
    assert ROUTER.find(1, host).index == 3
    with pytest.raises(Refusal):
        ROUTER.find(2, host)


def test_the_first_of_two_has_the_name():
    router = Router([site(0, "a.example", default=True), site(1, "a.example", default=True)], 1)
    assert router.find(0, "a.example").index == 0
    assert router.find(0, "x").index == 0


LABELS = st.sampled_from(["a", "b", "ab"])
HOSTS = st.lists(LABELS, min_size=1, max_size=4).map(".".join)
NAMES = st.one_of(HOSTS, HOSTS.map(lambda host: f"*.{host}"))


def searched(sites, listener, host):
    """What the rules say, the slow way."""
    here = [one for one in sites if listener in one.listeners]
    for one in here:
        if host in (one.name, *one.aliases):
            return one
    patterns = [(name, one) for one in here for name in (one.name, *one.aliases) if name.startswith("*.")]
    matching = [(name, one) for name, one in patterns if host.endswith(name[1:])]
    if matching:
        longest = max(len(name) for name, _ in matching)
        return next(one for name, one in matching if len(name) == longest)
    return next((one for one in here if one.default), None)


@given(
    st.lists(st.tuples(NAMES, st.lists(NAMES, max_size=3), st.booleans(), st.sets(st.integers(0, 1))), max_size=6),
    st.integers(0, 1),
    HOSTS,
)
def test_finds_what_a_search_finds(rows, listener, host):
    sites = [
        site(index, name, *aliases, default=default, listeners=sorted(listeners))
        for index, (name, aliases, default, listeners) in enumerate(rows)
    ]
    expected = searched(sites, listener, host)
    router = Router(sites, 2)
    if expected is None:
        with pytest.raises(Refusal):
            router.find(listener, host)
    else:
        assert router.find(listener, host) is expected


class CountingDict(dict):
    asked = 0

    def __contains__(self, key):
        CountingDict.asked += 1
        return super().__contains__(key)


def test_the_effort_does_not_grow_with_the_sites():
    router = Router([site(index, f"*.site{index}.example") for index in range(10_000)], 1)
    table = router._tables[0]
    table.wildcards = CountingDict(table.wildcards)
    assert router.find(0, "x.y.site9999.example").index == 9999
    assert CountingDict.asked <= 4


def test_listeners_with_the_same_sites_share_a_table():
    router = Router([site(0, "a.example", listeners=[0, 1]), site(1, "b.example", listeners=[0, 1, 2])], 3)
    assert router._tables[0] is router._tables[1]
    assert router._tables[2].exact.keys() == {"b.example"}


@given(st.text(st.characters(codec="latin-1")))
def test_normal_is_the_same_twice_but_for_one_dot(host):
    assert normal(normal(host + ".")) == normal(normal(host) + ".")


# --- Parts and limits

SEGMENTS = st.sampled_from(["a", "b", "ab", "ä", "\udcff", "", ".", "..", "..."])
PATHS = st.lists(SEGMENTS, max_size=6).map(lambda parts: "/" + "/".join(parts))
PREFIXES = PATHS.map(match.canonical).filter(lambda path: path != "/")


def by_ini(path, prefixes):
    """The index of the longest prefix by the rules of the site's own process; None for none."""
    found = match.prefixes(match.canonical(path), [(prefix, None) for prefix in prefixes])
    return max(found, key=lambda index: len(prefixes[index]), default=None)


@given(st.lists(PREFIXES, unique=True, max_size=6), PATHS)
def test_a_path_is_in_the_place_where_the_site_s_own_process_sees_it(prefixes, path):
    prefixes.sort(key=len, reverse=True)
    rows = [(as_bytes(prefix), index + 1) for index, prefix in enumerate(prefixes)]
    limits = [(as_bytes(prefix), Limits(Limit(index, True))) for index, prefix in enumerate(prefixes)]
    whole = dataclasses.replace(site(0, "a.example"), parts=tuple(rows), limits=(*limits, (b"", Limits())))
    parts = [dataclasses.replace(site(index, "a.example"), part_of=0) for _, index in rows]
    router = Router([whole, *parts], 1)
    expected = by_ini(path, prefixes)
    route = router.route(0, "a.example", as_bytes(path))
    assert route.site is whole
    assert route.pool is (whole if expected is None else parts[expected])
    assert route.limits.post_max_size.value == expected


@given(PATHS)
def test_the_place_of_a_path_is_its_canonical_form(path):
    canonical = match.canonical(path)
    assert place_of(as_bytes(path)) == as_bytes(canonical if canonical == "/" else f"{canonical}/")


def test_a_part_is_found_by_no_name_and_is_no_default():
    part = dataclasses.replace(site(1, "b.example", "*.c.example", default=True), part_of=0)
    router = Router([site(0, "a.example"), part], 1)
    for host in ("b.example", "x.c.example", "nobody.example"):
        with pytest.raises(Refusal):
            router.find(0, host)


def test_where_there_is_nothing_to_choose_no_path_is_looked_at():
    class Path(bytes):
        def split(self, *_):
            raise AssertionError("looked at")

    plain = site(0, "a.example")
    assert Router([plain], 1).route(0, "a.example", Path(b"/x")) == (plain, plain, UNLIMITED)
    divided = dataclasses.replace(plain, limits=((b"/x", Limits()), (b"", Limits())))
    with pytest.raises(AssertionError):
        Router([divided], 1).route(0, "a.example", Path(b"/x"))
