"""What only shows when all sites are seen together."""

from __future__ import annotations

import pytest
from pretence import LISTEN, site


def two(first: dict[str, str] | None = None, second: dict[str, str] | None = None) -> str:
    """Two sites, a.example and b.example."""
    return (
        LISTEN
        + site(name="'a.example'", **(first or {}))
        + site(name="'b.example'", **{"user": "50002", **(second or {})})
    )


@pytest.mark.parametrize(
    ("first", "second", "lines"),
    [
        ({}, {}, []),
        ({"aliases": "['*.example', 'c.example']"}, {"aliases": "['*.b.example']"}, []),
        ({"listen": "['127.0.0.1:1']"}, {"listen": "['127.0.0.1:2']", "aliases": "['a.example']"}, []),
        (
            {},
            {"aliases": "['x', 'A.example.']"},
            ["itk.toml:13: vhost.aliases: a.example is already a name of the site at itk.toml:3"],
        ),
        (
            {"aliases": "['b.example']"},
            {},
            ["itk.toml:10: vhost.name: b.example is already a name of the site at itk.toml:3"],
        ),
        (
            {"aliases": "['x', '*.x']"},
            {"aliases": "[\n'x',\n'*.x']"},
            [
                "itk.toml:15: vhost.aliases: x is already a name of the site at itk.toml:3",
                "itk.toml:16: vhost.aliases: *.x is already a name of the site at itk.toml:3",
            ],
        ),
        (
            {"listen": "['127.0.0.1:1', '127.0.0.1:2']"},
            {"listen": "['127.0.0.1:2']", "aliases": "['a.example']"},
            ["itk.toml:15: vhost.aliases: a.example is already a name of the site at itk.toml:3"],
        ),
    ],
)
def test_names(pretence, first: dict[str, str], second: dict[str, str], lines: list[str]) -> None:
    if lines:
        assert pretence.refusal(two(first, second)) == lines
    else:
        assert len(pretence.load(two(first, second)).vhosts) == 2


def test_sites_without_a_name_do_not_clash(pretence) -> None:
    lines = pretence.refusal(LISTEN + site(name="") + site(name="1", user="50002"))
    assert [line.split(": ", 1)[1] for line in lines] == [
        "vhost.name: is needed: the site's host name",
        'vhost.name: 1 is not text (write "1")',
    ]


def test_one_default_on_each_listener(pretence) -> None:
    own = {"default": "true", "listen": "['127.0.0.1:1']"}
    assert [vhost.default for vhost in pretence.load(two(own, {"default": "true"})).vhosts] == [True, True]
    assert pretence.refusal(two({"default": "true"}, {"default": "true"})) == [
        "itk.toml:14: vhost.default: a.example at itk.toml:3 is already the default on 127.0.0.1:8080"
    ]


@pytest.mark.parametrize(
    ("server", "own", "clash"),
    [
        (["0.0.0.0:80"], ["127.0.0.1:81"], None),
        (["0.0.0.0:80"], ["[::]:80"], None),
        (["0.0.0.0:80"], ["[::1]:80"], None),
        (["127.0.0.1:80"], ["127.0.0.2:80"], None),
        (["0.0.0.0:80"], ["0.0.0.0:80"], None),
        (["[::1]:80"], ["[0:0::1]:80"], None),
        (["unix:/run/a"], ["unix:/run/a"], None),
        (["0.0.0.0:80"], ["127.0.0.1:80"], ("vhost", "127.0.0.1:80", "0.0.0.0:80")),
        (["127.0.0.1:80"], ["0.0.0.0:80"], ("vhost", "0.0.0.0:80", "127.0.0.1:80")),
        (["[::]:80"], ["[::1]:80"], ("vhost", "[::1]:80", "[::]:80")),
        (["127.0.0.1:80", "0.0.0.0:80"], ["127.0.0.1:1"], ("server", "0.0.0.0:80", "127.0.0.1:80")),
    ],
)
def test_listeners(pretence, server: list[str], own: list[str], clash: tuple[str, str, str] | None) -> None:
    text = f"[server]\nlisten = {server}\n" + site(listen=str(own))
    if clash is None:
        config = pretence.load(text)
        assert len({listen.text for listen in config.listens}) == len(config.listens)
        return
    table, later, earlier = clash
    line = 2 if table == "server" else 8
    where = "itk.toml:1"
    assert pretence.refusal(text) == [
        f"itk.toml:{line}: {table}.listen: {later} clashes with {earlier} of the table at {where}"
    ]


def test_every_address_is_bound_once_the_servers_first(pretence) -> None:
    config = pretence.load(two({"listen": "['127.0.0.1:2', '127.0.0.1:8080']"}, {"listen": "['127.0.0.1:1']"}))
    assert [listen.text for listen in config.listens] == ["127.0.0.1:8080", "127.0.0.1:2", "127.0.0.1:1"]


def test_an_address_stands_once_in_a_list(pretence) -> None:
    assert pretence.refusal("[server]\nlisten = [\n'[::1]:80',\n'[0::1]:80']\n" + site()) == [
        'itk.toml:4: server.listen: "[0::1]:80" stands here twice'
    ]


def test_a_pool_socket_is_one_sites_alone(pretence) -> None:
    said = {"pool_socket": "{ path = 'x.sock' }"}
    path = f"{pretence.directory}/x.sock"
    (line,) = pretence.refusal(two(said, said))
    assert line == "itk.toml:14: vhost.pool_socket: x.sock is already a socket of the table at itk.toml:3"
    (line,) = pretence.refusal(f"[server]\nlisten = ['127.0.0.1:1', 'unix:{path}']\n" + site(**said))
    assert line == "itk.toml:8: vhost.pool_socket: x.sock is already a socket of the table at itk.toml:1"


def test_sites_of_one_user_are_noted(pretence) -> None:
    config = pretence.load(two(second={"user": "50001"}))
    assert [pretence.shorten(str(note)) for note in config.notes] == [
        "itk.toml:5: vhost.user: uid 50001 is shared by a.example, b.example: each can do to the others what it likes"
    ]
    assert pretence.load(two()).notes == ()
    many = LISTEN + "".join(site(name=f"'{number}.example'") for number in range(8))
    (note,) = pretence.load(many).notes
    assert "0.example, 1.example, 2.example, 3.example, 4.example and 3 more:" in note.message
