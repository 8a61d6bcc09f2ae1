"""Single values: what is taken, what is refused, and in which words."""

from __future__ import annotations

import datetime
import math
import os
import re
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itkwsgi.ini import values
from itkwsgi.ini.values import Wrong
from tests.support.toml_values import faults_of, refusal, toml_values

KINDS: list[Callable[[object], object]] = [
    partial(values.parse_integer, low=0, high=9),
    values.parse_size,
    values.parse_time,
    values.parse_flag,
    values.parse_mode,
    values.parse_text,
    partial(values.parse_choice, words=("a", "b")),
    partial(values.parse_path, directory="/etc/itkwsgi"),
    values.parse_zone,
    values.parse_locale,
    values.parse_charset,
    values.parse_filter,
]


@given(toml_values)
def test_no_parser_fails_in_any_other_way(raw: object) -> None:
    """And every message is one line of printable text."""
    for parse in KINDS:
        for fault in faults_of(parse, raw):
            assert fault.message and (fault.message + fault.hint).isprintable()
            assert len(fault.message + fault.hint) < 300


# --- sizes


@pytest.mark.parametrize(
    ("raw", "size"),
    [(0, 0), (8190, 8190), ("8190", 8190), ("64K", 65536), ("64k", 65536), ("256M", 2**28), ("1G", 2**30), ("0", 0)],
)
def test_sizes(raw: object, size: int) -> None:
    assert values.parse_size(raw) == size


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "K",
        "1T",
        "1.5G",
        "256MB",
        "256 M",
        " 1K",
        "-1K",
        "0x10",
        "\u0661K",
        "1\u212a",
        "\u00b2",
        "1" * 16,
        True,
        1.0,
        [],
        {},
    ],
)
def test_no_sizes(raw: object) -> None:
    assert "is not a size" in refusal(values.parse_size, raw)


def test_sizes_out_of_bounds() -> None:
    assert refusal(values.parse_size, -1) == "-1 is too small: at least 0 bytes"
    assert refusal(partial(values.parse_size, high=1024), "2K") == "2048 is too big: at most 1024 bytes"
    assert refusal(values.parse_size, 10**40) == f"a number that long is too big: at most {2**60} bytes"
    assert refusal(values.parse_size, -(10**40)) == "a number that long is too small: at least 0 bytes"


@given(st.integers(0, 2**29), st.sampled_from("KMG"))
def test_units_are_powers_of_1024(number: int, unit: str) -> None:
    assert values.parse_size(f"{number}{unit}") == number * 1024 ** ("KMG".index(unit) + 1)


# --- times


@pytest.mark.parametrize(
    ("raw", "seconds"),
    [
        (5, 5.0),
        (0.25, 0.25),
        ("30", 30.0),
        ("30s", 30.0),
        ("1.5s", 1.5),
        ("500ms", 0.5),
        ("5m", 300.0),
        ("1h", 3600.0),
        ("0s", 0.0),
        (0, 0.0),
    ],
)
def test_times(raw: object, seconds: float) -> None:
    parsed = values.parse_time(raw)
    assert parsed == seconds and type(parsed) is float


@pytest.mark.parametrize(
    "raw", ["", "s", "5 s", "5S", "5d", "-5s", "1e3", ".5s", "5.s", "nan", "inf", True, math.inf, math.nan]
)
def test_no_times(raw: object) -> None:
    assert "is not a time" in refusal(values.parse_time, raw)


@pytest.mark.parametrize(
    ("raw", "zero", "message"),
    [
        (-1, True, "-1 is too short: it must be at least 0"),
        (0, False, "0 is too short: it must be more than 0"),
        ("0ms", False, '"0ms" is too short: it must be more than 0'),
        ("99999h", True, '"99999h" is too long: at most 366 days'),
        (10**30, True, "a number that long is too long: at most 366 days"),
        (1e300, True, "1e+300 is too long: at most 366 days"),
    ],
)
def test_times_out_of_bounds(raw: object, zero: bool, message: str) -> None:
    assert refusal(partial(values.parse_time, zero=zero), raw) == message


@given(st.integers(0, 86_400_000))
def test_milliseconds_and_seconds_agree(number: int) -> None:
    assert values.parse_time(f"{number}ms") == pytest.approx(number / 1000)
    assert values.parse_time(f"{number // 1000}s") == values.parse_time(number // 1000)


SIZE = re.compile(r"[0-9]{1,15}[KMGkmg]?")
TIME = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,9})?(?:ms|s|m|h|)")


