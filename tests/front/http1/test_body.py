"""Bodies of a length and of chunks; trailers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itkwsgi.errors import ClientError
from itkwsgi.front.http1 import body as body_module
from itkwsgi.front.http1.body import LARGEST_PIECE, ChunkedBody, LengthBody
from itkwsgi.front.http1.buffer import Buffer


def drain(body, buffer):
    return b"".join(iter(lambda: body.read(buffer), b""))


def unchunk(data, most_trailers=3, trailer_size=20):
    """(body, what is left) of a complete chunked body."""
    buffer = Buffer()
    buffer.feed(data)
    body = ChunkedBody(most_trailers, trailer_size)
    result = drain(body, buffer)
    assert body.done
    return result, buffer.take(1000)


def chunk(data, extension=b""):
    return b"%x%b\r\n%b\r\n" % (len(data), extension, data)


def test_a_length_ends_a_body():
    buffer = Buffer()
    buffer.feed(b"hel")
    body = LengthBody(5)
    assert drain(body, buffer) == b"hel"
    assert not body.done
    buffer.feed(b"loGET /")
    assert drain(body, buffer) == b"lo"
    assert body.done
    assert buffer.take(9) == b"GET /"


@pytest.mark.parametrize("kind", ["length", "chunked"])
def test_a_large_body_comes_in_pieces(kind):
    buffer = Buffer()
    data = bytes(range(256)) * 1024
    buffer.feed(data if kind == "length" else chunk(data) + b"0\r\n\r\n")
    body = LengthBody(len(data)) if kind == "length" else ChunkedBody(0, 0)
    pieces = list(iter(lambda: body.read(buffer), b""))
    assert [len(piece) for piece in pieces] == [LARGEST_PIECE] * 4
    assert b"".join(pieces) == data


@given(st.lists(st.binary(min_size=1)), st.binary())
def test_what_was_chunked_is_joined(pieces, rest):
    data = b"".join(map(chunk, pieces)) + b"0\r\n\r\n"
    assert unchunk(data + rest[:1000]) == (b"".join(pieces), rest[:1000])


@pytest.mark.parametrize(
    "line",
    [
        b"a",
        b"A",
        b"0a",
        b"000000000000000a",
        b"a;x",
        b"A; ext=val",
        b"a;  x",
        b"a;x=y;z",
        b"a;x=1;y=2;z",
        b'a;x=""',
        b'a;x="y;z"',
        b'a;x="\\"\\\\"',
        b'a;x="\xff\t "',
        b"a;!#$%&'*+-.^_`|~=~",
        b"a;" + b"x" * 255,
    ],
)
def test_lines_of_chunks(line):
    assert unchunk(line + b"\r\n0123456789\r\n0\r\n\r\n") == (b"0123456789", b"")


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b" ",
        b" a",
        b"a ",
        b"\ta",
        b"a\t",
        b"+a",
        b"-a",
        b"0xa",
        b"xa",
        b"ag",
        b"a_0",
        b"\xb2",
        b"0" * 16 + b"a",
        b"A" * 35,
        b"8000000000000000",
        b"ffffffffffffffff",
        b";",
        b";x",
        b"a;",
        b"a; ",
        b"a;;x",
        b"a;\tx",
        b"a;x;",
        b"a ;x",
        b"a;x ;y",
        b"a;x =y",
        b"a;x= y",
        b"a;x=",
        b"a;=y",
        b'a;x="',
        b'a;x="y',
        b'a;x="y"z',
        b'a;x="y" ',
        b'a;x="\\"',
        b"a;x y",
        b"a,x",
        b"a;\xff",
        b"a;ext=\x7fval",
        b"a;x\0",
        b"a;x\ny",
        b"a;x\ry",
        b"a;" + b"x" * 256,
        b"a;" + b"x" * 1000,
    ],
)
def test_other_lines_of_chunks_are_refused(line):
    with pytest.raises(ClientError) as caught:
        unchunk(line + b"\r\n0123456789\r\n0\r\n\r\n")
    assert caught.value.status == 400


@pytest.mark.parametrize("end", [b"\n", b"\r\r", b"x\r\n", b"\0", b"\t\r\n", b"0\r\n"])
def test_a_chunk_ends_with_a_line_end(end):
    with pytest.raises(ClientError) as caught:
        unchunk(b"1\r\na" + end)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    "trailers", [b"", b"A: b\r\n", b"A: b\r\nX_Transfer-Encoding:\r\nHost:\r\n", b"a: 5678901234567890\r\n"]
)
def test_trailers_are_dropped(trailers):
    assert unchunk(b"1\r\na\r\n0\r\n" + trailers + b"\r\nGET /") == (b"a", b"GET /")


@pytest.mark.parametrize(
    ("trailers", "status"),
    [
        (b"A\r\n", 400),
        (b": b\r\n", 400),
        (b"A : b\r\n", 400),
        (b" A: b\r\n", 400),
        (b"A: b\r\n c\r\n", 400),
        (b"A: \0\r\n", 400),
        (b"Content-Length: 1\r\n", 400),
        (b"Transfer-Encoding:\r\n", 400),
        (b"A: b\n\r\n", 400),
        (b"\n", 400),
        (b"A: " + b"x" * 18 + b"\r\n", 431),
        (b"A: " + b"x" * 100, 431),
        (b"A: b\r\n" * 4, 431),
    ],
)
def test_other_trailers_are_refused(trailers, status):
    with pytest.raises(ClientError) as caught:
        unchunk(b"0\r\n" + trailers + b"\r\n")
    assert caught.value.status == status


@pytest.mark.parametrize("size", [3, 10, 100])
def test_many_small_chunks_pass(size):
    body, _ = unchunk(chunk(b"x" * size) * 20_000 + b"0\r\n\r\n")
    assert len(body) == size * 20_000


@pytest.mark.parametrize(
    ("data", "most"),
    [
        (chunk(b"x"), 6_000),
        (chunk(b"xx"), 20_000),
        (chunk(b"x", b";" + b"y" * 255), 70),
        (chunk(b"x" * 99, b";" + b"y" * 255), 260),
    ],
)
def test_more_framing_than_body_is_refused(data, most):
    with pytest.raises(ClientError, match="small chunks") as caught:
        unchunk(data * most + b"0\r\n\r\n")
    assert caught.value.status == 400


def test_the_sum_of_chunks_is_bounded(monkeypatch):
    monkeypatch.setattr(body_module, "LARGEST_LENGTH", 5)
    assert unchunk(chunk(b"abc") + chunk(b"de") + b"0\r\n\r\n")[0] == b"abcde"
    with pytest.raises(ClientError, match="impossible"):
        unchunk(chunk(b"abc") + chunk(b"def") + b"0\r\n\r\n")
