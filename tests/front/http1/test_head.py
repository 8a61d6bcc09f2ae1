"""The rules of the request line and of the fields, one by one."""

from __future__ import annotations

import time

import pytest

from itkwsgi.errors import ClientError
from itkwsgi.front.http1.events import RequestHead
from itkwsgi.front.http1.head import build_head, check_merged_size, lex_fields, parse_request_line

POST = "POST / HTTP/1.1"


def test_everything_in_its_place(read_head):
    head = read_head(
        b"POST /a/%62/../c?d=%65 HTTP/1.1\r\nHost: A.Example.:8080\r\nX-Name:\t caf\xe9 \r\nx-name: b\r\n"
        b"Content-Length: 3\r\nExpect: 100-Continue\r\n\r\n"
    )
    assert head == RequestHead(
        method="POST",
        target="/a/%62/../c?d=%65",
        raw_path="/a/%62/../c",
        path=b"/a/c",
        query="d=%65",
        version=(1, 1),
        host="a.example",
        port_in_host=8080,
        fields=(
            ("host", "A.Example.:8080"),
            ("x-name", "caf\xe9"),
            ("x-name", "b"),
            ("content-length", "3"),
            ("expect", "100-Continue"),
        ),
        content_length=3,
        chunked=False,
        keep_alive=True,
        expect_continue=True,
    )


# --- The request line


@pytest.mark.parametrize("method", ["GET", "get", "PROPFIND", "X", "!#$%&'*+-.^_`|~09", "M" * 32])
def test_any_token_is_a_method(method):
    assert parse_request_line(f"{method} / HTTP/1.1").method == method


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("", 400),
        ("GET", 400),
        ("GET /", 400),
        ("GET / ", 400),
        ("GET  / HTTP/1.1", 400),
        ("GET /  HTTP/1.1", 400),
        ("GET / HTTP/1.1 ", 400),
        (" GET / HTTP/1.1", 400),
        ("GET\t/ HTTP/1.1", 400),
        ("GET / HTTP/1.1\n", 400),
        ("GET / HTTP/1", 400),
        ("GET / HTTP/1.", 400),
        ("GET / HTTP/1.1.1", 400),
        ("GET / HTTP/11.1", 400),
        ("GET / HTTP/1.\xb9", 400),
        ("GET / http/1.1", 400),
        ("GET / HTTPS/1.1", 400),
        ("GET / ICY/1.1", 400),
        ("G/T / HTTP/1.0", 400),
        ("G(T / HTTP/1.1", 400),
        ("G\xc9T / HTTP/1.1", 400),
        ("GET /\x01 HTTP/1.1", 400),
        ("GET /\x7f HTTP/1.1", 400),
        ("GET /\xe9 HTTP/1.1", 400),
        ("GET /a b HTTP/1.1", 400),
        ("GET /#a HTTP/1.1", 400),
        ("GET /../ HTTP/1.1", 400),
        ("GET / HTTP/0.9", 505),
        ("GET / HTTP/1.2", 505),
        ("GET / HTTP/1.9", 505),
        ("GET / HTTP/2.0", 505),
        ("GET / HTTP/3.0", 505),
        ("PRI * HTTP/2.0", 505),
        ("CONNECT / HTTP/1.1", 405),
        ("CONNECT a.example:443 HTTP/1.1", 405),
        ("TRACE / HTTP/1.1", 405),
        ("M" * 33 + " / HTTP/1.1", 501),
    ],
)
def test_other_request_lines_are_refused(line, status):
    with pytest.raises(ClientError) as caught:
        parse_request_line(line)
    assert caught.value.status == status


@pytest.mark.parametrize("octet", [chr(at) for at in range(0x21, 0x7F) if chr(at) not in "#%?."])
def test_any_visible_character_may_stand_in_a_target(octet):
    """Browsers send brackets, braces and bars as they are."""
    line = parse_request_line(f"GET /{octet}?{octet} HTTP/1.1")
    assert (line.parts.path, line.parts.query) == (f"/{octet}".encode(), octet)


# --- The lines of fields


def test_fields_keep_their_order_and_repetitions():
    assert lex_fields("B: 1\r\na:2\r\nb: \t3 4\t \r\n") == [("b", "1"), ("a", "2"), ("b", "3 4")]
    assert lex_fields("") == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (" a: b\r\n", "folded"),
        ("a: b\r\n c\r\n", "folded"),
        ("a: b\r\n\tc: d\r\n", "folded"),
        ("a: b\r\n \r\nc: d\r\n", "folded"),
        ("a : b\r\n", "before a header field's colon"),
        ("a\t: b\r\n", "before a header field's colon"),
        (" : b\r\n", "folded"),
        (": b\r\n", "malformed"),
        ("a\r\n", "malformed"),
        ("a b: c\r\n", "malformed"),
        ("a(b): c\r\n", "malformed"),
        ("\xe9: b\r\n", "malformed"),
        ("\x85a: b\r\n", "malformed"),
        ("a: b\n", "malformed"),
        ("a: b\nc: d\r\n", "malformed"),
        ("a: b\x85c\x00\r\n", "malformed"),
        ("a: b\rc: d\r\n", "malformed"),
        ("a: \x0b\r\n", "malformed"),
        ("a: b\r\nc\r\nd: e\r\n", "malformed"),
    ],
)
def test_other_lines_are_refused(text, why):
    with pytest.raises(ClientError, match=why) as caught:
        lex_fields(text)
    assert caught.value.status == 400


