"""From FastCGI parameters to a PEP 3333 environ."""

import io
import sys
from wsgiref import validate

import pytest

from itkwsgi.runtime.environ import FileWrapper, build_environ

FRONT = {
    b"REQUEST_METHOD": b"POST",
    b"SCRIPT_NAME": b"",
    b"PATH_INFO": b"/caf\xc3\xa9",
    b"QUERY_STRING": b"a=1",
    b"SERVER_NAME": b"a.example",
    b"SERVER_PORT": b"8080",
    b"SERVER_PROTOCOL": b"HTTP/1.1",
    b"REMOTE_ADDR": b"127.0.0.1",
    b"CONTENT_TYPE": b"text/plain",
    b"CONTENT_LENGTH": b"3",
    b"HTTP_HOST": b"a.example:8080",
}


def build(params, **more):
    return build_environ(params, io.BufferedReader(io.BytesIO(b"abc")), sys.stderr, **more)


def test_is_valid_by_wsgiref():
    validate.check_environ(build(FRONT))


def test_bytes_become_latin_1_text():
    assert build(FRONT)["PATH_INFO"].encode("latin-1").decode() == "/café"


@pytest.mark.parametrize(("once", "said"), [(True, True), (False, False)])
def test_run_once_says_whether_the_process_ends(once, said):
    environ = build(FRONT, once=once)
    assert environ["wsgi.run_once"] is said
    assert environ["wsgi.multiprocess"] is True
    assert environ["wsgi.multithread"] is False


@pytest.mark.parametrize(
    ("script", "path", "mount", "expected"),
    [
        (b"", b"/a/b", "", ("", "/a/b")),
        (b"/a/b", b"", "", ("", "/a/b")),  # nginx's fastcgi_params
        (b"/a", b"/b", "", ("", "/a/b")),  # Apache, another split
        (b"", b"/shop/b", "/shop", ("/shop", "/b")),
        (b"/shop", b"/b", "/shop", ("/shop", "/b")),
        (b"", b"/shop", "/shop", ("/shop", "")),
        (b"", b"/shopping", "/shop", ("/shop", "/shopping")),
    ],
)
def test_the_mount_decides_where_the_path_is_split(script, path, mount, expected):
    environ = build({**FRONT, b"SCRIPT_NAME": script, b"PATH_INFO": path}, mount=mount)
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == expected


@pytest.mark.parametrize(
    ("params", "scheme"),
    [
        ({}, "http"),
        ({b"HTTPS": b"on"}, "https"),
        ({b"HTTPS": b"off"}, "http"),
        ({b"REQUEST_SCHEME": b"https"}, "https"),
        ({b"HTTP_X_FORWARDED_PROTO": b"https"}, "http"),
    ],
)
def test_scheme(params, scheme):
    assert build({**FRONT, **params})["wsgi.url_scheme"] == scheme


def test_empty_content_length_is_none():
    environ = build({**FRONT, b"CONTENT_LENGTH": b"", b"CONTENT_TYPE": b""})
    assert "CONTENT_LENGTH" not in environ
    assert "CONTENT_TYPE" not in environ


@pytest.mark.parametrize("name", [b"HTTP_PROXY", b"PHP_VALUE", b"PHP_ADMIN_VALUE"])
def test_what_could_reach_beyond_the_request_is_dropped(name):
    assert name.decode() not in build({**FRONT, name: b"x"})


def test_what_pep_3333_requires_is_always_there():
    environ = build({})
    for name in ("REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "SERVER_NAME", "SERVER_PORT"):
        assert isinstance(environ[name], str)


def test_file_wrapper_reads_blocks_and_closes():
    file = io.BytesIO(b"abcdef")
    wrapper = FileWrapper(file, 4)
    assert list(wrapper) == [b"abcd", b"ef"]
    wrapper.close()
    assert file.closed
