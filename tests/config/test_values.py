"""Values that only itk.toml has: what is taken, what is refused, and in which words."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itkwsgi.config import values
from itkwsgi.ini.match import canonical
from itkwsgi.ini.values import Wrong
from tests.support.toml_values import faults_of, refusal, toml_values

KINDS: list[Callable[[object], object]] = [
    values.parse_id_range,
    values.parse_id,
    values.parse_module,
    values.parse_url_path,
    values.parse_variables,
    values.parse_location,
    values.parse_overrides,
]


@given(toml_values)
def test_no_parser_fails_in_any_other_way(raw: object) -> None:
    """And every message is one line of printable text."""
    for parse in KINDS:
        for fault in faults_of(parse, raw):
            assert fault.message and (fault.message + fault.hint).isprintable()


def test_ranges_of_ids() -> None:
    assert values.parse_id_range([1000, 59999]) == (1000, 59999)
    assert values.parse_id_range([7, 7]) == (7, 7)
    assert refusal(values.parse_id_range, [2, 1]) == "the range from 2 to 1 is empty (did you mean [1, 2]?)"
    assert refusal(values.parse_id_range, [0, 9]) == "0 is too small: at least 1"
    assert refusal(values.parse_id_range, [1, 2**32 - 1]) == "4294967295 is too big: at most 4294967294"
    others: list[object] = [[1], [1, 2, 3], "1-2", 5, {}]
    for raw in others:
        assert "is not a range (write [1000, 59999])" in refusal(values.parse_id_range, raw)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (50001, 50001),
        ("#50001", 50001),
        ("50001", 50001),
        (0, 0),
        ("root", "root"),
        ("www-data", "www-data"),
        ("jess.b_1$", "jess.b_1$"),
        ("user@corp.example", "user@corp.example"),
    ],
)
def test_ids(raw: object, said: object) -> None:
    assert values.parse_id(raw) == said


@pytest.mark.parametrize("raw", ["#", "#x", "-1", "+1", "a b", "a:b", "../x", "a,b", "#-1"])
def test_no_ids(raw: str) -> None:
    assert refusal(values.parse_id, raw) == f'"{raw}" is no name of an account (write a name, a number, or "#50001")'


@pytest.mark.parametrize("raw", [-1, 2**32 - 1, "#4294967295", "4294967295", 2**32])
def test_the_id_that_means_leave_it_is_none(raw: object) -> None:
    """setresuid(-1) changes nothing: a site must not stay root by a number."""
    assert "is too" in refusal(values.parse_id, raw)


def test_true_is_no_id() -> None:
    assert refusal(values.parse_id, True) == 'true is not text (write "true")'


@pytest.mark.parametrize("raw", ["flask", "a.b_c", "_x", "ünï"])
def test_modules(raw: str) -> None:
    assert values.parse_module(raw) == raw


@pytest.mark.parametrize("raw", ["a-b", "a.", ".a", "a..b", "1a", "a b", "a/b", "a;b"])
def test_no_modules(raw: str) -> None:
    assert refusal(values.parse_module, raw) == f'"{raw}" is not a name of a module'


def test_url_paths() -> None:
    assert values.parse_url_path("/a?b=c") == "/a?b=c"
    for raw in ("a", "http://x/", "/a b", "/ü", "/a#b"):
        assert "is not the path of a URL" in refusal(values.parse_url_path, raw)


def test_variables() -> None:
    assert values.parse_variables({"A_1": "x", "b": ""}) == (("A_1", "x"), ("b", ""))
    with pytest.raises(Wrong) as caught:
        values.parse_variables({"A=": "x", "B": 1, "C": "\0", "D": True, "1": "", "E": []})
    assert [(fault.steps, fault.message, fault.hint) for fault in caught.value.faults] == [
        (("A=",), '"A=" is no name of an environment variable', ""),
        (("B",), "1 is not text", 'write "1"'),
        (("C",), '"\\x00" has a NUL in it', ""),
        (("D",), "true is not text", 'write "true"'),
        (("1",), '"1" is no name of an environment variable', ""),
        (("E",), "a list is not text", ""),
    ]


def test_keys_are_shown_as_toml_writes_them() -> None:
    assert values.key_text(("vhost", 3, "pool_socket", "mode")) == "vhost.pool_socket.mode"
    assert values.key_text(("environment", "a.b", "x\ny")) == 'environment."a.b"."x\\ny"'
    assert values.key_text(()) == ""


# --- paths and overrides


@pytest.mark.parametrize(
    ("raw", "prefix"),
    [
        ("/", ""),
        ("///", ""),
        ("/a", "/a"),
        ("/a/", "/a"),
        ("//a//b/", "/a/b"),
        ("/ä ö%", "/ä ö%"),
        ("/a.b/..c", "/a.b/..c"),
    ],
)
def test_locations(raw: str, prefix: str) -> None:
    assert values.parse_location(raw) == prefix


@given(st.text(st.sampled_from("/.ab%2"), max_size=8).map(lambda text: f"/{text}"))
def test_a_location_is_as_paths_are_compared(raw: str) -> None:
    try:
        found = values.parse_location(raw)
    except Wrong:
        return
    assert (found or "/") == canonical(raw) == canonical(found) and values.parse_location(found or "/") == found


def test_wrong_locations_and_overrides() -> None:
    for raw in ("", "a", "/a?b", "/a#b", "/a/.", "/../a", "/a%2Fb", "/a\n", 1, None):
        with pytest.raises(Wrong):
            values.parse_location(raw)
    with pytest.raises(Wrong) as caught:
        values.parse_overrides(["umask", "nothing", "disable"])
    assert [fault.steps for fault in caught.value.faults] == [(1,), (2,)] and caught.value.rest == ("umask",)
