"""Hosts that are accepted, hosts that are not."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itkwsgi.errors import ClientError
from itkwsgi.front.http1.authority import parse_authority


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("a", "a", None),
        ("a:1", "a", 1),
        ("A.", "a", None),
        ("A.:8080", "a", 8080),
        ("WWW.Example.COM", "www.example.com", None),
        ("foo_bar.example.com", "foo_bar.example.com", None),
        ("xn--bcher-kva.example", "xn--bcher-kva.example", None),
        ("-a-.example", "-a-.example", None),
        ("1and1.example", "1and1.example", None),
        ("3com", "3com", None),
        ("127.0.0.1", "127.0.0.1", None),
        ("127.0.0.1:65535", "127.0.0.1", 65535),
        ("255.255.255.255", "255.255.255.255", None),
        ("1.2.3.4.example", "1.2.3.4.example", None),
        ("localhost:", "localhost", None),
        ("localhost:00080", "localhost", 80),
        ("[::1]", "[::1]", None),
        ("[A::1]:123", "[a::1]", 123),
        ("[4711:abcd::]:8000", "[4711:abcd::]", 8000),
        ("[::ffff:127.0.0.1]", "[::ffff:127.0.0.1]", None),
        (".".join(["a" * 63] * 3 + ["b" * 61]), ".".join(["a" * 63] * 3 + ["b" * 61]), None),
    ],
)
def test_accepts(text, host, port):
    assert parse_authority(text) == (host, port)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        ".a",
        "a..",
        "a..b",
        ":80",
        "a b",
        "a,b",
        "a/b",
        "a\\b",
        "a?b",
        "a#b",
        "b\xfccher.example",
        "foo@localhost:80",
        "@a",
        "localhost:80:80",
        "localhost:0",
        "localhost:65536",
        "localhost:100000",
        "localhost:-1",
        "localhost:+80",
        "localhost: 80",
        "localhost:8o",
        "localhost:\xb2",
        "017700000001",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0x",
        "a.0x1f",
        "127.1",
        "127.0.1",
        "127.01.0.1",
        "127.0.0.01",
        "127.0.0.256",
        "127.0.0.1.1",
        "a.1",
        "%3127.0.0.1",
        "%61.example",
        "[4712::abcd::]",
        "[::1",
        "::1",
        "[]",
        "[:]",
        "[::1]80",
        "[::1]:0",
        "[::1%25eth0]",
        "[::1%eth0]",
        "[v1.a]",
        "[127.0.0.1]",
        "[::127.0.0.01]",
        "[12345::]",
        "[[::1]]",
        "a" * 64,
        ".".join(["a" * 63] * 3 + ["b" * 62]),
    ],
)
def test_refuses(text):
    with pytest.raises(ClientError) as caught:
        parse_authority(text)
    assert caught.value.status == 400


@given(st.ip_addresses(v=4))
def test_every_ipv4_address_is_a_host(address):
    assert parse_authority(str(address)) == (str(address), None)


@given(st.ip_addresses(v=6), st.integers(1, 65535))
def test_every_ipv6_address_is_a_host(address, port):
    host, found = parse_authority(f"[{address.exploded.upper()}]:{port}")
    assert (ipaddress.ip_address(host[1:-1]), found) == (address, port)


@given(st.text(st.characters(max_codepoint=255)))
def test_whatever_is_accepted_stays_the_same_when_read_again(text):
    try:
        host, _ = parse_authority(text)
    except ClientError:
        return
    assert parse_authority(host) == (host, None)
