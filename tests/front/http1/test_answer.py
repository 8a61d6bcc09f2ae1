"""The frame of an answer, and what an application may not put in it."""

from __future__ import annotations

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from itkwsgi.errors import AppError, Bug
from itkwsgi.front.http1.answer import CONTINUE, AnswerFramer

DATE = "Mon, 23 Nov 2026 12:00:00 GMT"
TEXT = [("Content-Type", "text/plain")]


@pytest.fixture(scope="session")
def framer(read_head):
    """A framer for a request, by its method, version and further fields; None: nothing could be read."""

    def make(method="GET", version="1.1", *fields, server=None, keep_alive=True):
        lines = [f"{method} / HTTP/{version}", "Host: a.example", *fields]
        head = read_head("".join(f"{line}\r\n" for line in lines).encode() + b"\r\n") if method else None
        return AnswerFramer(head, date=lambda: DATE, server=server, keep_alive=keep_alive)

    return make


def fields_of(head):
    """The fields of a serialized head as (lower name, value) pairs."""
    line, *fields, blank, rest = head.decode("latin-1").split("\r\n")
    assert line.startswith("HTTP/1.1 ")
    assert (blank, rest) == ("", "")
    return [(name.lower(), value) for name, value in (field.split(": ", 1) for field in fields)]


def values(head, name):
    return [value for found, value in fields_of(head) if found == name]


def answer(framer, status=200, fields=(), pieces=(b"hello",), **known):
    """(head, body on the wire)"""
    head = framer.begin(status, "Reason", list(fields), **known)
    return head, b"".join(map(framer.data, pieces)) + framer.end()


# --- Framing


def test_a_length_from_the_application(framer):
    head, body = answer(framer(), fields=[("content-length", "5")])
    assert values(head, "content-length") == ["5"]
    assert values(head, "transfer-encoding") == []
    assert body == b"hello"


def test_a_length_from_the_caller(framer):
    head, body = answer(framer(), length=5)
    assert values(head, "content-length") == ["5"]
    assert body == b"hello"


def test_an_empty_body_has_a_length(framer):
    head, body = answer(framer(), pieces=[], length=0)
    assert values(head, "content-length") == ["0"]
    assert body == b""


def test_chunks_for_1_1(framer):
    this = framer()
    head, body = answer(this, pieces=[b"hello", b"", b"x" * 26])
    assert values(head, "transfer-encoding") == ["chunked"]
    assert values(head, "content-length") == []
    assert body == b"5\r\nhello\r\n1a\r\n" + b"x" * 26 + b"\r\n0\r\n\r\n"
    assert this.keep_alive


@pytest.mark.parametrize("fields", [(), ("Connection: keep-alive",)])
def test_the_end_of_the_connection_for_1_0(framer, fields):
    this = framer("GET", "1.0", *fields)
    head, body = answer(this)
    assert values(head, "transfer-encoding") == values(head, "content-length") == []
    assert values(head, "connection") == ["close"]
    assert body == b"hello"
    assert not this.keep_alive


def test_no_request_is_answered_as_1_0(framer):
    this = framer(None)
    head, body = answer(this, 400)
    assert (values(head, "transfer-encoding"), values(head, "connection"), body) == ([], ["close"], b"hello")
    assert not this.keep_alive
    assert not this.bodiless
    head, _ = answer(framer(None), 400, length=5)
    assert values(head, "content-length") == ["5"]


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize(
    ("method", "status", "fields", "known", "length"),
    [
        ("HEAD", 200, [], {}, []),
        ("HEAD", 200, [("Content-Length", "5")], {}, ["5"]),
        ("HEAD", 200, [("Content-Length", "7")], {"length": 0}, ["7"]),
        ("HEAD", 200, [], {"length": 5}, ["5"]),
        ("HEAD", 200, [], {"length": 0}, []),
        ("HEAD", 304, [("Content-Length", "5")], {}, []),
        ("GET", 204, [], {}, []),
        ("GET", 204, [("Content-Length", "0")], {}, []),
        ("GET", 204, [("Content-Length", "5")], {"length": 5}, []),
        ("GET", 304, [], {"length": 0}, []),
        ("GET", 304, [("Content-Length", "5")], {}, []),
    ],
)
def test_no_octet_follows_a_bodiless_head(framer, method, version, status, fields, known, length):
    this = framer(method, version, "Connection: keep-alive")
    head, body = answer(this, status, fields, **known)
    assert this.bodiless
    assert body == b""
    assert values(head, "content-length") == length
    assert values(head, "transfer-encoding") == []
    assert this.keep_alive


def test_bodiless_is_known_early_for_head(framer):
    assert framer("HEAD").bodiless
    assert not framer("GET").bodiless


# --- Promises


@pytest.mark.parametrize("value", [["5"], ["5", "5"], ["5", "05"], [" 5\t"]])
def test_a_length_said_more_than_once_is_said_once(framer, value):
    head, _ = answer(framer(), fields=[("Content-Length", one) for one in value])
    assert values(head, "content-length") == ["5"]