@pytest.mark.parametrize("octet", [at for at in range(256) if at not in (9, 10, 13) and (at < 32 or at == 127)])
def test_no_control_may_stand_in_a_field(octet):
    for text in (f"a: b{chr(octet)}c\r\n", f"a{chr(octet)}: c\r\n"):
        with pytest.raises(ClientError):
            lex_fields(text)


def test_white_space_is_only_space_and_tab():
    assert lex_fields("a: \xa0b\x85\r\n") == [("a", "\xa0b\x85")]


def test_many_spaces_are_no_burden():
    """A strip by an expression that tries every space would need minutes for this."""
    began = time.process_time()
    assert lex_fields(f"a: b{' ' * 1_000_000}c\r\n")[0][0] == "a"
    with pytest.raises(ClientError):
        lex_fields(f"a: b{' ' * 1_000_000}\x01\r\n")
    assert time.process_time() - began < 10


@pytest.mark.parametrize("name", ["X_Name", "_", "Content_Length", "Transfer_Encoding", "Host_", "Proxy", "PROXY"])
def test_names_that_could_pose_as_others_are_dropped(name, read_head, request_of):
    head = read_head(request_of("GET / HTTP/1.1", f"{name}: chunked", "Proxy-Authorization: x"))
    assert head.fields == (("host", "a.example"), ("proxy-authorization", "x"))
    assert not head.has_body


def test_the_size_of_fields_of_one_name_adds_up():
    fields = [("a", "x" * 10), ("b", "x" * 20), ("a", "x" * 10)]
    check_merged_size(fields, 25)
    with pytest.raises(ClientError) as caught:
        check_merged_size(fields, 24)
    assert caught.value.status == 431
    check_merged_size([], 0)


# --- Host


def test_the_absolute_target_and_host_agree(read_head, request_of):
    for host in ("Host: a.example:80", "Host: a.example", "Host: A.EXAMPLE."):
        head = read_head(request_of("GET http://a.example:80/x HTTP/1.1", host=host))
        assert (head.host, head.port_in_host, head.raw_path) == ("a.example", 80, "/x")


@pytest.mark.parametrize(
    ("target", "host"),
    [
        ("http://b.example/", "Host: a.example"),
        ("http://a.example/", "Host: a.example:8080"),
        ("http://a.example:8080/", "Host: a.example"),
        ("https://a.example/", "Host: a.example:80"),
        ("http://a.example/", "Host:"),
        ("http://a.example/", None),
    ],
)
def test_a_host_that_disagrees_with_the_target_is_refused(target, host, refused, request_of):
    assert refused(request_of(f"GET {target} HTTP/1.1", host=host)) == 400


@pytest.mark.parametrize("scheme", ["http", "HTTPS"])
def test_http_1_0_may_do_without_host(scheme, read_head, request_of):
    head = read_head(request_of("GET / HTTP/1.0", host=None))
    assert (head.host, head.port_in_host) == ("", None)
    head = read_head(request_of(f"GET {scheme}://a.example:81/ HTTP/1.0", host=None))
    assert (head.host, head.port_in_host) == ("a.example", 81)


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("more", ["Host: a.example", "Host: b.example", "host:"])
def test_two_hosts_are_refused(version, more, refused, request_of):
    assert refused(request_of(f"GET / HTTP/{version}", more)) == 400


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("host", ["", "a b", "a,b", "a@b", "0x7f.1", "a.example\xa0"])
def test_a_malformed_host_is_refused(version, host, refused, request_of):
    assert refused(request_of(f"GET / HTTP/{version}", host=f"Host: {host}")) == 400


# --- Framing


@pytest.mark.parametrize(
    ("value", "length"),
    [("0", 0), ("0" * 34, 0), ("5", 5), ("0" * 5000 + "5", 5), ("9223372036854775807", 2**63 - 1)],
)
def test_content_length(value, length, read_head, request_of):
    assert read_head(request_of(POST, f"Content-Length: {value}")).content_length == length


@pytest.mark.parametrize(
    "value",
    [
        "",
        "-1",
        "+1",
        "1 1",
        "1,1",
        "1, 1",
        "1.0",
        "1e1",
        "0x1",
        "1_0",
        "123abc",
        "\xb2",
        "9223372036854775808",
        "1" * 34,
        "1" + "0" * 33,
        "1" * 5000,
    ],
)
def test_other_lengths_are_refused(value, refused, request_of):
    assert refused(request_of(POST, f"Content-Length: {value}")) == 400


@pytest.mark.parametrize("second", ["5", "6", "", "0"])
def test_two_lengths_are_refused(second, refused, request_of):
    assert refused(request_of(POST, "Content-Length: 5", f"Content-Length: {second}", body=b"hello")) == 400


