"""Two parsers that others wrote: what either refuses we refuse, and what all accept means the same.

`DIFFERENCES` are the exceptions, each with its reason.  The other direction needs no list: we refuse more than both.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import h11
import httptools
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from itkwsgi.errors import ClientError
from itkwsgi.front.http1.events import BodyChunk, EndOfRequest, RequestHead

DATA = Path(__file__).parent / "data"

HOST = b"Host: a\r\n"
CHUNKED = b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"


class Difference(NamedTuple):
    """What one oracle refuses, in which words, and we accept: requests that contain a pattern, like the example."""

    oracle: str
    words: str
    pattern: bytes
    example: bytes
    reason: str


DIFFERENCES = [
    Difference(
        "httptools",
        "Invalid method encountered|Expected space after method|Expected SOURCE method for ICE/x.x request",
        rb"^(\r\n)*[!#$%&'*+.^_`|~0-9A-Za-z-]+ ",
        b"FOO / HTTP/1.1\r\n" + HOST + b"\r\n",
        "it has a list of methods; RFC 9110 9.1 has not, and a site may want its own",
    ),
    Difference(
        "httptools",
        "Invalid character in chunk extensions",
        rb"\r\n[0-9a-fA-F]+(;[^\r\n]*)?; ",
        CHUNKED + b"1; a=b\r\nx\r\n0\r\n\r\n",
        'RFC 9112 7.1.1 has white space there, and Apache\'s own tests (chunkinput.t) send "A; ext=val"',
    ),
    Difference(
        "h11",
        "no request line received",
        rb"^(\r\n){1,2}[^\r\n]",
        b"\r\nGET / HTTP/1.1\r\n" + HOST + b"\r\n",
        "RFC 9112 2.2 wants at least one empty line before a request ignored",
    ),
    Difference(
        "h11",
        "bad Content-Length",
        rb"(?i)\r\ncontent-length:[ \t]*0[0-9]{20,}[ \t]*\r\n",
        b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 000000000000000000001\r\n\r\nx",
        "RFC 9110 8.6 has no greatest number of digits, and Apache's own tests (contentlength.t) send 34 zeros",
    ),
]


class Refused(Exception):
    """An oracle does not take it."""


class Record:
    """What httptools calls back with, first request only."""

    def __init__(self):
        self.url = b""
        self.fields = []
        self.body = b""
        self.complete = 0

    def on_url(self, url):
        self.url += url

    def on_header(self, name, value):
        if not self.body and not self.complete:
            self.fields.append((name.decode("latin-1").lower(), value.decode("latin-1").strip(" \t")))

    def on_body(self, data):
        self.body += data

    def on_message_complete(self):
        self.complete += 1


def by_httptools(data):
    """(method, target, body) of a single request, None if it is incomplete."""
    record = Record()
    parser = httptools.HttpRequestParser(record)
    try:
        parser.feed_data(data)
    except httptools.HttpParserUpgrade:
        return None  # CONNECT and Upgrade, which it leaves to others
    except httptools.HttpParserError as error:
        raise Refused(str(error)) from error
    return (parser.get_method().decode(), record.url.decode(), record.body) if record.complete == 1 else None


def by_h11(data):
    """The same by h11."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    head, body = None, b""
    while True:
        try:
            event = connection.next_event()
        except h11.RemoteProtocolError as error:
            raise Refused(str(error)) from error
        if isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            assert head is not None
            return head.method.decode(), head.target.decode(), body
        else:
            return None


def by_us(data, read):
    """The same by us; raises `ClientError`."""
    events = read(data, None, True)
    heads = [event for event in events if isinstance(event, RequestHead)]
    if len(heads) != 1:
        return None
    body = b"".join(event.data for event in events if isinstance(event, BodyChunk))
    assert isinstance(events[-1], EndOfRequest)
    return heads[0].method, heads[0].target, body


ORACLES = {"httptools": by_httptools, "h11": by_h11}
every_oracle = pytest.mark.parametrize("oracle", ORACLES)


def is_known(oracle, words, data):
    return any(
        known.oracle == oracle and re.fullmatch(known.words, words) and re.search(known.pattern, data)
        for known in DIFFERENCES
    )


def compare(oracle, data, read):
    """Hold one request against one oracle."""
    try:
        theirs = ORACLES[oracle](data)
    except Refused as refusal:
        if not is_known(oracle, str(refusal), data):
            with pytest.raises(ClientError):
                by_us(data, read)
        return
    try:
        ours = by_us(data, read)
    except ClientError:
        return  # stricter
    if ours is not None and theirs is not None:
        assert ours == theirs


@pytest.mark.parametrize("known", DIFFERENCES, ids=lambda known: known.reason)
def test_the_differences_are_still_there(known, refused):
    with pytest.raises(Refused, match=known.words):
        ORACLES[known.oracle](known.example)
    assert is_known(known.oracle, known.words.split("|")[0], known.example)
    assert refused(known.example) is None


def corpus():
    """Every file that is no more than one request."""
    for path in sorted(DATA.glob("*/*.http")):
        data = path.read_bytes()
        if "pipelined" not in path.stem and "between" not in path.stem:
            yield pytest.param(data, id=path.stem)


