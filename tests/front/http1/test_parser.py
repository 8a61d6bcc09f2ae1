"""The life of a connection: order of events, limits while bytes arrive, ends, and that no cut makes a difference."""

from __future__ import annotations

import itertools
import tracemalloc

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from itkwsgi.errors import Bug, ClientError
from itkwsgi.front.http1 import buffer as buffer_module
from itkwsgi.front.http1.buffer import Buffer
from itkwsgi.front.http1.events import BodyChunk, EndOfRequest, RequestHead
from itkwsgi.front.http1.parser import Limits, RequestParser

GET = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED_HEAD = b"POST /c HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKED = CHUNKED_HEAD + b'5;a="b"\r\nhello\r\n1\r\n!\r\n0\r\nX-Sum: 1\r\n\r\n'
SMALL = Limits(request_line=40, fields=3, field_size=30)


def fed(*pieces):
    parser = RequestParser(Limits())
    for piece in pieces:
        parser.feed(piece)
    return parser


def kinds(events):
    return [type(event) for event in events]


# --- Order


def test_the_events_of_a_request():
    parser = fed(POST)
    head, chunk, end = (parser.next_event() for _ in range(3))
    assert isinstance(head, RequestHead)
    assert chunk == BodyChunk(b"hello")
    assert end == EndOfRequest()
    assert parser.next_event() is None


def test_a_request_without_body_has_two_events(read):
    assert kinds(read(GET)) == [RequestHead, EndOfRequest]


def test_the_next_request_waits_until_it_is_asked_for():
    parser = fed(GET + POST)
    while not isinstance(parser.next_event(), EndOfRequest):
        assert parser.buffered == len(POST)
    assert parser.next_event() is None
    assert parser.buffered == len(POST)
    parser.start_next()
    head = parser.next_event()
    assert isinstance(head, RequestHead)
    assert head.method == "POST"


@pytest.mark.parametrize("data", [b"", b"GET ", POST[:-5], POST[:-1], POST, GET])
def test_the_next_request_cannot_start_before_the_end_of_the_last(data):
    parser = fed(data)
    if data:
        parser.next_event()
    with pytest.raises(Bug):
        parser.start_next()


def test_a_thousand_pipelined_requests(read):
    events = read(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % at for at in range(1000)))
    assert [event.path for event in events[::2]] == [b"/%d" % at for at in range(1000)]
    assert set(kinds(events[1::2])) == {EndOfRequest}


def test_empty_lines_between_requests(read):
    assert kinds(read(b"\r\n\r\n" + POST + b"\r\n" + GET + b"\r\n\r\n")) == [
        RequestHead,
        BodyChunk,
        EndOfRequest,
        RequestHead,
        EndOfRequest,
    ]


def test_nothing_fed_is_nothing():
    parser = fed(b"", b"")
    assert parser.next_event() is None
    assert parser.idle


# --- What it says of itself


def test_idle():
    parser = RequestParser(Limits())
    assert parser.idle
    parser.feed(b"\r\n")
    assert not parser.idle  # not looked at yet
    assert parser.next_event() is None
    assert parser.idle
    parser.feed(POST[:1])
    assert not parser.idle
    assert parser.next_event() is None
    assert not parser.idle
    parser.feed(POST[1:])
    while parser.next_event():
        assert not parser.idle
    assert not parser.idle  # it is being answered
    parser.start_next()
    assert parser.idle


def test_buffered_counts_a_head_until_it_is_an_event():
    parser = RequestParser(Limits())
    for at in range(len(GET) - 1):
        parser.feed(GET[at : at + 1])
        assert parser.next_event() is None
        assert parser.buffered == at + 1
    parser.feed(GET[-1:] + b"GET")
    assert parser.next_event() is not None
    assert parser.buffered == 3


# --- Ends


@pytest.mark.parametrize("drained", [True, False], ids=["read", "unread"])
@pytest.mark.parametrize("request_bytes", [GET, POST, CHUNKED], ids=["get", "length", "chunked"])
def test_an_end_within_a_request_is_an_error(request_bytes, drained):
    for at in range(1, len(request_bytes)):
        parser = fed(request_bytes[:at])
        while drained and parser.next_event():
            pass
        with pytest.raises(ClientError) as caught:
            parser.eof()
        assert caught.value.status == 400


@pytest.mark.parametrize("request_bytes", [b"", b"\r\n", GET, POST, CHUNKED])
def test_an_end_between_requests_is_none(request_bytes, read):
    parser = fed(request_bytes)
    parser.eof()
    parser.eof()
    assert kinds(iter(parser.next_event, None))[-1:] == kinds(read(request_bytes))[-1:]


def test_an_end_is_remembered_until_the_requests_before_it_are_read():
    parser = fed(GET + POST[:-1])
    parser.eof()
    assert kinds(iter(parser.next_event, None)) == [RequestHead, EndOfRequest]
    parser.start_next()
    assert isinstance(parser.next_event(), RequestHead)
    assert parser.next_event() == BodyChunk(b"hell")
    with pytest.raises(ClientError, match="ended within"):
        parser.next_event()


