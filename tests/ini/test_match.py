"""Which directories and locations a request is in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itkwsgi.ini.match import canonical, chain, covering, mapped, prefixes, top_of
from itkwsgi.ini.tighter import is_within

segments = st.sampled_from(["", ".", "..", "a", "b", "ab", "...", ".a", "a b", "ü", "\udcff"])
url_paths = st.lists(segments, max_size=7).map(lambda parts: "/" + "/".join(parts))


@pytest.mark.parametrize(
    ("path", "plain"),
    [
        ("/", "/"),
        ("", "/"),
        ("//", "/"),
        ("/a/b", "/a/b"),
        ("/a//b/", "/a/b"),
        ("/./a/.", "/a"),
        ("/a/../b", "/a/b"),
        ("/../../etc", "/etc"),
        ("/.../..a/.b", "/.../..a/.b"),
        ("*", "/*"),
    ],
)
def test_a_path_as_everything_is_matched_by(path: str, plain: str) -> None:
    assert canonical(path) == plain


@given(url_paths)
def test_it_climbs_nowhere_and_stays_as_it_is(path: str) -> None:
    plain = canonical(path)
    assert canonical(plain) == plain
    assert plain == "/" or not {"", ".", ".."}.intersection(plain[1:].split("/"))


@given(url_paths, st.sampled_from(["/", "/srv/public"]))
def test_a_file_lies_below_public_whatever_the_url(path: str, public: str) -> None:
    file = mapped(canonical(path), public)
    assert is_within(file, public) and ".." not in file.split("/")
    assert chain(file, public)[-1] == file


def test_files_of_urls() -> None:
    assert mapped("/", "/srv/public") == "/srv/public"
    assert mapped("/a/b", "/srv/public") == "/srv/public/a/b"
    assert mapped("/a", "/") == "/a"


@pytest.mark.parametrize(
    ("file", "tops", "top"),
    [
        ("/srv/a/x.py", ("/srv/a",), "/srv/a"),
        ("/srv/a/public/x", ("/srv/a", "/srv/a/public"), "/srv/a"),
        ("/srv/a/public/x", ("/srv/a/public", "/srv/a"), "/srv/a"),
        ("/srv/public/x", ("/srv/a", "/srv/public"), "/srv/public"),
        ("/srv/ab/x", ("/srv/a",), ""),
        ("/srv/a", ("/srv/a",), "/srv/a"),
        ("/x", ("/",), "/"),
        ("/x", ("",), ""),
    ],
)
def test_the_outermost_directory_that_holds_a_file(file: str, tops: tuple[str, ...], top: str) -> None:
    assert top_of(file, tops) == top


@pytest.mark.parametrize(
    ("file", "top", "directories"),
    [
        ("/srv/a/b/x.py", "/srv", ("/srv", "/srv/a", "/srv/a/b", "/srv/a/b/x.py")),
        ("/srv", "/srv", ("/srv",)),
        ("/x", "/", ("/", "/x")),
        ("/srv/x", "", ()),
        ("/srvx/y", "/srv", ()),
    ],
)
def test_the_directories_down_to_a_file(file: str, top: str, directories: tuple[str, ...]) -> None:
    assert chain(file, top) == directories


def test_directories_cover_what_is_in_them() -> None:
    tables = [("/", 1), ("/srv/a", 2), ("/srv/a/b", 3)]
    assert covering("/srv/a/b/c", tables) == (0, 1, 2)
    assert covering("/srv/a/b", tables) == (0, 1, 2)
    assert covering("/srv/a/bc", tables) == (0, 1)
    assert covering("/srv/ab", tables) == (0,)


def test_locations_are_whole_segments() -> None:
    tables = [("", 1), ("/a", 2), ("/a/b", 3)]
    assert prefixes("/", tables) == (0,)
    assert prefixes("/a", tables) == (0, 1)
    assert prefixes("/a/bc", tables) == (0, 1)
    assert prefixes("/a/b/c", tables) == (0, 1, 2)
    assert prefixes("/ab", tables) == (0,)
