"""Settings: believed, but only of this version."""

import json

import pytest

from itkwsgi.errors import Bug
from itkwsgi.front.settings import UNLIMITED, Limit, Limits, Listener, load


@pytest.fixture
def row(make_site_row):
    return {
        "generation": 3,
        "fronts": 2,
        "listeners": [{"fd": 5, "text": "127.0.0.1:8080", "scheme": "http"}],
        "sites": [make_site_row(0, "a.example", aliases=["*.a.example"])],
        "keepalive_timeout": 5.0,
        "header_timeout": 20.0,
        "body_timeout": 20.0,
        "body_min_rate": 500,
        "limit_request_line": 8190,
        "limit_request_fields": 100,
        "limit_request_field_size": 8190,
        "max_clients": 256,
        "max_connections_per_address": 256,
        "server_tokens": "prod",
        "spool_dir": "/var/spool/itkwsgi/bodies",
        "spool_max": 1073741824,
        "graceful_timeout": 30.0,
        "access_fd": 9,
    }


def test_what_the_supervisor_sends(row):
    settings = load(json.dumps(row).encode())
    assert settings.generation == 3
    assert settings.listeners == (Listener(5, "127.0.0.1:8080", "http"),)
    assert settings.sites[0].aliases == ("*.a.example",)
    assert settings.sites[0].broken is None


def test_a_site_without_parts_and_limits(row):
    site = load(json.dumps(row).encode()).sites[0]
    assert (site.parts, site.part_of, site.owner, site.limits) == ((), None, 0, ((b"", UNLIMITED),))


def test_parts_and_limits(row, make_site_row, make_limits_row):
    limits = [
        ["/ä", make_limits_row(post_max_size=[10, False], request_timeout=[1.5, True])],
        ["", make_limits_row(expose_server=False)],
    ]
    row["sites"] = [
        make_site_row(0, "a.example", parts=[["/p/\udcff", 1]], limits=limits),
        make_site_row(1, "a.example", part_of=0),
    ]
    site, part = load(json.dumps(row).encode()).sites
    assert site.parts == ((b"/p/\xff", 1),)
    assert site.limits == (
        ("/ä".encode(), Limits(Limit(10, False), Limit(1.5, True))),
        (b"", Limits(expose_server=False)),
    )
    assert (part.part_of, part.owner) == (0, 0)


@pytest.mark.parametrize(
    "limits",
    [
        [],
        [["/p", {}]],
        [["", {"post_max_size": [1]}]],
        [["", {"post_max_size": [1, True, 2]}]],
        [["", {"nwe": [1, True]}]],
        [[1, {}]],
        [["", 1]],
        [[""]],
        1,
    ],
)
def test_limits_of_another_version(row, limits):
    row["sites"][0]["limits"] = limits
    with pytest.raises(Bug):
        load(json.dumps(row).encode())


@pytest.mark.parametrize("place", ["settings", "site", "listener"])
def test_an_unknown_name_is_another_version(row, place):
    {"settings": row, "site": row["sites"][0], "listener": row["listeners"][0]}[place]["nwe"] = 1
    with pytest.raises(Bug, match="has no nwe"):
        load(json.dumps(row).encode())


@pytest.mark.parametrize("name", ["generation", "sites", "listeners", "spool_max"])
def test_a_missing_name_is_another_version(row, name):
    del row[name]
    with pytest.raises(Bug, match=name):
        load(json.dumps(row).encode())


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"1", b"\xff"])
def test_what_is_no_settings(data):
    with pytest.raises(Bug):
        load(data)


def test_a_share_is_rounded_down_but_never_nothing(row):
    settings = load(json.dumps(row).encode())
    assert [settings.share(whole) for whole in (256, 5, 1)] == [128, 2, 1]


@pytest.mark.parametrize(
    ("text", "scheme", "port"),
    [
        ("127.0.0.1:8080", "http", "8080"),
        ("[::1]:81", "http", "81"),
        ("unix:/run/a.sock", "http", "80"),
        ("unix:/run/a:5.sock", "https", "443"),
    ],
)
def test_the_port_of_a_listener(text, scheme, port):
    assert Listener(5, text, scheme).port == port