def test_a_head_given_out_late_cannot_be_skipped():
    parser = fed(GET)
    parser.eof()
    with pytest.raises(Bug):
        parser.start_next()


def test_an_error_is_final():
    parser = fed(b"GET / HTTP/2.0\r\n\r\n" + GET)
    for call in (parser.next_event, parser.next_event, parser.eof, parser.start_next, lambda: parser.feed(GET)):
        with pytest.raises(ClientError, match="version") as caught:
            call()
        assert caught.value.status == 505
    assert parser.buffered == 0


def test_what_came_before_an_error_is_read():
    parser = fed(POST + b"\0")
    assert kinds(iter(parser.next_event, None)) == [RequestHead, BodyChunk, EndOfRequest]
    parser.start_next()
    with pytest.raises(ClientError):
        parser.next_event()


# --- Limits


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /" + b"x" * 26 + b" HTTP/1.1\r\nHost: a\r\n\r\n", None),
        (b"GET /" + b"x" * 27 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET /" + b"x" * 36, 414),
        (b"x" * 41, 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 27 + b"\r\n\r\n", None),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 28 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 28, 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 15 + b"\r\nX: " + b"x" * 15 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 15 + b"\r\nY: " + b"x" * 15 + b"\r\n\r\n", None),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nX: y\r\n\r\n", None),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nX: y\r\nX: y\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX_X: y\r\nX_X: y\r\nX_X: y\r\n", 431),
    ],
)
def test_limits_are_exact(data, status, read):
    for pieces in (data, [data[at : at + 1] for at in range(len(data))]):
        if status is None:
            assert isinstance(read(pieces, SMALL)[-1], EndOfRequest)
        else:
            with pytest.raises(ClientError) as caught:
                read(pieces, SMALL)
            assert caught.value.status == status


@pytest.mark.parametrize(
    ("limits", "data", "status"),
    [
        (Limits(200, 3, 20), b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 18 + b"\r\n\r\n", 431),
        (Limits(20, 3, 200), b"GET /" + b"x" * 20 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    ],
)
def test_each_limit_holds_when_the_other_is_large(limits, data, status, read):
    with pytest.raises(ClientError) as caught:
        read(data, limits)
    assert caught.value.status == status


def test_the_first_fault_counts(read):
    """In the order of arrival: what came before a too long line is judged before it."""
    for data, status in (
        (b"GET / HTTP/2.0\r\nX: " + b"x" * 100, 505),
        (b"GET / HTTP/1.1\r\nX: \0" + b"x" * 100, 400),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 100 + b"\0", 431),
        (b"GET \0" + b"x" * 100, 400),
        (b"GET " + b"x" * 100 + b"\0", 414),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 4 + b"\0", 431),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 3 + b"\0", 400),
    ):
        with pytest.raises(ClientError) as caught:
            read(data, SMALL)
        assert caught.value.status == status


