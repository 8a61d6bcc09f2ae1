"""The forms of a target, and the path in it."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itkwsgi.errors import ClientError
from itkwsgi.front.http1.target import parse_target, resolve_path


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ("/", b"/"),
        ("/a/b", b"/a/b"),
        ("/a/", b"/a/"),
        ("//a//b/", b"//a//b/"),
        ("/006////.//////x", b"/006/////////x"),
        ("/%30%30%36/x", b"/006/x"),
        ("/nothing/../006/x", b"/006/x"),
        ("/a/%2e%2e/b", b"/b"),
        ("/a/%2E./b", b"/b"),
        ("/a%2f..%2fb", b"/b"),
        ("/a%2fb", b"/a/b"),
        ("/x%252f.test", b"/x%2f.test"),
        ("/%25%32%65", b"/%2e"),
        ("/.", b"/"),
        ("/./", b"/"),
        ("/a/.", b"/a/"),
        ("/a/..", b"/"),
        ("/a/../", b"/"),
        ("/a/b/..", b"/a/"),
        ("/a//../b", b"/a/b"),
        ("//..", b"/"),
        ("/...", b"/..."),
        ("/.a/..b/c..", b"/.a/..b/c.."),
        ("/caf%C3%A9/%ff", b"/caf\xc3\xa9/\xff"),
        ("/x/%0D%0Ahttp:", b"/x/\r\nhttp:"),
        ("/a+b;c=d", b"/a+b;c=d"),
        ("/a\\..\\b", b"/a\\..\\b"),
    ],
)
def test_path(raw, path):
    assert resolve_path(raw) == path


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ("/..", "above the root"),
        ("/../x", "above the root"),
        ("/a/../../x", "above the root"),
        ("/nothing/%2e%2e/%2e%2e/x", "above the root"),
        ("/a%2f..%2f..%2fx", "above the root"),
        ("/./..", "above the root"),
        ("/%", "escape"),
        ("/%2", "escape"),
        ("/%zz", "escape"),
        ("/%+1", "escape"),
        ("/%%32%65%%32%65/", "escape"),
        ("/%u0041", "escape"),
        ("/a%00b", "escape"),
    ],
)
def test_path_refused(raw, why):
    with pytest.raises(ClientError, match=why) as caught:
        resolve_path(raw)
    assert caught.value.status == 400


@given(st.lists(st.binary(max_size=4)), st.booleans())
def test_a_resolved_path_never_changes_again(segments, escaped):
    raw = "/" + "/".join(quote(segment, safe="") if escaped else quote(segment) for segment in segments)
    try:
        path = resolve_path(raw)
    except ClientError:
        return
    assert path.startswith(b"/")
    assert b"\0" not in path
    assert not {b".", b".."} & set(path.split(b"/"))
    assert resolve_path(quote(path)) == path


@given(st.lists(st.sampled_from(["", ".", "..", "a", "b"])))
def test_dot_segments_agree_with_a_walk(segments):
    raw = "/" + "/".join(segments)
    here: list[str] = []
    for segment in segments:
        if segment == "..":
            if not here:
                with pytest.raises(ClientError):
                    resolve_path(raw)
                return
            here.pop()
        elif segment != ".":
            here.append(segment)
    found = resolve_path(raw).decode()
    ends_in_a_folder = bool(segments) and segments[-1] in (".", "..")
    assert found == "/" + "".join(f"{segment}/" for segment in here)[: None if ends_in_a_folder else -1]


@pytest.mark.parametrize(
    ("text", "raw_path", "path", "query"),
    [
        ("/", "/", b"/", ""),
        ("/a?b=c", "/a", b"/a", "b=c"),
        ("/a?", "/a", b"/a", ""),
        ("/a?b?c", "/a", b"/a", "b?c"),
        ("/?a[]=1&b=%zz%00", "/", b"/", "a[]=1&b=%zz%00"),
        ("/%61/../b?x=/../..", "/%61/../b", b"/b", "x=/../.."),
        ("//evil.example/x", "//evil.example/x", b"//evil.example/x", ""),
        ("/http://b.example/", "/http://b.example/", b"/http://b.example/", ""),
    ],
)
def test_origin_form(text, raw_path, path, query):
    assert parse_target("GET", text) == (raw_path, path, query, None, None)


@pytest.mark.parametrize(
    ("text", "raw_path", "query", "scheme", "authority"),
    [
        ("http://a.example/x?y", "/x", "y", "http", ("a.example", None)),
        ("HTTP://A.example.:81/", "/", "", "http", ("a.example", 81)),
        ("https://a.example", "/", "", "https", ("a.example", None)),
        ("http://a.example?y", "/", "y", "http", ("a.example", None)),
        ("http://[::1]:80//", "//", "", "http", ("[::1]", 80)),
    ],
)
def test_absolute_form(text, raw_path, query, scheme, authority):
    assert parse_target("GET", text) == (raw_path, raw_path.encode(), query, scheme, authority)


@pytest.mark.parametrize("text", ["*", "http://a.example"])
def test_the_server_as_a_whole(text):
    assert parse_target("OPTIONS", text)[:3] == ("*", b"*", "")


@pytest.mark.parametrize("text", ["/", "http://a.example/"])
def test_options_of_a_path(text):
    assert parse_target("OPTIONS", text).path == b"/"


@pytest.mark.parametrize(
    "text",
    [
        "*",
        "**",
        "a",
        "a/b",
        "?a",
        "a.example:80",
        "http:",
        "http:/",
        "http:/a.example/",
        "http://",
        "http:///",
        "http://:80/",
        "http://017700000001/",
        "http://0x7f.1/",
        "http://127.01.0.1/",
        "http://%3127.0.0.1/",
        "http://foo@localhost:80/",
        "http://[4712::abcd::]/",
        "http://localhost:80:80/",
        "http://a.example\\@b.example/",
        "http://a.example/../x",
        "ftp://a.example/",
        "javascript:alert(1)",
        "xhttp://a.example/",
    ],
)
def test_other_forms_are_refused(text):
    with pytest.raises(ClientError) as caught:
        parse_target("GET", text)
    assert caught.value.status == 400