@pytest.mark.parametrize(
    "value",
    [["", "5"], [""], ["5", "6"], ["-1"], ["+5"], ["5, 5"], ["0x5"], ["5.0"], ["\xb2"], ["1" * 19], ["9" * 5000]],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("status", [200, 204, 304])
def test_other_lengths_are_the_applications_fault(framer, method, value, status):
    with pytest.raises(AppError, match="Content-Length"):
        framer(method).begin(status, "", [("Content-Length", one) for one in value])


def test_a_length_that_contradicts_the_body_known(framer):
    with pytest.raises(AppError, match="5 bytes with a Content-Length of 6"):
        framer().begin(200, "OK", [("Content-Length", "6")], length=5)


@pytest.mark.parametrize("known", [{"length": 5}, {"fields": [("Content-Length", "5")]}])
def test_a_body_longer_than_promised(framer, known):
    this = framer()
    this.begin(200, "OK", known.pop("fields", []), **known)
    assert this.data(b"hell") == b"hell"
    assert this.keep_alive
    with pytest.raises(AppError, match="longer than its Content-Length"):
        this.data(b"o!")
    assert not this.keep_alive


@pytest.mark.parametrize("pieces", [[], [b"hell"], [b"h", b"", b"ell"]])
def test_a_body_shorter_than_promised(framer, pieces):
    this = framer()
    this.begin(200, "OK", [("Content-Length", "5")])
    assert b"".join(map(this.data, pieces)) == b"".join(pieces)
    with pytest.raises(AppError, match="shorter than its Content-Length"):
        this.end()
    assert not this.keep_alive


def test_only_in_order(framer):
    this = framer()
    for early in (this.end, lambda: this.data(b"x")):
        with pytest.raises(Bug):
            early()
    this.begin(200, "OK", [])
    with pytest.raises(Bug):
        this.begin(200, "OK", [])
    assert this.end() == b"0\r\n\r\n"
    for late in (this.end, lambda: this.data(b"x"), lambda: this.begin(103, "", [])):
        with pytest.raises(Bug):
            late()


# --- What the head says


def test_the_status_line(framer):
    assert framer().begin(404, "Not Found", []).startswith(b"HTTP/1.1 404 Not Found\r\n")
    assert framer("GET", "1.0").begin(200, "", []).startswith(b"HTTP/1.1 200 \r\n")
    assert framer().begin(599, "caf\xe9\t!", []).startswith(b"HTTP/1.1 599 caf\xe9\t!\r\n")


@pytest.mark.parametrize("status", [-1, 0, 99, 101, 1000, 2000])
def test_other_statuses_are_the_applications_fault(framer, status):
    with pytest.raises(AppError, match="status"):
        framer().begin(status, "", [])


@pytest.mark.parametrize("reason", ["a\r\nX: y", "a\n", "\0", "\x7f", "\u20ac"])
def test_other_reasons_are_the_applications_fault(framer, reason):
    with pytest.raises(AppError, match="reason"):
        framer().begin(200, reason, [])


@pytest.mark.parametrize("value", ["", "b", "b\tar", "caf\xe9", "\xff\x80"])
def test_values(framer, value):
    head = framer().begin(200, "OK", [("X-Name", f" {value}\t")])
    assert values(head, "x-name") == [value]


@pytest.mark.parametrize("status", [103, 200, 204])
@pytest.mark.parametrize(
    "field",
    [
        ("", "bar"),
        ("F\0oo", "x"),
        ("F\noo", "x"),
        ("F oo", "x"),
        ("Foo:", "x"),
        ("Foo ", "x"),
        ("F\xe9", "x"),
        ("Foo\n", "x"),
        ("Foo", "b\x01ar"),
        ("Foo", "b\x7f"),
        ("Foo", "b\r\nX: y"),
        ("Foo", "b\n"),
        ("Foo", "b\r"),
        ("Foo", "\0"),
        ("Foo", "\u20ac"),
        ("Connection", "close\r\n\r\n"),
        ("Content-Length", "5\n"),
    ],
)
def test_other_fields_are_the_applications_fault(framer, field, status):
    with pytest.raises(AppError):
        framer().begin(status, "OK", [*TEXT, field])


@pytest.mark.parametrize("status", [103, 200, 304])
@pytest.mark.parametrize(
    "name",
    [
        "Connection",
        "KEEP-ALIVE",
        "Proxy-Authenticate",
        "Proxy-Authorization",
        "proxy-connection",
        "TE",
        "Trailer",
        "Upgrade",
        "Transfer-Encoding",
    ],
)
def test_hop_by_hop_fields_are_dropped(framer, name, status):
    head = framer().begin(status, "OK", [(name, "gzip"), ("X", "y")])
    assert "gzip" not in head.decode()
    assert values(head, "x") == ["y"]


def test_order_case_and_repetitions_are_the_applications(framer):
    fields = [("Set-Cookie", "a=1"), ("x-B", "2"), ("Set-Cookie", "c=3")]
    head = framer().begin(200, "OK", fields)
    assert head.startswith(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nx-B: 2\r\nSet-Cookie: c=3\r\n")


@pytest.mark.parametrize("status", [200, 204, 301, 304, 400, 404, 500])
def test_one_date(framer, status):
    assert values(framer().begin(status, "", []), "date") == [DATE]
    theirs = [("date", "Tue, 01 Jan 2030 00:00:00 GMT"), ("DATE", "x")]
    assert values(framer().begin(status, "", theirs), "date") == ["Tue, 01 Jan 2030 00:00:00 GMT"]


def test_server(framer):
    assert values(framer().begin(200, "OK", []), "server") == []
    assert values(framer(server="itkwsgi").begin(200, "OK", []), "server") == ["itkwsgi"]
    assert values(framer(server="itkwsgi").begin(200, "OK", [("SERVER", "app")]), "server") == ["app"]


# --- The connection


@pytest.mark.parametrize(
    ("version", "request_fields", "caller", "fields", "said", "keep_alive"),
    [
        ("1.1", [], True, [], [], True),
        ("1.1", [], False, [], ["close"], False),
        ("1.1", ["Connection: close"], True, [], ["close"], False),
        ("1.1", [], True, [("connection", "x, Close")], ["close"], False),
        ("1.1", [], True, [("Connection", "keep-alive")], [], True),
        ("1.0", [], True, [], ["close"], False),
        ("1.0", ["Connection: keep-alive"], True, [], ["keep-alive"], True),
        ("1.0", ["Connection: keep-alive"], False, [], ["close"], False),
        ("1.0", ["Connection: keep-alive"], True, [("Connection", "close")], ["close"], False),
    ],
)
def test_what_is_said_of_the_connection(framer, version, request_fields, caller, fields, said, keep_alive):
    this = framer("GET", version, *request_fields, keep_alive=caller)
    head, _ = answer(this, fields=fields, length=5)
    assert values(head, "connection") == said
    assert this.keep_alive is keep_alive


@pytest.mark.parametrize(("caller", "said"), [(True, "upgrade"), (False, "upgrade, close")])
def test_upgrade_required_says_to_what(framer, caller, said):
    head = framer(keep_alive=caller).begin(426, "Upgrade Required", [("Upgrade", "TLS/1.3")])
    assert values(head, "upgrade") == ["TLS/1.3"]
    assert values(head, "connection") == [said]


# --- Interim answers


def test_interim_answers_come_before_the_final_one(framer):
    this = framer()
    for _ in range(2):
        hints = this.begin(103, "Early Hints", [("Link", "</a>"), ("Content-Length", "5"), ("Connection", "close")])
        assert hints == b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    head, body = answer(this, length=5)
    assert (values(head, "content-length"), values(head, "connection"), body) == (["5"], [], b"hello")


def test_1_0_gets_no_interim_answer(framer):
    assert framer("GET", "1.0").begin(103, "Early Hints", []) == b""
    assert framer(None).begin(103, "Early Hints", []) == b""


def test_continue():
    client = h11.Connection(h11.CLIENT)
    client.send(
        h11.Request(
            method="POST", target="/", headers=[("Host", "a"), ("Expect", "100-continue"), ("Content-Length", "1")]
        )
    )
    client.receive_data(CONTINUE)
    event = client.next_event()
    assert isinstance(event, h11.InformationalResponse)
    assert event.status_code == 100


# --- Read back by a client that others wrote

TOKENS = st.text(st.sampled_from("abcXYZ019-_.!"), min_size=1, max_size=9).map(lambda name: "X-" + name)
VALUES = st.text(st.characters(max_codepoint=255, exclude_categories=["Cc"]) | st.just("\t"), max_size=20)


@given(
    method=st.sampled_from(["GET", "HEAD", "POST"]),
    version=st.sampled_from(["1.0", "1.1"]),
    request_fields=st.sampled_from([[], ["Connection: close"], ["Connection: keep-alive"]]),
    keep_alive=st.booleans(),
    status=st.integers(200, 599),
    fields=st.lists(st.tuples(TOKENS, VALUES)),
    pieces=st.lists(st.binary()),
    length=st.sampled_from(["unknown", "from the application", "from the caller"]),
)
def test_a_client_reads_what_was_framed(
    framer, method, version, request_fields, keep_alive, status, fields, pieces, length
):
    this = framer(method, version, *request_fields, keep_alive=keep_alive)
    body = b"".join(pieces)
    given_fields = [*fields, ("Content-Length", str(len(body)))] if length == "from the application" else fields
    head, wire = answer(this, status, given_fields, pieces, length=len(body) if length == "from the caller" else None)

    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
    client.send(h11.EndOfMessage())
    client.receive_data(head + wire)
    if not this.keep_alive:
        client.receive_data(b"")
    response, received = read_response(client)
    assert response.status_code == status
    assert received == (b"" if this.bodiless else body)
    theirs = [(name.decode(), value.decode("latin-1")) for name, value in response.headers]
    assert theirs[: len(fields)] == [(name.lower(), value.strip(" \t")) for name, value in fields]
    assert (client.their_state is h11.DONE) is this.keep_alive


def read_response(client):
    """(head, body); the end must have come."""
    response = client.next_event()
    body = b""
    while isinstance(event := client.next_event(), h11.Data):
        body += bytes(event.data)
    assert isinstance(event, h11.EndOfMessage)
    return response, body