@pytest.mark.parametrize("data", list(corpus()))
@every_oracle
def test_the_corpus(oracle, data, read):
    compare(oracle, data, read)


# --- A generated corpus: requests from good and bad parts, and good ones damaged

LINES = st.sampled_from(
    [
        "GET / HTTP/1.1",
        "POST /a?b HTTP/1.1",
        "POST / HTTP/1.0",
        "PUT http://a/ HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "GET /",
        "GET  / HTTP/1.1",
        "get / HTTP/1.1",
        "FOO / HTTP/1.1",
        "GET / HTTP/1.2",
        "GET / HTTP/2.0",
        "GET /\xe9 HTTP/1.1",
        "GET /# HTTP/1.1",
        "GET * HTTP/1.1",
        "CONNECT a:1 HTTP/1.1",
        "GET /\x7f HTTP/1.1",
        "GET / HTTP/1.1 ",
        "HEAD / HTTP/1.1",
    ]
)
FIELDS = st.lists(
    st.sampled_from(
        [
            "Host: a",
            "Host: a",
            "Host: a",
            "Host: b",
            "host:",
            "Host: [::1",
            "Content-Length: 5",
            "Content-Length: 6",
            "content-length: 05",
            "Content-Length: 5, 5",
            "Content-Length: +5",
            "Content-Length:",
            "Content-Length: 99999999999999999999",
            "Transfer-Encoding: chunked",
            "Transfer-Encoding: Chunked",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: identity",
            "Transfer-Encoding:",
            "Connection: close",
            "Connection: keep-alive",
            "Expect: 100-continue",
            "X: y",
            "X:\tz ",
            " folded",
            "X : y",
            "X",
            ": y",
            "X_Y: z",
            "X: \x01",
            "X: \xff",
            "X: a\rb",
            "X: a\nb",
            "X\xff: y",
            "X: \0",
        ]
    ),
    max_size=5,
)
BODIES = st.sampled_from(
    [
        b"",
        b"hello",
        b"hello!",
        b"5\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\r\n0\r\nX: y\r\n\r\n",
        b"5;x=y\r\nhello\r\n0\r\n\r\n",
        b"5; x\r\nhello\r\n0\r\n\r\n",
        b"5 \r\nhello\r\n0\r\n\r\n",
        b" 5\r\nhello\r\n0\r\n\r\n",
        b"5\nhello\r\n0\r\n\r\n",
        b"5;x\ny\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"5\r\nhelloXX0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"00000000000000005\r\nhello\r\n0\r\n\r\n",
        b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        b"0\r\nX y\r\n\r\n",
        b"0\r\n\n",
    ]
)
ENDS = st.sampled_from(["\r\n", "\r\n", "\r\n", "\n", "\r", "\r\r\n", " \r\n"])

PARTS = st.tuples(LINES, FIELDS, ENDS, BODIES).map(
    lambda parts: "".join(f"{line}{parts[2]}" for line in [parts[0], *parts[1], ""]).encode("latin-1") + parts[3]
)
GOOD = [path.read_bytes() for path in sorted(DATA.glob("valid/*.http"))]
DAMAGES = st.lists(
    st.tuples(
        st.integers(0, 400), st.integers(0, 2), st.binary(max_size=2) | st.sampled_from([b"\r", b"\n", b"\r\n", b" "])
    ),
    min_size=1,
    max_size=2,
)


def damage(data, damages):
    damaged = bytearray(data)
    for at, length, replacement in damages:
        at %= len(damaged) + 1
        damaged[at : at + length] = replacement
    return bytes(damaged)


@every_oracle
@given(data=PARTS)
def test_requests_from_good_and_bad_parts(oracle, data, read):
    compare(oracle, data, read)


@every_oracle
@given(good=st.sampled_from(GOOD), damages=DAMAGES)
def test_damaged_requests(oracle, good, damages, read):
    assume(good.count(b"HTTP/1.") == 1)
    compare(oracle, damage(good, damages), read)


# --- That the comparison can fail: what libraries.md says of the oracles' holes is still so


@pytest.mark.parametrize(
    ("oracle", "data"),
    [
        ("h11", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("h11", b"GET / HTTP/1.1\nHost: a\n\n"),
        ("h11", b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n"),
        ("httptools", b"GET / HTTP/1.1\r\n\r\n"),
        ("httptools", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        ("httptools", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    ],
)
def test_we_are_stricter(oracle, data, refused):
    assert ORACLES[oracle](data) is not None
    assert refused(data) == 400


def test_httptools_loses_a_body_to_upgrade(read):
    """The trap that ours must not have: there the body became the next request."""
    data = (DATA / "valid" / "upgrade-with-length.http").read_bytes()
    record = Record()
    with pytest.raises(httptools.HttpParserUpgrade):
        httptools.HttpRequestParser(record).feed_data(data)
    assert (record.complete, record.body) == (1, b"")
    method, target, body = by_us(data, read)
    assert (method, target) == ("POST", "/form")
    assert body.startswith(b"GET /evil")
