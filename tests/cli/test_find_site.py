"""Which site answers a URL: as the front would have it, whose own code is the oracle here."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itkwsgi.cli.find_site import Asked, NoSite, candidates, find_site, parse_url, part_of, path_of
from itkwsgi.config.model import Listen
from itkwsgi.errors import ClientError
from itkwsgi.front.http1.target import resolve_path
from itkwsgi.front.refusal import Refusal
from itkwsgi.front.router import Router
from itkwsgi.front.settings import Site
from itkwsgi.ini.match import canonical
from tests.support.configured import LISTEN, make_vhost

V6 = Listen("tcp", "::1", 8080, "", "[::1]:8080")
PORT_80 = Listen("tcp", "10.0.0.1", 80, "", "10.0.0.1:80")
UNIX = Listen("unix", "", 0, "/run/x", "unix:/run/x")


def make_config(*vhosts: Any, listens: tuple[Listen, ...] = (LISTEN,)) -> Any:
    sites = tuple(vhost for vhost in vhosts if vhost.part_of is None)
    return SimpleNamespace(vhosts=vhosts, sites=sites, listens=listens)


# --- the URL


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("a.example", Asked("http", "a.example", None, "/")),
        ("a.example/x", Asked("http", "a.example", None, "/x")),
        ("a.example:8080/x?y#z", Asked("http", "a.example", 8080, "/x")),
        ("a.example?u=http://b.example/", Asked("http", "a.example", None, "/")),
        ("http://A.Example./", Asked("http", "a.example", None, "/")),
        ("HTTPS://a.example", Asked("https", "a.example", None, "/")),
        ("http://bücher.example/ü", Asked("http", "xn--bcher-kva.example", None, "/ü")),
        ("http://a.example/%C3%BC%2Fx", Asked("http", "a.example", None, "/ü/x")),
        ("http://a.example/%ff", Asked("http", "a.example", None, "/\udcff")),
        ("http://[::1]:8080/", Asked("http", "[::1]", 8080, "/")),
        ("http://127.0.0.1/", Asked("http", "127.0.0.1", None, "/")),
        ("localhost:8080", Asked("http", "localhost", 8080, "/")),
    ],
)
def test_urls(url: str, asked: Asked) -> None:
    assert parse_url(url) == asked


@pytest.mark.parametrize(
    "url",
    [
        "", "/", "http://", "http:///x", "ftp://a.example/", "a b.example", "*.a.example", "a.example:x", "a.example:0",
        "a.example:65536", "me@a.example", "http://me:secret@a.example/", "a..example", "[::1", "http://a.example:/",
    ],
)  # fmt: skip
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(NoSite, match="is no URL"):
        parse_url(url)


@pytest.mark.parametrize("path", ["/..", "/a/../..", "/%2e%2e/", "/%zz", "/%", "/a%00b"])
def test_paths_that_no_site_sees(path: str) -> None:
    with pytest.raises(NoSite, match="400 Bad Request"):
        parse_url(f"a.example{path}")


@given(st.lists(st.sampled_from(["a", "b", ".", "..", "", "%2e", "%2E.", "%2f", "%41", "%25", "%", "%00"]), max_size=8))
def test_a_path_is_what_the_front_makes_of_it(segments: list[str]) -> None:
    raw = "/" + "/".join(segments)
    try:
        theirs = resolve_path(raw)
    except ClientError:
        with pytest.raises(NoSite):
            path_of(raw)
        return
    assert path_of(raw).encode() == theirs


@given(st.text())
def test_any_text_is_a_url_or_none(text: str) -> None:
    try:
        path = parse_url(text).path
    except NoSite as error:
        path = f"/{error}"
    assert path.startswith("/")


# --- who answers

HOSTS = ["a.example", "b.example", "x.a.example", "y.x.a.example", "example", "[::1]"]
NAMES = st.sampled_from([*HOSTS[:5], "*.a.example", "*.example", "*.x.a.example"])


@st.composite
def tables(draw: st.DrawFn) -> list[Any]:
    """Sites with names that overlap, on one listener or both."""
    return [
        make_vhost(
            index,
            name=draw(NAMES),
            aliases=tuple(draw(st.lists(NAMES, max_size=2))),
            default=draw(st.booleans()),
            listens=draw(st.sampled_from([(LISTEN,), (V6,), (LISTEN, V6)])),
        )
        for index in range(draw(st.integers(1, 4)))
    ]


@given(tables(), st.sampled_from(HOSTS), st.sampled_from([LISTEN, V6]))
def test_who_answers_on_a_listener_is_whom_the_front_finds(vhosts: list[Any], host: str, listen: Listen) -> None:
    numbers = {LISTEN: 0, V6: 1}
    rows = [Site(v.index, v.name, v.aliases, v.default, tuple(numbers[each] for each in v.listens)) for v in vhosts]
    config = make_config(*vhosts, listens=(listen,))
    try:
        theirs = Router(rows, 2).find(numbers[listen], host).index
    except Refusal:
        with pytest.raises(NoSite, match="421"):
            find_site(config, Asked("http", host, 8080, "/"))
        return
    assert find_site(config, Asked("http", host, 8080, "/")).site.index == theirs


@pytest.mark.parametrize(
    ("scheme", "host", "port", "found"),
    [
        ("http", "a.example", 8080, [LISTEN, V6]),
        ("http", "[::1]", 8080, [V6, LISTEN]),
        ("http", "a.example", None, [PORT_80, LISTEN, V6, UNIX]),
        ("https", "[::1]", None, [V6, LISTEN, PORT_80, UNIX]),
        ("http", "a.example", 443, [UNIX]),
    ],
)
def test_listeners_that_a_url_may_mean(scheme: str, host: str, port: int | None, found: list[Listen]) -> None:
    assert candidates((LISTEN, V6, PORT_80, UNIX), Asked(scheme, host, port, "/")) == found


def test_a_port_that_nothing_listens_on() -> None:
    with pytest.raises(NoSite, match=r"nothing listens on port 81 .*127\.0\.0\.1:8080"):
        find_site(make_config(make_vhost()), parse_url("site0.example:81"))


def test_a_name_counts_more_than_a_default_elsewhere() -> None:
    first, second = make_vhost(0, default=True, listens=(LISTEN,)), make_vhost(1, listens=(V6,))
    config = make_config(first, second, listens=(LISTEN, V6))
    answer = find_site(config, parse_url("site1.example"))
    assert (answer.site.index, answer.listen, answer.by) == (1, V6, "by its name")
    answer = find_site(config, parse_url("other.example"))
    assert (answer.site.index, answer.listen, answer.by) == (0, LISTEN, "as the default")


def test_a_site_by_one_of_its_patterns() -> None:
    config = make_config(make_vhost(aliases=("*.a.example",)))
    assert find_site(config, parse_url("x.y.a.example")).by == "by a pattern"
    with pytest.raises(NoSite, match="421 Misdirected Request"):
        find_site(config, parse_url("a.example"))


# --- which pool


@given(
    st.lists(st.sampled_from(["/a", "/a/b", "/b", "/a/b/c", "/ab"]), unique=True),
    st.lists(st.sampled_from(["a", "b", "c", "ab", ""]), max_size=4),
)
def test_the_pool_is_the_one_the_front_wakes(prefixes: list[str], segments: list[str]) -> None:
    site = make_vhost(0)
    parts = [make_vhost(index, part_of=0, prefix=prefix) for index, prefix in enumerate(prefixes, 1)]
    longest_first = sorted(parts, key=lambda part: -len(part.prefix))
    rows = [
        Site(0, "a", (), False, (0,), parts=tuple((part.prefix.encode(), part.index) for part in longest_first)),
        *(Site(part.index, "a", (), False, (0,), part_of=0) for part in parts),
    ]
    path = "/" + "/".join(segments)
    theirs = Router(rows, 1).part(rows[0], path.encode()).index
    ours = part_of(make_config(site, *parts), site, canonical(path))
    assert (0 if ours is None else ours.index) == theirs
