"""Lines and pieces out of bytes that come in any portions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itkwsgi.errors import ClientError
from itkwsgi.front.http1.buffer import Buffer


def filled(*portions):
    buffer = Buffer()
    for portion in portions:
        buffer.feed(portion)
    return buffer


def line(buffer, limit=10):
    return buffer.line(limit, 431, "a line")


def test_a_line_is_taken_without_its_end():
    buffer = filled(b"one\r\n\r\nthree")
    assert line(buffer) == b"one"
    assert line(buffer) == b""
    assert line(buffer) is None
    assert len(buffer) == 5


def test_a_line_may_come_in_portions():
    buffer = Buffer()
    for portion in (b"on", b"e", b"\r"):
        buffer.feed(portion)
        assert line(buffer) is None
    buffer.feed(b"\nrest")
    assert line(buffer) == b"one"
    assert buffer.take(9) == b"rest"


@pytest.mark.parametrize("end", [b"\r\n", b"\r", b""])
def test_a_line_may_be_as_long_as_its_limit(end):
    buffer = filled(b"x" * 10 + end)
    assert line(buffer) == (b"x" * 10 if end == b"\r\n" else None)


@pytest.mark.parametrize("data", [b"x" * 11, b"x" * 11 + b"\r\n", b"x" * 11 + b"\n", b"x" * 11 + b"\0"])
def test_a_longer_line_has_the_given_status(data):
    with pytest.raises(ClientError, match="a line is too long") as caught:
        line(filled(data))
    assert caught.value.status == 431


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"a\n", "bare line feed"),
        (b"a\rb", "bare carriage return"),
        (b"a\0", "control"),
        (b"a\x7f", "control"),
        (b"\r\r\n", "bare carriage return"),
        (b"aaaaaaaaaa\n", "bare line feed"),
    ],
)
def test_controls_are_refused_at_once(data, why):
    with pytest.raises(ClientError, match=why) as caught:
        line(filled(data))
    assert caught.value.status == 400


def test_tabs_and_high_octets_are_no_controls():
    assert line(filled(b"\t\x80\xff\r\n")) == b"\t\x80\xff"


def test_a_paragraph_is_taken_with_its_line_ends():
    buffer = filled(b"one\r\ntwo\r\n\r\nrest")
    assert buffer.paragraph(100, 2) == "one\r\ntwo\r\n"
    assert buffer.take(9) == b"rest"


@pytest.mark.parametrize(
    ("data", "most_bytes", "most_lines"),
    [
        (b"one\r\ntwo\r\n", 100, 2),  # incomplete
        (b"one\r\ntwo\r\n\r\n", 11, 2),  # long
        (b"one\r\ntwo\r\n\r\n", 100, 1),  # of many lines
        (b"\r\none\r\n\r\n", 100, 2),  # after an empty line
    ],
)
def test_other_paragraphs_are_left_to_be_read_by_line(data, most_bytes, most_lines):
    buffer = filled(data)
    assert buffer.paragraph(most_bytes, most_lines) is None
    assert len(buffer) == len(data)


def test_a_paragraph_is_not_searched_again_once_a_line_was_begun():
    buffer = filled(b"on")
    assert line(buffer) is None
    buffer.feed(b"e\r\n\r\n")
    assert buffer.paragraph(100, 2) is None


@given(st.lists(st.binary(max_size=20)), st.lists(st.integers(0, 30)))
def test_pieces_are_the_bytes_fed(portions, sizes):
    buffer = Buffer()
    taken = b""
    for portion, size in zip(portions, sizes, strict=False):
        buffer.feed(portion)
        taken += buffer.take(size)
    fed = b"".join(portions[: len(sizes)])
    assert taken + buffer.take(len(buffer)) == fed
    assert len(buffer) == 0


def test_a_first_block_is_not_copied():
    block = b"x" * 1000
    buffer = filled(block)
    assert buffer._data is block


def test_clear_drops_everything():
    buffer = filled(b"one\r\ntw")
    line(buffer)
    line(buffer)
    buffer.clear()
    buffer.feed(b"new\r\n")
    assert line(buffer) == b"new"
