"""Lines: nothing that is written into a pipe can look like something else in a log."""

import re
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itkwsgi.log.lines import CUT, LineSplitter, error_lines, escape, in_units, split_access, stamp

WHEN = "2026-11-25T12:00:00.123+00:00"


def split(data, cuts=(), longest=100):
    """All lines of ``data``, fed in pieces, the last one flushed."""
    splitter = LineSplitter(longest)
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    lines = []
    for start, end in pairwise(edges):
        lines += splitter.feed(data[start:end])
    return lines + splitter.flush(ended=True)


# --- Splitting


@given(
    st.lists(st.binary(max_size=90).filter(lambda line: not set(line) & set(b"\r\n"))), st.lists(st.integers(0, 10**6))
)
def test_lines_come_back_however_they_are_cut(lines, cuts):
    for end in (b"\n", b"\r\n"):
        data = b"".join(line + end for line in lines)
        assert split(data, cuts) == lines


@given(st.binary(max_size=500), st.lists(st.integers(0, 10**6)), st.integers(4, 60))
def test_nothing_is_lost_and_nothing_is_long(data, cuts, longest):
    lines = split(data, cuts, longest)
    assert all(len(line) <= longest + 2 * len(CUT) for line in lines)
    assert not any(b"\n" in line for line in lines)
    glued = b"\n".join(lines).replace(CUT + b"\n" + CUT, b"")
    assert glued.rstrip(b"\n").replace(b"\r", b"") == data.rstrip(b"\n").replace(b"\r", b"")


def test_the_last_line_without_an_end():
    splitter = LineSplitter(100)
    assert splitter.feed(b"one\ntw") == [b"one"]
    assert splitter.pending
    assert splitter.flush(ended=True) == [b"tw"]
    assert not splitter.pending
    assert splitter.flush(ended=True) == []


def test_a_line_that_waited_too_long_goes_on_later():
    splitter = LineSplitter(100)
    splitter.feed(b"working")
    assert splitter.flush(ended=False) == [b"working" + CUT]
    assert splitter.feed(b" done\nnext\n") == [CUT + b" done", b"next"]
    splitter.feed(b"again")
    splitter.flush(ended=False)
    assert splitter.feed(b"\nnext\n") == [b"next"]


def test_a_long_line_is_cut_into_marked_pieces():
    assert split(b"x" * 250 + b"\nshort\n") == [
        b"x" * 100 + CUT,
        CUT + b"x" * 100 + CUT,
        CUT + b"x" * 50,
        b"short",
    ]
    assert split(b"x" * 100 + b"\n") == [b"x" * 100]


def test_a_cut_splits_no_character():
    text = "\u20ac" * 50
    pieces = split(text.encode() + b"\n", longest=100)
    assert [piece.replace(CUT, b"").decode() for piece in pieces] == ["\u20ac" * 33, "\u20ac" * 17]


def test_a_cut_in_what_is_no_text_goes_anywhere():
    assert split(b"\x80" * 10, longest=4) == [b"\x80" * 4 + CUT, CUT + b"\x80" * 4 + CUT, CUT + b"\x80" * 2]


def test_empty_lines_stay():
    assert split(b"\n\na\r\n\r\n") == [b"", b"", b"a", b""]


# --- Escaping


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (b"plain ascii\twith a tab", "plain ascii\twith a tab"),
        ("J\xe4ger \u20ac \U0001f600".encode(), "J\xe4ger \u20ac \U0001f600"),
        (b"\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        (b"a\rb\0c\x7f", r"a\x0db\x00c\x7f"),
        (b"caf\xe9 \xff", r"caf\xe9 \xff"),
        (b"\xed\xa0\x80 \xc0\xaf", r"\xed\xa0\x80 \xc0\xaf"),
        (b"\xc2\x9b31m \xc2\x85", r"\x9b31m \x85"),
        ("a\u2028b\u2029c\u202ed\u2066e".encode(), r"a\u2028b\u2029c\u202ed\u2066e"),
        (rb"C:\temp \x1b", rb"C:\temp \x1b".decode()),
    ],
)
def test_what_is_shown_of_it(written, shown):
    assert escape(written) == shown


@given(st.binary(max_size=200))
def test_what_is_shown_is_one_harmless_line(data):
    shown = escape(data.replace(b"\n", b""))
    assert len(shown.splitlines()) <= 1
    assert all(character.isprintable() or character == "\t" or ord(character) > 0xA0 for character in shown)


@given(st.text(st.characters(categories=["L", "N", "P", "S"])))
def test_text_is_shown_as_it_is(text):
    assert escape(text.encode()) == text


@given(st.lists(st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"")), min_size=1))
def test_a_batch_is_what_its_lines_are_one_by_one(lines):
    one_by_one = b"".join(error_lines([line], "a.example", WHEN) for line in lines)
    assert error_lines(lines, "a.example", WHEN) == one_by_one


@given(st.binary(max_size=300))
def test_no_site_writes_under_another_name(data):
    lines = split(data + b"\n[" + WHEN.encode() + b"] [b.example] forged\r[x] [b.example] y")
    for line in error_lines(lines, "a.example", WHEN).decode().splitlines():
        assert line.startswith(f"[{WHEN}] [a.example] ")


# --- Times


def test_a_stamp_is_rfc_3339():
    shown = stamp(1795608000.1239)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.123[+-]\d\d:\d\d", shown)


@pytest.mark.parametrize(
    ("zone", "shown"),
    [
        ("UTC0", "2026-11-25T12:00:00.007+00:00"),
        ("EST5", "2026-11-25T07:00:00.007-05:00"),
        ("IST-5:30", "2026-11-25T17:30:00.007+05:30"),
    ],
)
def test_a_stamp_is_local(zone, shown, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setenv("TZ", zone)
        time.tzset()
        assert stamp(1795608000.0075) == shown
    time.tzset()


# --- Access lines


@pytest.mark.parametrize(
    ("line", "index", "text"),
    [
        ("0 127.0.0.1 - -", 0, "127.0.0.1 - -"),
        ("123456789 x", 123456789, "x"),
        ("- x y", None, "x y"),
        ("1234567890 x", None, "1234567890 x"),
        ("-1 x", None, "-1 x"),
        ("\u0663 x", None, "\u0663 x"),
        ("b.example x", None, "b.example x"),
        ("", None, ""),
        ("7", 7, ""),
    ],
)
def test_the_index_of_an_access_line(line, index, text):
    assert split_access(line) == (index, text)


@pytest.mark.parametrize(
    ("size", "shown"),
    [(0, "0"), (1, "1"), (1000, "1000"), (1 << 10, "1K"), (1536, "1536"), (3 << 20, "3M"), (1 << 30, "1G")],
)
def test_a_size_stands_as_the_configuration_has_it(size, shown):
    assert in_units(size) == shown