@given(st.text(alphabet="019.KMGkmsh \u0661\u212a", max_size=18))
def test_sizes_and_times_have_the_form_they_are_said_to_have(text: str) -> None:
    """Against regular expressions, which the parsers do without."""
    for parse, form in ((values.parse_size, SIZE), (values.parse_time, TIME)):
        refused = any("is not a" in fault.message for fault in faults_of(parse, text))
        assert refused != bool(form.fullmatch(text))


# --- flags and numbers


@pytest.mark.parametrize("raw", [True, "on", "On", "YES", "true", "1"])
def test_flags_that_are_true(raw: object) -> None:
    assert values.parse_flag(raw) is True


@pytest.mark.parametrize("raw", [False, "off", "OFF", "no", "False", "0"])
def test_flags_that_are_false(raw: object) -> None:
    assert values.parse_flag(raw) is False


@pytest.mark.parametrize(("raw", "said"), [(1, "1"), (0, "0"), ("", '""'), ("enable", '"enable"'), ([], "a list")])
def test_no_flags(raw: object, said: str) -> None:
    assert refusal(values.parse_flag, raw) == f"{said} is neither true nor false"


@pytest.mark.parametrize("raw", [True, 1.0, "1", datetime.time(1), {}])
def test_no_whole_numbers(raw: object) -> None:
    assert refusal(partial(values.parse_integer, low=0, high=9), raw) == f"{values.shown(raw)} is not a whole number"


@given(st.integers())
def test_bounds_are_included(number: int) -> None:
    parse = partial(values.parse_integer, low=-3, high=7)
    if -3 <= number <= 7:
        assert parse(number) == number
    else:
        assert "too small: at least -3" in refusal(parse, number) or "too big: at most 7" in refusal(parse, number)


@pytest.mark.parametrize(("raw", "mode"), [("0660", 0o660), ("660", 0o660), (0o660, 0o660), ("0000", 0), (0, 0)])
def test_modes(raw: object, mode: int) -> None:
    assert values.parse_mode(raw) == mode


@pytest.mark.parametrize("raw", [660, "0o660", "06600", "1660", "66", "0689", "rw", True, -1, 0o1777])
def test_no_modes(raw: object) -> None:
    assert refusal(values.parse_mode, raw).endswith('is not a file mode (write "0660" or 0o660)')


# --- text


@pytest.mark.parametrize("raw", ["a\0b", "a\nb", "\x1b[2J", "\x7f", "a\tb"])
def test_no_control_characters(raw: str) -> None:
    assert refusal(values.parse_text, raw).endswith("has a control character in it")


def test_texts() -> None:
    assert values.parse_text("Ü x") == "Ü x"
    assert refusal(values.parse_text, "") == "it is empty"
    assert refusal(values.parse_text, 443) == '443 is not text (write "443")'
    assert refusal(values.parse_text, ["x"]) == "a list is not text"


def test_choices() -> None:
    words = ("prod", "off")
    assert values.parse_choice("off", words) == "off"
    assert (
        refusal(partial(values.parse_choice, words=words), "Prod") == '"Prod" is none of prod, off (did you mean prod?)'
    )
    assert refusal(partial(values.parse_choice, words=words), False) == "false is none of prod, off"


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ("x", "/etc/itkwsgi/x"),
        ("/srv/x/", "/srv/x"),
        ("../x", "/etc/x"),
        ("./a//b/.", "/etc/itkwsgi/a/b"),
        ("//x", "/x"),
        ("/", "/"),
        ("/../..", "/"),
    ],
)
def test_paths(raw: str, path: str) -> None:
    assert values.parse_path(raw, "/etc/itkwsgi") == path


@given(st.text(min_size=1, max_size=20))
def test_paths_are_absolute_and_normal(raw: str) -> None:
    try:
        path = values.parse_path(raw, "/etc/itkwsgi")
    except Wrong:
        return
    assert path.startswith("/") and not path.startswith("//")
    assert ".." not in path.split("/") and values.parse_path(path, "/elsewhere") == path


def test_a_path_that_the_locale_cannot_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsencode", lambda text: text.encode("ascii"))
    assert refusal(partial(values.parse_path, directory="/"), "ü").startswith('"ü" cannot be a path in this locale')


def test_no_home_in_paths() -> None:
    assert (
        refusal(partial(values.parse_path, directory="/"), "~/x")
        == '"~/x": ~ is not expanded here (write the whole path)'
    )


# --- how things are shown


