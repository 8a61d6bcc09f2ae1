"""When a process can come to be one with other settings."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itkwsgi.ini.merge import Said
from itkwsgi.ini.tighter import HARD_LIMITS, ONLY_NARROWED, PROFILE, is_within, tightens

paths = st.lists(st.sampled_from(["a", "b", "ab"]), max_size=3).map(lambda parts: "/" + "/".join(parts))


def values_of(name: str) -> st.SearchStrategy[Any]:
    if name in HARD_LIMITS:
        return st.none() | st.integers(1, 5)
    if name == "open_basedir":
        return st.lists(paths, max_size=3, unique=True).map(tuple)
    if name == "disable":
        return st.lists(st.sampled_from(["exec", "fork", "network"]), unique=True).map(tuple)
    return st.integers(0, 2)


@st.composite
def named(draw: st.DrawFn, count: int) -> tuple[Any, ...]:
    """A setting of the profile, and that many things said of it."""
    name = draw(st.sampled_from(PROFILE))
    said = st.none() | st.builds(Said, values_of(name), st.booleans(), st.just("f:1"))
    return (name, *(draw(said) for _ in range(count)))


@given(named(1))
def test_a_process_can_stay_as_it_is(case: tuple[Any, ...]) -> None:
    name, said = case
    assert tightens(name, said, said)


@given(named(3))
def test_what_can_be_reached_in_two_steps_can_be_in_one(case: tuple[Any, ...]) -> None:
    name, first, second, third = case
    if tightens(name, second, first) and tightens(name, third, second):
        assert tightens(name, third, first)


def said(value: Any, fixed: bool = True) -> Said:
    return Said(value, fixed, "f:1")


@pytest.mark.parametrize(
    ("name", "new", "old", "possible"),
    [
        ("memory_limit", said(5), None, True),
        ("memory_limit", None, said(5), False),
        ("memory_limit", said(6), said(5), False),
        ("memory_limit", said(4), said(5), True),
        ("memory_limit", said(9, fixed=False), None, True),
        ("memory_limit", said(4, fixed=False), said(5), False),  # a soft limit alone leaves the hard one
        ("memory_limit", said(None), said(5), False),
        ("memory_limit", said(5), said(None), True),
        ("max_execution_time", said(0.5), said(1.0), True),
        ("open_basedir", said(("/a",)), None, True),
        ("open_basedir", None, said(("/a",)), False),
        ("open_basedir", said(()), said(("/a",)), False),
        ("open_basedir", said(("/a",)), said(()), True),
        ("open_basedir", said(("/a/b", "/c")), said(("/a", "/c")), True),
        ("open_basedir", said(("/a/b", "/d")), said(("/a", "/c")), False),
        ("open_basedir", said(("/ab",)), said(("/a",)), False),
        ("open_basedir", said(("/a",)), said(("/",)), True),
        ("disable", said(("exec", "fork")), said(("fork",)), True),
        ("disable", said(("exec",)), said(("fork",)), False),
        ("disable", None, said(()), True),
        ("optimize", said(1), None, False),
        ("optimize", said(0), None, True),
        ("optimize", said(1), said(2), False),
    ],
)
def test_one_way_only(name: str, new: Said | None, old: Said | None, possible: bool) -> None:
    assert tightens(name, new, old) == possible


def test_names() -> None:
    assert set(ONLY_NARROWED) <= set(PROFILE) and set(HARD_LIMITS) <= set(PROFILE)


@given(paths, paths)
def test_within_is_by_whole_segments(path: str, directory: str) -> None:
    parts, above = path.strip("/").split("/"), directory.strip("/").split("/")
    assert is_within(path, directory) == (directory == "/" or parts[: len(above)] == above)
