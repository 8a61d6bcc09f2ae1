"""Pools of their own: whoever serves a URL can come to what the administrator says for it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pretence import LISTEN, Pretence, site

from itkwsgi.config.coverage import Coverage
from itkwsgi.config.model import Area, Said
from itkwsgi.config.parts import held_by_site, split
from itkwsgi.ini.tighter import PROFILE, is_within, tightens

SEGMENTS = st.lists(st.sampled_from(["a", "b", "ab"]), max_size=3).map("/".join)
VALUES = {
    "memory_limit": st.none() | st.integers(1, 3),
    "max_execution_time": st.none() | st.sampled_from([1.0, 2.0]),
    "open_basedir": st.sampled_from([(), ("/s",), ("/s/a",), ("/s", "/usr")]),
    "disable": st.sampled_from([(), ("exec",), ("exec", "fork")]),
    "optimize": st.integers(0, 2),
    "umask": st.integers(0, 2),
}
TABLES = st.fixed_dictionaries(
    {}, optional={name: st.builds(Said, value, st.booleans(), st.just("")) for name, value in VALUES.items()}
)


@st.composite
def coverages(draw: Any) -> Coverage:
    """Sites below /s."""
    public = draw(st.sampled_from([None, "/s", "/s/a"]))
    directories = draw(st.dictionaries(SEGMENTS.map(lambda path: f"/s/{path}".rstrip("/")), TABLES, max_size=4))
    locations = draw(st.dictionaries(SEGMENTS.map(lambda path: f"/{path}".rstrip("/")), TABLES, max_size=4))
    found = [
        tuple(Area(path, said, "") for path, said in sorted(each.items(), key=lambda item: (len(item[0]), item[0])))
        for each in (directories, locations)
    ]
    return Coverage(public, "/s/a/app.py", draw(TABLES), found[0], found[1])


@given(coverages(), SEGMENTS)
def test_any_url_can_be_served_by_its_pool(coverage: Coverage, path: str) -> None:
    url = f"/{path}".rstrip("/")
    held = held_by_site(coverage)
    parts = split(coverage, held)
    prefix = max((part for part in parts if is_within(url, part)), key=len, default=None)
    pool = held if prefix is None else parts[prefix].holding
    said = coverage.said_at(url)
    for name in PROFILE:
        assert tightens(name, said.get(name), pool.get(name)), name


@given(coverages())
def test_no_pool_without_a_reason(coverage: Coverage) -> None:
    held = held_by_site(coverage)
    parts = split(coverage, held)
    for prefix, part in parts.items():
        outer = max((each for each in parts if each != prefix and is_within(prefix, each)), key=len, default=None)
        before = held if outer is None else parts[outer].holding
        assert part.because_of
        for name in part.because_of:
            assert not tightens(name, part.holding.get(name), before.get(name))
        assert part.holding == coverage.said_at(prefix)


# --- from a configuration

PUBLIC = 'public = "site/public"\n'


def loaded(pretence: Pretence, text: str) -> dict[str, dict[str, Any]]:
    """What each part holds."""
    config = pretence.load(LISTEN + site() + text)
    parts = {vhost.prefix: vhost for vhost in config.vhosts if vhost.part_of is not None}
    return {prefix: {name: said.value for name, said in vhost.holding.items()} for prefix, vhost in parts.items()}


def location(path: str, **tables: str) -> str:
    return f'[[vhost.location]]\npath = "{path}"\n' + "".join(f"{key} = {value}\n" for key, value in tables.items())


def directory(path: str, **tables: str) -> str:
    return f'[[vhost.directory]]\npath = "{path}"\n' + "".join(f"{key} = {value}\n" for key, value in tables.items())


SITE_LIMITS = '[vhost.admin_value]\nmemory_limit = "64M"\ndisable = ["exec"]\nopen_basedir = "site"\n'


@pytest.mark.parametrize(
    "text",
    [
        location("/a", admin_value='{ memory_limit = "32M" }'),
        location("/a", admin_value='{ disable = ["exec", "network"] }'),
        location("/a", admin_value='{ open_basedir = "site/a" }'),
        location("/a", admin_value='{ timezone = "UTC", engine = false, post_max_size = "1G" }'),
        location("/a", value='{ memory_limit = "1G", disable = [], open_basedir = "none" }'),  # fixed: no effect
    ],
)
def test_what_is_stricter_needs_no_pool(pretence: Pretence, text: str) -> None:
    (pretence.directory / "site/a").mkdir()
    assert loaded(pretence, SITE_LIMITS + text) == {}


@pytest.mark.parametrize(
    ("said", "name", "value"),
    [
        ('{ memory_limit = "128M" }', "memory_limit", 2**27),
        ('{ memory_limit = "none" }', "memory_limit", None),
        ('{ disable = ["network"] }', "disable", ("network",)),
        ('{ open_basedir = "none" }', "open_basedir", ()),
        ("{ optimize = 1 }", "optimize", 1),
    ],
)
def test_what_is_looser_does(pretence: Pretence, said: str, name: str, value: object) -> None:
    parts = loaded(pretence, SITE_LIMITS + location("/a/b/", admin_value=said))
    assert list(parts) == ["/a/b"] and parts["/a/b"][name] == value
    assert set(parts["/a/b"]) == {"memory_limit", "disable", "open_basedir", name}


def test_directories_are_prefixes_below_public(pretence: Pretence) -> None:
    text = PUBLIC + SITE_LIMITS + directory("site/public/reports", admin_value='{ memory_limit = "1G" }')
    assert list(loaded(pretence, text)) == ["/reports"]
    assert loaded(pretence, text.replace("public/reports", "elsewhere")) == {}


def test_what_covers_all_requests_holds_in_the_sites_own_pool(pretence: Pretence) -> None:
    text = directory("site", admin_value='{ memory_limit = "1G", umask = "0027" }') + location(
        "/", admin_value='{ disable = [], umask = "0077" }'
    )
    for public in ("", PUBLIC):
        (vhost,) = pretence.load(LISTEN + site() + public + SITE_LIMITS + text).vhosts
        assert (vhost.setting("memory_limit"), vhost.setting("disable")) == (2**30, ())
        assert vhost.setting("umask") == 0o027, 'what a location "/" adds comes with the request, but for the profile'
        assert vhost.settings["memory_limit"].value == 2**26


def test_parts_come_after_all_sites_and_are_like_theirs(pretence: Pretence) -> None:
    loose = location("/a", admin_value='{ memory_limit = "none" }') + location("/b", value="{ optimize = 2 }")
    first = site(default="true") + SITE_LIMITS + loose
    second = site(name='"b.example"', user="50002") + SITE_LIMITS + loose
    config = pretence.load(LISTEN + first + second)
    assert [(vhost.index, vhost.name, vhost.part_of, vhost.prefix) for vhost in config.vhosts] == [
        (0, "a.example", None, ""),
        (1, "b.example", None, ""),
        (2, "a.example", 0, "/a"),
        (3, "a.example", 0, "/b"),
        (4, "b.example", 1, "/a"),
        (5, "b.example", 1, "/b"),
    ]
    assert config.vhosts[4].ids == config.vhosts[1].ids
    assert [vhost.default for vhost in config.vhosts] == [True, False, False, False, False, False]
    assert config.sites == config.vhosts[:2]


def test_a_pool_of_its_own_is_said_with_the_reason(pretence: Pretence) -> None:
    config = pretence.load(
        LISTEN + site() + SITE_LIMITS + location("/a", admin_value='{ memory_limit = "none", disable = [] }')
    )
    assert [pretence.shorten(str(note)) for note in config.notes] == [
        "itk.toml:13: vhost.location.path: /a has a pool of its own, for memory_limit and disable"
    ]


def test_another_web_server_cannot_choose_between_pools(pretence: Pretence) -> None:
    text = LISTEN + site(pool_socket='{ path = "x.sock" }') + SITE_LIMITS
    assert (
        pretence.load(text + location("/a", admin_value='{ memory_limit = "1M" }'.replace("1M", "5M"))).problems == ()
    )
    assert pretence.refusal(text + location("/a", admin_value='{ memory_limit = "1G" }')) == [
        "itk.toml:8: vhost.pool_socket: /a needs a pool of its own, which pool_socket cannot choose"
    ]


def test_a_part_must_be_able_to_start(pretence: Pretence) -> None:
    (pretence.directory / "other").mkdir()
    config = pretence.load(LISTEN + site() + SITE_LIMITS + location("/a", admin_value='{ open_basedir = "other" }'))
    assert [pretence.shorten(str(problem)) for problem in config.problems] == [
        "itk.toml:6: vhost.root: site is outside open_basedir at itk.toml:14: the site could not start"
    ]
    assert len(config.vhosts) == 2 and all(vhost.problems for vhost in config.vhosts)