def test_values_are_shown_on_one_line() -> None:
    assert values.quoted('a\n\x1b"\u202e') == '"a\\n\\x1b"\\u202e"'
    assert values.quoted("x" * 100) == '"' + "x" * 77 + '..."'
    raws: list[object] = [True, 1, 1.5, [], {}, datetime.date(2020, 1, 1)]
    assert [values.shown(raw) for raw in raws] == [
        "true",
        "1",
        "1.5",
        "a list",
        "a table",
        "a date or time",
    ]


def test_faults_know_their_place() -> None:
    wrong = Wrong(faults=[values.Fault("m", "h", (1,)), values.Fault("n")])
    assert wrong.below("listen") == [values.Fault("m", "h", ("listen", 1)), values.Fault("n", "", ("listen",))]


def test_faults_compare_by_what_they_say() -> None:
    fault = values.Fault("m", "h", ("a",))
    assert fault == values.Fault("m", "h", ("a",)) and hash(fault) == hash(values.Fault("m", "h", ("a",)))
    assert fault != values.Fault("m", "h", ("b",)) and fault != "m"
    assert repr(fault) == "Fault('m', 'h', ('a',))"


def test_near_names_are_found() -> None:
    known = ["keepalive_timeout", "listen", "user"]
    assert values.closest("keep-alive-timeout", known) == "keepalive_timeout"
    assert values.closest("Listen", known) == "listen"
    assert values.closest("xyz", known) == ""


# --- what the interpreter and the C library understand


@pytest.mark.parametrize(
    "raw",
    [
        "UTC", "Europe/Berlin", "America/Argentina/Ushuaia", "Etc/GMT+5", "CET-1CEST", "EST5EDT,M3.2.0,M11.1.0",
        "CET-1CEST,M3.5.0,M10.5.0/3", "UTC+0:30",
    ],
)  # fmt: skip
def test_zones(raw: str) -> None:
    assert values.parse_zone(raw) == raw


@pytest.mark.parametrize(
    "raw",
    [
        "Europe/Atlantis", "Europe", "/etc/passwd", "/usr/share/zoneinfo/UTC", "../../../etc/passwd", "Europe/../UTC",
        ".", "Europe//Berlin", ":UTC", "CE-1", "ÄÖÜ1", "UTC 1", "1", 5,
    ],
)  # fmt: skip
def test_no_zones(raw: object) -> None:
    assert "is no" in refusal(values.parse_zone, raw)


def test_without_a_data_base_of_zones_any_name_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "_ZONES", "/nowhere")
    assert values.parse_zone("Europe/Berlin") == "Europe/Berlin"
    assert "is no time zone" in refusal(values.parse_zone, "../etc")


@pytest.mark.parametrize("raw", ["C", "C.UTF-8", "de_DE.UTF-8", "de_DE@euro", "POSIX"])
def test_locales(raw: str) -> None:
    assert values.parse_locale(raw) == raw


@pytest.mark.parametrize("raw", ["/tmp/x", "../x", "de DE", "de_DE;LC_TIME=C", ".x", ""])
def test_no_locales(raw: str) -> None:
    assert refusal(values.parse_locale, raw)


def test_charsets() -> None:
    assert values.parse_charset("UTF-8") == "UTF-8"
    for raw in ("utf-8; x=1", 'u"', "a,b", "", "ü"):
        assert refusal(values.parse_charset, raw)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("error", "error"),
        ("ignore::DeprecationWarning", "ignore::DeprecationWarning"),
        (" ignore : a message : UserWarning : a.b : 12 ", "ignore:a message:UserWarning:a.b:12"),
    ],
)
def test_filters_of_warnings(raw: str, text: str) -> None:
    assert values.parse_filter(raw) == text


@pytest.mark.parametrize("raw", ["", "x", "Error", ":x", "error:::::", "error::::x", "error::::-1"])
def test_no_filters_of_warnings(raw: str) -> None:
    assert refusal(values.parse_filter, raw)


@pytest.mark.parametrize(
    ("raw", "seconds"), [(0.1 + 0.2, 0.3), ("0.1ms", 0.0001), (1e-12, 1e-9), (-0.0, 0.0), (1 / 3, 0.333333333)]
)
def test_times_are_whole_nanoseconds(raw: object, seconds: float) -> None:
    """So none is lost when it is written; and what is more than nothing does not come to mean no limit."""
    parsed = values.parse_time(raw)
    assert parsed == seconds and math.copysign(1, parsed) == 1


@pytest.mark.parametrize(("text", "shown"), [("a/b", "a/b"), ("ü b", "ü b"), ("a\nb\udcff\x1b", "a\\nb\\udcff\\x1b")])
def test_printable(text: str, shown: str) -> None:
    assert values.printable(text) == shown