@pytest.mark.parametrize("value", ["chunked", "CHUNKED", "  chunked  "])
def test_chunked(value, read_head, request_of):
    head = read_head(request_of(POST, f"Transfer-Encoding:{value}"))
    assert (head.chunked, head.content_length) == (True, None)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "identity",
        "gzip",
        "gzip, chunked",
        "chunked, gzip",
        "chunked, chunked",
        "chunked,",
        ", chunked",
        "chunked;a=b",
        '"chunked"',
        "xchunked",
        "chunkedx",
        "chun ked",
        "\xa0chunked",
        "chunked\x85",
        "chun\u00adked",
    ],
)
def test_other_codings_are_refused(value, refused, request_of):
    assert refused(request_of(POST, f"Transfer-Encoding: {value}", body=b"0\r\n\r\n")) == 400


@pytest.mark.parametrize("field", ["Transfer-Encoding:{}chunked{}", "content-length:{}5{}"])
@pytest.mark.parametrize("white_space", [("\t", ""), ("", "\t"), (" \t", ""), ("", " \t ")])
def test_tabs_around_what_frames_are_refused(field, white_space, refused, request_of):
    for more in ((), ("X: y",)):
        data = request_of(POST, "A: b", field.format(*white_space), *more, body=b"0\r\n\r\n")
        assert refused(data) == 400
    assert refused(request_of(POST, "X-" + field.format(*white_space))) is None


@pytest.mark.parametrize(
    "fields",
    [
        ("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
        ("Transfer-Encoding: chunked", "Content-Length: 5"),
        ("Content-Length: 5", "Transfer-Encoding: chunked"),
        ("Content-Length: 0", "Transfer-Encoding: chunked"),
    ],
)
def test_framing_said_twice_is_refused(fields, refused, request_of):
    assert refused(request_of(POST, *fields, body=b"0\r\n\r\n")) == 400


def test_http_1_0_has_no_chunks(refused, request_of):
    assert refused(request_of("POST / HTTP/1.0", "Transfer-Encoding: chunked", body=b"0\r\n\r\n")) == 400


# --- Connection, Expect, Upgrade


@pytest.mark.parametrize(
    ("version", "fields", "keep_alive"),
    [
        ("1.1", [], True),
        ("1.1", ["Connection: keep-alive"], True),
        ("1.1", ["Connection: close"], False),
        ("1.1", ["Connection: CLOSE"], False),
        ("1.1", ["Connection: keep-alive, close"], False),
        ("1.1", ["Connection: upgrade ,\tclose"], False),
        ("1.1", ["Connection: x", "Connection: close"], False),
        ("1.1", ["Connection: closed"], True),
        ("1.1", ["Connection:"], True),
        ("1.0", [], False),
        ("1.0", ["Connection: Keep-Alive"], True),
        ("1.0", ["Connection: close"], False),
        ("1.0", ["Connection: keep-alive, close"], False),
        ("1.0", ["Connection: x"], False),
    ],
)
def test_keep_alive(version, fields, keep_alive, read_head, request_of):
    assert read_head(request_of(f"GET / HTTP/{version}", *fields)).keep_alive is keep_alive


@pytest.mark.parametrize(
    ("version", "fields", "expected"),
    [
        ("1.1", ["Expect: 100-continue", "Content-Length: 1"], True),
        ("1.1", ["Expect: 100-CONTINUE", "Transfer-Encoding: chunked"], True),
        ("1.1", ["Expect: 100-continue, 100-continue", "Content-Length: 1"], True),
        ("1.1", ["Expect: 100-continue"], False),
        ("1.1", ["Expect: 100-continue", "Content-Length: 0"], False),
        ("1.1", ["Expect:", "Content-Length: 1"], False),
        ("1.0", ["Expect: 100-continue", "Content-Length: 1"], False),
    ],
)
def test_expect_continue(version, fields, expected, read_head, request_of):
    assert read_head(request_of(f"POST / HTTP/{version}", *fields)).expect_continue is expected


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("value", ["200-ok", "100-continue, x", "100-continue;a=b", "100"])
def test_other_expectations_are_refused(version, value, refused, request_of):
    assert refused(request_of(f"POST / HTTP/{version}", f"Expect: {value}")) == 417


@pytest.mark.parametrize("upgrade", ["h2c", "websocket", "TLS/1.0", "anything"])
def test_an_upgrade_changes_nothing(upgrade, read, request_of):
    body = b"GET /evil HTTP/1.1\r\nHost: evil.example\r\n\r\n"
    fields = ["Connection: Upgrade", f"Upgrade: {upgrade}", f"Content-Length: {len(body)}"]
    head, chunk, _ = read(request_of(POST, *fields, body=body))
    assert head.fields[1:] == (("connection", "Upgrade"), ("upgrade", upgrade), ("content-length", str(len(body))))
    assert head.keep_alive
    assert chunk.data == body


def test_a_head_can_be_built_without_a_parser():
    head = build_head(parse_request_line("OPTIONS * HTTP/1.0"), [])
    assert (head.path, head.host, head.keep_alive) == (b"*", "", False)
