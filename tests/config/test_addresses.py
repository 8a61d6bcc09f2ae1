"""Addresses to listen on and names of sites: one spelling each."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itkwsgi.config.addresses import parse_host, parse_listen, parse_socket_path
from itkwsgi.config.model import Listen
from itkwsgi.ini.values import Wrong


def refusal(raw: object) -> str:
    with pytest.raises(Wrong) as caught:
        parse_listen(raw, "/etc/itkwsgi")
    fault = caught.value.faults[0]
    return f"{fault.message} ({fault.hint})" if fault.hint else fault.message


@pytest.mark.parametrize(
    ("raw", "listen"),
    [
        ("127.0.0.1:8080", Listen("tcp", "127.0.0.1", 8080, "", "127.0.0.1:8080")),
        ("0.0.0.0:00080", Listen("tcp", "0.0.0.0", 80, "", "0.0.0.0:80")),
        ("[::1]:8080", Listen("tcp", "::1", 8080, "", "[::1]:8080")),
        ("[0:0::A]:1", Listen("tcp", "::a", 1, "", "[::a]:1")),
        ("unix:/run/x.sock", Listen("unix", "", 0, "/run/x.sock", "unix:/run/x.sock")),
        ("unix:x/../y.sock", Listen("unix", "", 0, "/etc/itkwsgi/y.sock", "unix:/etc/itkwsgi/y.sock")),
    ],
)
def test_listeners(raw: str, listen: Listen) -> None:
    assert parse_listen(raw, "/etc/itkwsgi") == listen


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("localhost:80", '"localhost:80" is not a numeric address (did you mean 127.0.0.1:80?)'),
        ("*:80", '"*:80" is not a numeric address (did you mean 0.0.0.0:80?)'),
        (":80", '":80" is not a numeric address (did you mean 0.0.0.0:80?)'),
        ("127.0.0.1:0", '"127.0.0.1:0": 0 is no port: 1 to 65535'),
        ("127.0.0.1:65536", '"127.0.0.1:65536": 65536 is no port: 1 to 65535'),
        ("[::ffff:1.2.3.4]:80", '"[::ffff:1.2.3.4]:80": IPv6 listeners take IPv6 only (did you mean 1.2.3.4:80?)'),
        ("[fe80::1%eth0]:80", '"[fe80::1%eth0]:80": an address with a zone is not supported'),
        ("unix:", "it is empty"),
        ("unix:@x", '"@x": abstract sockets are not supported: anyone may take their names'),
        ("unix:/run/", '"/run/" is a directory, not the path of a socket'),
        (8080, '8080 is not text (write "8080")'),
    ],
)
def test_no_listeners(raw: object, message: str) -> None:
    assert refusal(raw) == message


@pytest.mark.parametrize(
    "raw", ["8080", "127.0.0.1", "::1:80", "[::1]", "[::1]80", "1.2.3:80", "01.2.3.4:80", "[x]:80", "a b:80"]
)
def test_other_text_is_told_the_forms(raw: str) -> None:
    assert refusal(raw).endswith('(write "127.0.0.1:8080", "[::1]:8080" or "unix:/path")')


def test_a_socket_must_fit_its_address() -> None:
    longest = "/" + "x" * 106
    assert parse_socket_path(longest, "/") == longest
    assert refusal(f"unix:{longest}x").endswith("is too long for a socket: 108 bytes, at most 107")
    assert "108 bytes" in refusal("unix:/x" + "ü" * 53)


@given(st.ip_addresses(), st.integers(1, 65535))
def test_every_address_has_one_spelling(address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int) -> None:
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return
        spellings = [f"[{address}]:{port}", f"[{address.exploded.upper()}]:{port}"]
    else:
        spellings = [f"{address}:{port}"]
    parsed = {parse_listen(spelling, "/") for spelling in spellings}
    assert len(parsed) == 1
    (listen,) = parsed
    assert parse_listen(listen.text, "/elsewhere") == listen
    assert ipaddress.ip_address(listen.host) == address and listen.port == port


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("Jess.Example.ORG", "jess.example.org"),
        ("jess.example.org.", "jess.example.org"),
        ("*.example.org", "*.example.org"),
        ("*.Example.org.", "*.example.org"),
        ("localhost", "localhost"),
        ("foo_bar.example", "foo_bar.example"),
        ("127.0.0.1", "127.0.0.1"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("*.BÜCHER.example", "*.xn--bcher-kva.example"),
        ("日本。jp", "xn--wgv71a.jp"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("a" * 63 + ".example", "a" * 63 + ".example"),
    ],
)
def test_names(raw: str, name: str) -> None:
    assert parse_host(raw) == name
    assert parse_host(name) == name


@pytest.mark.parametrize(
    ("raw", "hint"),
    [
        ("a.example:80", "write the name without the port, which belongs in listen"),
        ("http://a.example/", "write the name alone, without scheme and path"),
        ("*", 'a star stands for whole labels at the front: "*.example.org"'),
        ("a.*.example", 'a star stands for whole labels at the front: "*.example.org"'),
        ("www*.example", 'a star stands for whole labels at the front: "*.example.org"'),
        ("*.", 'a star stands for whole labels at the front: "*.example.org"'),
        ("a b", ""),
        ("a..b", ""),
        (".a", ""),
        ("a..", ""),
        (".", ""),
        ("-a.example", ""),
        ("a-.example", ""),
        ("a" * 64, ""),
        ("ü" * 64, ""),
        ("ü" * 300, ""),
        ("a." * 127 + "a" * 30, ""),
        ("a/b", ""),
        ("[::1]", ""),
        ("é.\u0085b", ""),
    ],
)
def test_no_names(raw: str, hint: str) -> None:
    with pytest.raises(Wrong) as caught:
        parse_host(raw)
    fault = caught.value.faults[0]
    assert "is not a host name" in fault.message and fault.hint == hint


@given(
    st.text(max_size=30) | st.from_regex(r"(\*\.)?[A-Za-z0-9_üÄ-]{1,9}(\.[A-Za-z0-9_ü-]{1,9}){0,3}\.?", fullmatch=True)
)
def test_a_name_is_canonical_or_refused(raw: str) -> None:
    try:
        name = parse_host(raw)
    except Wrong:
        return
    assert name.isascii() and name == name.lower() and parse_host(name) == name
    assert len(name.removeprefix("*.")) <= 253 and not any(char in name for char in " /:\\[]@?#")
