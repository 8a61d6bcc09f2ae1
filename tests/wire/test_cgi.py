"""The head of an answer: what is read, in any slicing, and what is refused."""

import string
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itkwsgi.errors import Bug
from itkwsgi.wire.cgi import MAX_FIELDS, MAX_HEAD, AnswerHeadDecoder, decode_answer_head, encode_answer_head
from itkwsgi.wire.records import ProtocolError

TOKEN = string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~"
NAMES = st.text(TOKEN, min_size=1, max_size=20).filter(lambda name: name.lower() not in ("status", "location"))
VALUE_CHARACTERS = "\t" + "".join(map(chr, range(32, 127))) + "".join(map(chr, range(128, 256)))
VALUES = st.text(VALUE_CHARACTERS, max_size=40).map(lambda value: value.strip(" \t"))
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=8)


def read(data, cuts=()):
    """Feed ``data`` cut at these places until the head is there: (status, reason, fields, all that is left)."""
    decoder = AnswerHeadDecoder()
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, end in pairwise(edges):
        head = decoder.feed(data[start:end])
        if head is not None:
            return head.status, head.reason, head.fields, decoder.rest + data[end:]
        assert decoder.rest == b""
    return None


@given(
    st.integers(200, 999),
    st.text("".join(map(chr, range(32, 127))), max_size=20).map(str.strip),
    FIELDS,
    st.binary(max_size=30),
    st.booleans(),
    st.lists(st.integers(0, 10**6), max_size=10),
)
def test_a_head_comes_back_however_it_is_cut(status, reason, fields, body, bare, cuts):
    head = encode_answer_head(f"{status} {reason}", fields)
    if bare:
        head = head.replace(b"\r\n", b"\n")
    assert read(head + body, cuts) == (status, reason, fields, body)


@given(
    st.one_of(st.binary(max_size=80), st.text("ab: \r\n\t", max_size=40).map(str.encode)), st.lists(st.integers(0, 80))
)
def test_random_bytes_raise_nothing_but_a_protocol_error(data, cuts):
    try:
        found = read(data, cuts)
    except ProtocolError:
        return
    if found is not None:
        assert found[2] or b"status" in data.lower()
        assert data.endswith(found[3])


def test_encoded_byte_by_byte():
    assert encode_answer_head("404 Not Found", [("Content-Type", "text/plain"), ("X-Name", "J\xe4ger")]) == (
        b"Status: 404 Not Found\r\nContent-Type: text/plain\r\nX-Name: J\xe4ger\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("head", "status", "reason"),
    [
        (b"Content-Type: text/html\n", 200, "OK"),
        (b"Location: /there\r\n", 302, "Found"),
        (b"location: http://a.example/\n", 302, "Found"),
        (b"Location: /there\r\nStatus: 201 Created\r\n", 201, "Created"),
        (b"Status: 404\n", 404, ""),
        (b"Status:503 Busy now\n", 503, "Busy now"),
        (b"STATUS: 200 OK\r\n", 200, "OK"),
        (b"Status: 299 \n", 299, ""),
    ],
)
def test_where_the_status_comes_from(head, status, reason):
    found = decode_answer_head(head)
    assert (found.status, found.reason) == (status, reason)
    assert not any(name.lower() == "status" for name, _ in found.fields)


@pytest.mark.parametrize(
    "head",
    [
        b"\r\n",
        b"\n",
        b"\n\r\nX: y\n\n",
        b"no colon\n\n",
        b": no name\n\n",
        b"Na me: x\n\n",
        b"Name : x\n\n",
        b"N\xe4me: x\n\n",
        b"A: b\r\n folded\r\n\r\n",
        b"A: b\r\n\tfolded\r\n\r\n",
        b"A: b\0c\n\n",
        b"A: b\rc\n\n",
        b"A: b\r\r\n\r\n",
        b"A: b\x7f\n\n",
        b"A: \x1b[0m\n\n",
        b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n",
        b"Status: 200 OK\nStatus: 200 OK\n\n",
        b"Status: 20\n\n",
        b"Status: 2000\n\n",
        b"Status: 200OK\n\n",
        b"Status: abc\n\n",
        b"Status: \xb2\xb2\xb2 superscript\n\n",
        b"Status: -20\n\n",
        b"Status: 100 Continue\n\n",
        b"Status: 101 Switching\n\n",
        b"Status:\n\n",
        b"Status: 200\tOK\n\n",
    ],
)
def test_what_is_refused(head):
    with pytest.raises(ProtocolError):
        read(head)


@pytest.mark.parametrize(
    ("data", "rest"),
    [
        (b"A: b\r\n\r\nbody", b"body"),
        (b"A: b\n\nbody", b"body"),
        (b"A: b\r\n\nbody", b"body"),
        (b"A: b\n\r\nbody", b"body"),
        (b"A: b\n\n\r\nbody", b"\r\nbody"),
        (b"A: b\r\n\r\n\n\nbody", b"\n\nbody"),
        (b"A: b\n\n", b""),
    ],
)
def test_the_first_empty_line_ends_the_head(data, rest):
    for cut in range(len(data)):
        assert read(data, [cut]) == (200, "OK", [("A", "b")], rest)


def test_empty_values_and_tabs_are_kept():
    assert decode_answer_head(b"A:\nB: \t x\ty \t\n").fields == [("A", ""), ("B", "x\ty")]


def test_a_head_of_just_the_limit_and_one_beyond():
    filler = b"A: " + b"x" * (MAX_HEAD - 4) + b"\n"
    assert len(filler) == MAX_HEAD
    assert read(filler + b"\n")[2] == [("A", "x" * (MAX_HEAD - 4))]
    with pytest.raises(ProtocolError, match="larger"):
        read(b"A" + filler + b"\n")


def test_a_head_without_end_is_refused_before_it_ends():
    decoder = AnswerHeadDecoder()
    line = b"A: " + b"x" * 996 + b"\n"
    for _ in range(MAX_HEAD // len(line)):
        assert decoder.feed(line) is None
    with pytest.raises(ProtocolError, match="larger"):
        decoder.feed(line)


def test_the_number_of_fields_is_limited():
    lines = b"A: b\n" * MAX_FIELDS
    assert len(decode_answer_head(b"Status: 200 OK\n" + lines).fields) == MAX_FIELDS
    with pytest.raises(ProtocolError, match="fields"):
        decode_answer_head(b"A: b\n" + lines)


def test_feeding_on_behind_the_head_is_our_own_mistake():
    decoder = AnswerHeadDecoder()
    assert decoder.feed(b"A: b\n\n") is not None
    with pytest.raises(Bug):
        decoder.feed(b"body")
