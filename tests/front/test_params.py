"""FastCGI parameters; those of a whole request are in test_request."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itkwsgi.front.http1.events import RequestHead
from itkwsgi.front.params import connection_params, field_params, request_params, variable_name


def head(**more):
    row = {
        "method": "GET",
        "target": "/x?y",
        "raw_path": "/x",
        "path": b"/x",
        "query": "y",
        "version": (1, 1),
        "host": "a.example",
        "port_in_host": None,
        "fields": (),
        "content_length": None,
        "chunked": False,
        "keep_alive": True,
        "expect_continue": False,
    }
    return RequestHead(**{**row, **more})


def params(connection=(), content_length=None, **more):
    return dict(request_params(head(**more), list(connection), "site.example", "8080", content_length))


def test_the_port_is_the_hosts_else_the_listeners():
    assert params()[b"SERVER_PORT"] == b"8080"
    assert params(port_in_host=443)[b"SERVER_PORT"] == b"443"


def test_the_name_is_the_hosts_else_the_sites():
    assert params(host="[::1]")[b"SERVER_NAME"] == b"[::1]"
    assert params(host="", version=(1, 0))[b"SERVER_NAME"] == b"site.example"


@pytest.mark.parametrize(("version", "text"), [((1, 0), b"HTTP/1.0"), ((1, 1), b"HTTP/1.1")])
def test_the_protocol(version, text):
    assert params(version=version)[b"SERVER_PROTOCOL"] == text


@pytest.mark.parametrize(("query", "uri"), [("", b"/x"), ("a=%20&b", b"/x?a=%20&b")])
def test_the_uri_is_as_it_was_sent(query, uri):
    made = params(query=query)
    assert (made[b"REQUEST_URI"], made[b"QUERY_STRING"]) == (uri, query.encode())


def test_https():
    assert (b"HTTPS", b"on") in connection_params("https", "s", "::1", "1")
    assert b"HTTPS" not in dict(connection_params("http", "s", "::1", "1"))


def test_the_length_is_the_bodys_and_not_the_fields():
    assert params(content_length=7, fields=(("content-length", "9"),))[b"CONTENT_LENGTH"] == b"7"
    assert b"CONTENT_LENGTH" not in params(fields=(("content-length", "9"),))


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("user-agent", b"HTTP_USER_AGENT"),
        ("content-type", b"CONTENT_TYPE"),
        ("x-1", b"HTTP_X_1"),
        ("proxy", None),
        ("content-length", None),
        ("transfer-encoding", None),
        ("x_y", None),
        ("x.y", None),
        ("", None),
    ],
)
def test_the_variable_of_a_field(name, variable):
    assert variable_name(name) == variable


def test_fields_of_one_name_are_joined():
    fields = (("a", "1"), ("cookie", "x=1"), ("a", "2"), ("cookie", "y=2"), ("a", ""))
    assert field_params(fields) == [(b"HTTP_A", b"1, 2, "), (b"HTTP_COOKIE", b"x=1; y=2")]


NAMES = st.text(st.sampled_from("abz019-_.!"), min_size=1, max_size=6)


@given(st.lists(st.tuples(NAMES, st.text(st.characters(codec="latin-1"), max_size=5))))
def test_no_field_takes_a_variable_of_the_servers(fields):
    made = field_params(tuple(fields))
    names = [name for name, _ in made]
    assert len(set(names)) == len(names)
    assert all(name.startswith(b"HTTP_") for name in names)
    passed = {name for name, _ in fields if variable_name(name)}
    assert len(passed) == len(names)
