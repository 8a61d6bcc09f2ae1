"""Kinds of values: lists, words, bounds, and what their schemas say."""

from __future__ import annotations

import pytest

from itkwsgi.ini.kinds import (
    PATH,
    SIZE,
    TEXT,
    TIME,
    UMASK,
    choice,
    integer,
    limit,
    list_of,
    one_or_list_of,
    size,
    some,
)
from itkwsgi.ini.values import Wrong
from tests.support.toml_values import refusal


@pytest.mark.parametrize(("raw", "hint"), [("a", 'write ["a"]'), (1, ""), ({}, "")])
def test_what_is_no_list(raw: object, hint: str) -> None:
    with pytest.raises(Wrong) as caught:
        list_of(TEXT).parse(raw, "/")
    assert caught.value.faults[0].message.endswith("is not a list") and caught.value.faults[0].hint == hint


def test_a_list_keeps_what_is_right_of_it() -> None:
    with pytest.raises(Wrong) as caught:
        list_of(TEXT, unique=True).parse(["a", 1, "a", "b"], "/")
    assert caught.value.rest == ("a", "a", "b")
    assert [(fault.steps, fault.message) for fault in caught.value.faults] == [
        ((1,), "1 is not text"),
        ((2,), '"a" stands here twice'),
    ]


@pytest.mark.parametrize(("raw", "paths"), [("x", ("/etc/x",)), (["x"], ("/etc/x",)), (["/a", "b"], ("/a", "/etc/b"))])
def test_one_text_is_a_list_of_one(raw: object, paths: tuple[str, ...]) -> None:
    assert one_or_list_of(PATH).parse(raw, "/etc") == paths


def test_the_same_path_twice_however_it_is_written() -> None:
    parse = one_or_list_of(PATH).parse
    assert refusal(lambda raw: parse(raw, "/etc"), ["/srv/a", "/srv/b/../a"]) == '"/srv/b/../a" stands here twice'
    assert refusal(lambda raw: parse(raw, "/etc"), 5) == "5 is not a list"


def test_kinds_know_their_unit() -> None:
    assert (size(1, 9).unit, integer(1, 9, "files").unit, choice("a").unit) == ("bytes", "files", "")
    assert integer(2, 9, "files").schema == {"type": "integer", "minimum": 2, "maximum": 9}
    assert refusal(lambda raw: integer(2, 9, "files").parse(raw, "/"), 1) == "1 is too small: at least 2 files"


@pytest.mark.parametrize(("raw", "mask"), [("0027", 0o027), ("027", 0o027), (0o027, 0o027), ("0777", 0o777), (0, 0)])
def test_umasks(raw: object, mask: int) -> None:
    assert UMASK.parse(raw, "/") == mask


@pytest.mark.parametrize("raw", ["27", "0028", "u=rwx", 0o1000, -1, True, 2.0])
def test_no_umasks(raw: object) -> None:
    assert refusal(lambda raw: UMASK.parse(raw, "/"), raw).endswith('is not a umask (write "0027" or 0o027)')


def test_0_is_no_limit() -> None:
    assert [limit(TIME).parse(raw, "/") for raw in (0, "0s", 0.0, -0.0, "1ms")] == [None, None, None, None, 0.001]
    assert limit(SIZE).parse("0K", "/") is None and SIZE.parse("0K", "/") == 0
    assert (limit(SIZE).name, limit(SIZE).unit) == ("size", "bytes")


def test_some_is_not_an_empty_list() -> None:
    paths = some(one_or_list_of(PATH))
    assert paths.parse(["/a"], "/") == paths.parse("/a", "/") == ("/a",)
    assert refusal(lambda raw: paths.parse(raw, "/"), []) == 'it is empty (write "none" for no restriction)'