@pytest.mark.parametrize(
    "endless",
    [
        b"x",
        b"\r\n",
        b"GET / HTTP/1.1\r\nX: |x",
        b"GET / HTTP/1.1\r\n|X: y\r\n",
        b"GET / HTTP/1.1\r\n|X: " + b"y" * 8000 + b"\r\n",
        CHUNKED_HEAD + b"|0",
        CHUNKED_HEAD + b"5;|x",
        CHUNKED_HEAD + b'5;x="|x',
        CHUNKED_HEAD + b"|1\r\nx\r\n",
        CHUNKED_HEAD + b"0\r\n|X: y\r\n",
        CHUNKED_HEAD + b"0\r\nX: |y",
    ],
    ids=[
        "line",
        "blank-lines",
        "field",
        "fields",
        "long-fields",
        "size",
        "extension",
        "quoted",
        "chunks",
        "trailers",
        "trailer",
    ],
)
def test_what_never_ends_is_refused_in_bounded_memory(endless):
    start, _, repeated = endless.rpartition(b"|")
    parser = fed(start)
    portion = repeated * (1 + 1000 // len(repeated))
    with pytest.raises(ClientError):  # noqa: PT012
        for _ in range(1000):
            while parser.next_event():
                assert parser.buffered <= Limits().head_size + len(portion)
            parser.feed(portion)
    assert parser.buffered == 0


def test_a_large_feed_is_not_copied():
    """64 MB of a request line, or of a body, cost no more than one piece."""
    start = b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 67108864\r\n\r\n"
    body = start + bytes(64 << 20)
    garbage = b"x" * (64 << 20)
    tracemalloc.start()
    parser = fed(garbage)
    with pytest.raises(ClientError):
        parser.next_event()
    size = sum(len(event.data) for event in iter(fed(body).next_event, None) if isinstance(event, BodyChunk))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size == 64 << 20
    assert peak < 1 << 20


class CountingPattern:
    """Stands in for the search for controls: counts the octets it may look at."""

    def __init__(self, pattern):
        self.pattern = pattern
        self.octets = 0

    def search(self, data, start, end):
        self.octets += max(0, min(end, len(data)) - start)
        return self.pattern.search(data, start, end)


@pytest.mark.parametrize("long", ["target", "field", "fields"])
def test_a_head_that_comes_by_octet_is_looked_at_once(long, monkeypatch, read):
    """Work is counted, not time: octets searched, and octets in the buffer when it is searched for a whole head."""
    head = {
        "target": b"GET /" + b"x" * 8000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        "field": b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 8000 + b"\r\n\r\n",
        "fields": b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: 789012\r\n" * 99 + b"\r\n",
    }[long]
    counting = CountingPattern(buffer_module.CONTROL)
    monkeypatch.setattr(buffer_module, "CONTROL", counting)
    seen_whole = []
    paragraph = Buffer.paragraph

    def counted(self, *args):
        if self._scanned == self._pos:
            seen_whole.append(len(self))
        return paragraph(self, *args)

    monkeypatch.setattr(Buffer, "paragraph", counted)
    assert isinstance(read([head[at : at + 1] for at in range(len(head))])[-1], EndOfRequest)
    assert counting.octets <= 2 * len(head)
    assert sum(seen_whole) <= 10


def test_a_body_that_comes_by_octet_is_looked_at_once(monkeypatch, read):
    counting = CountingPattern(buffer_module.CONTROL)
    monkeypatch.setattr(buffer_module, "CONTROL", counting)
    data = CHUNKED_HEAD + b'20;x="' + b"y" * 200 + b'"\r\n' + b"z" * 32 + b"\r\n0\r\nX: " + b"y" * 8000 + b"\r\n\r\n"
    assert isinstance(read([data[at : at + 1] for at in range(len(data))])[-1], EndOfRequest)
    assert counting.octets <= 2 * len(data)


# --- No cut makes a difference


REQUESTS = [GET, POST, CHUNKED, b"\r\n" + GET, POST + b"\r\n", b"GET / HTTP/1.0\r\n\r\n"]
FAULTS = [
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\nHost: a\n\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 40 + b"\r\n\r\n",
    b"GET /" + b"y" * 40 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 3 + b"\r\n",
    b"\r\n\r\n\r\n",
    CHUNKED.replace(b"!\r\n", b"!\n"),
    CHUNKED[:-2] + b"\0",
]


def outcome(read, pieces, limits):
    """The events, or the status, of some bytes."""
    try:
        return read(pieces, limits, True)
    except ClientError as error:
        return error.status


def cut(data, places):
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[a:b] for a, b in itertools.pairwise(edges)]


@given(st.lists(st.sampled_from(REQUESTS + FAULTS), max_size=4), st.lists(st.integers(0, 1000)), st.booleans())
def test_requests_are_the_same_however_they_are_cut(read, requests, places, small):
    data = b"".join(requests)
    limits = SMALL if small else Limits()
    assert outcome(read, cut(data, places), limits) == outcome(read, data, limits)


@given(
    st.sampled_from(REQUESTS + FAULTS),
    st.lists(st.tuples(st.integers(0, 200), st.binary(max_size=3)), max_size=3),
    st.lists(st.integers(0, 1000)),
    st.booleans(),
)
def test_damaged_requests_are_the_same_however_they_are_cut(read, request_bytes, damages, places, small):
    data = bytearray(request_bytes)
    for at, replacement in damages:
        data[at : at + 1] = replacement
    limits = SMALL if small else Limits()
    expected = outcome(read, bytes(data), limits)
    assert outcome(read, cut(bytes(data), places), limits) == expected
    assert outcome(read, [bytes(data[at : at + 1]) for at in range(len(data))], limits) == expected


@given(st.lists(st.binary()))
@example([b"GET / HTTP/1.1\r\nHost: [", b"::1\r\n\r\n"])
@example([b"GET / HTTP/1.1\r\nHost: a:" + b"9" * 5000 + b"\r\n\r\n"])
@example([b"GET http://[/ HTTP/1.1\r\nHost: [\r\n\r\n"])
def test_random_bytes_never_raise_anything_else(read, pieces):
    status = outcome(read, pieces, SMALL)
    assert isinstance(status, list) or status in (400, 405, 414, 417, 431, 501, 505)


@given(st.text(st.sampled_from('GETPOS /:.-_%20aA1,;="\t\r\nHostContlgthrasfEdukpx[]@?#*\0\x7f\xe9'), max_size=200))
def test_random_heads_never_raise_anything_else(read, text):
    data = f"GET / HTTP/1.1\r\nHost: a\r\n{text}\r\n\r\n".encode("latin-1")
    status = outcome(read, data, Limits())
    assert isinstance(status, list) or status in (400, 405, 414, 417, 431, 501, 505)
