"""What the administrator says for a URL: as the site's own process finds it, by prefixes alone."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itkwsgi.config.coverage import Coverage, coverage_of
from itkwsgi.config.model import Area, Said
from itkwsgi.ini import match
from itkwsgi.ini.merge import merge
from itkwsgi.ini.tighter import is_within
from tests.support.configured import make_vhost

SEGMENTS = st.lists(st.sampled_from(["a", "b", "ab"]), max_size=3).map("/".join)
TABLES = st.dictionaries(
    st.sampled_from(["umask", "timezone"]), st.builds(Said, st.integers(0, 3), st.booleans(), st.just("")), max_size=2
)


def areas(*found: tuple[str, dict[str, Said]]) -> tuple[Area, ...]:
    return tuple(Area(path, settings, "") for path, settings in sorted(found, key=lambda each: (len(each[0]), each[0])))


@st.composite
def coverages(draw: Any) -> Coverage:
    """Sites below /s, with directories everywhere around."""
    public = draw(st.none() | SEGMENTS.map(lambda path: f"/s/{path}".rstrip("/")))
    directories = draw(st.dictionaries(SEGMENTS.map(lambda path: f"/s/{path}".rstrip("/")) | st.just("/"), TABLES))
    locations = draw(st.dictionaries(SEGMENTS.map(lambda path: f"/{path}".rstrip("/")), TABLES))
    file = "/s/a/app.py"
    return Coverage(public, file, draw(TABLES), areas(*directories.items()), areas(*locations.items()))


@given(coverages(), SEGMENTS)
def test_a_path_is_covered_as_in_the_sites_own_process(coverage: Coverage, path: str) -> None:
    url = match.canonical(f"/{path}")
    file = match.mapped(url, coverage.public) if coverage.public else coverage.file
    directories = [(area.path, area.settings) for area in coverage.directories]
    locations = [(area.path, area.settings) for area in coverage.locations]
    expected = merge(
        coverage.settings,
        [directories[index][1] for index in match.covering(file, directories)],
        (),
        [locations[index][1] for index in match.prefixes(url, locations)],
    )
    assert coverage.said_at(url.rstrip("/")) == expected.settings


@given(coverages(), SEGMENTS)
def test_nothing_changes_but_at_an_edge(coverage: Coverage, path: str) -> None:
    """So a table of edges tells all there is to know."""
    url = f"/{path}".rstrip("/")
    edge = max((prefix for prefix in coverage.edges() if is_within(url, prefix)), key=len, default="")
    assert coverage.said_at(url) == coverage.said_at(edge)


@given(coverages())
def test_outer_edges_come_before_inner_ones(coverage: Coverage) -> None:
    edges = coverage.edges()
    assert "" not in edges and len(set(edges)) == len(edges)
    assert not any(is_within(first, later) for at, first in enumerate(edges) for later in edges[at + 1 :])


@given(SEGMENTS, SEGMENTS)
def test_within_goes_by_whole_names(one: str, other: str) -> None:
    """PHP once took /srv/a for /srv/ab too."""
    assert is_within(f"/{one}", f"/{other}") == PurePosixPath(f"/{one}").is_relative_to(f"/{other}")


@pytest.mark.parametrize(
    ("public", "directory", "prefix"),
    [
        ("/s/public", "/s/public", ""),
        ("/s/public", "/s", ""),
        ("/s/public", "/", ""),
        ("/s/public", "/s/public/a", "/a"),
        ("/s/public", "/s/public/a/b", "/a/b"),
        ("/s/public", "/s/publi", None),
        ("/s/public", "/s/public2", None),
        ("/s/public", "/s/app", None),
        ("/", "/s", "/s"),
        (None, "/s/app", ""),
        (None, "/s/app/main.py", ""),
        (None, "/s/app/templates", None),
        (None, "/s/public", None),
    ],
)
def test_the_urls_of_a_directory(public: str | None, directory: str, prefix: str | None) -> None:
    assert Coverage(public, "/s/app/main.py", {}, (), ()).prefix_of(directory) == prefix


def test_that_of_a_site() -> None:
    area = Area("/a", {"umask": Said(1, True, "")}, "")
    vhost = make_vhost(public="/p", locations=(area,), settings={"umask": Said(2, False, "")})
    assert coverage_of(vhost).said_at("/a/b")["umask"].value == 1
    assert coverage_of(vhost).said_at("/ab")["umask"].value == 2
