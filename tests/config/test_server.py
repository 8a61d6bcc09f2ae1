"""[server], resolved, for root and for an ordinary user."""

from __future__ import annotations

import dataclasses

import pytest
from pretence import LISTEN, site

from itkwsgi.config.load import load_on
from itkwsgi.config.machine import Machine
from itkwsgi.config.model import ConfigError, Ids

GOOD = LISTEN + site()


def test_defaults(pretence) -> None:
    server = pretence.load(GOOD).server
    assert (server.user, server.group, server.user_id) == (
        "www-data",
        None,
        Ids(33, 33, (), "www-data", "/var/www", ""),
    )
    assert (server.front_user, server.zygote_user, server.log_user) == (65530, 65531, 65532)
    assert [ids.uid for ids in (server.front_ids, server.zygote_ids, server.log_ids)] == [65530, 65531, 65532]
    assert [ids.gid for ids in (server.front_ids, server.zygote_ids, server.log_ids)] == [65530, 65531, 65532]
    assert (server.run_dir, server.spool_dir) == ("/run/itkwsgi", "/var/spool/itkwsgi")


def test_accounts_of_the_servers_own(pretence) -> None:
    pretence.accounts.users["itkwsgi"] = Ids(501, 502, (), "itkwsgi", "/", "")
    server = pretence.load(LISTEN + "zygote_user = '#70001'\nlog_user = 'nginx'\n" + site()).server
    assert (server.front_user, server.front_ids.uid, server.front_ids.gid) == ("itkwsgi", 501, 502)
    assert (server.zygote_user, server.zygote_ids.uid, server.zygote_ids.gid) == (70001, 70001, 70001)
    assert (server.log_user, server.log_ids.gid) == ("nginx", 990)


@pytest.mark.parametrize(
    ("server", "lines"),
    [
        ("front_user = 'none'", ['3: server.front_user: there is no account "none" (make it, or write a number)']),
        ("log_user = 0", ["3: server.log_user: root's user or group is not allowed: it must be nobody else's"]),
        ("log_user = 65530", ["3: server.log_user: uid 65530 is already front_user: each must have a user of its own"]),
        ("user = 'root'\ngroup = 'web'", ["3: server.user: uid 0 is never allowed to a site"]),
        ("user = 'none'", ['3: server.user: there is no account "none"']),
        (
            "user = 65531",
            [
                "3: server.user: gid 65531 is that of zygote_user: no site may have it",
                "3: server.user: uid 65531 is zygote_user: no site may have it",
            ],
        ),
        ("front_user = 50001", ["6: vhost.user: uid 50001 is front_user: no site may have it"]),
    ],
)
def test_users_that_cannot_be(pretence, server: str, lines: list[str]) -> None:
    assert pretence.refusal(f"{LISTEN}{server}\n{site()}") == [f"itk.toml:{line}" for line in lines]


def test_the_servers_user_is_who_sites_are_by_default(pretence) -> None:
    config = pretence.load(LISTEN + "user = 'jess'\n" + site(user=""))
    assert config.vhosts[0].user is None
    ids = config.vhosts[0].ids
    assert ids is not None and (ids.uid, ids.gid, ids.groups) == (1001, 1001, (2000,))


def test_a_range_that_holds_the_servers_own_users_is_noted(pretence) -> None:
    config = pretence.load(LISTEN + "uid_range = [1000, 65531]\nfront_user = 'nginx'\n" + site())
    assert [pretence.shorten(str(note)) for note in config.notes] == [
        "itk.toml:3: server.uid_range: holds zygote_user (65531): a zygote that is taken over could become them"
    ]


def test_ranges(pretence) -> None:
    text = LISTEN + "uid_range = [50000, 50999]\ngid_range = [1, 999]\n"
    assert pretence.refusal(text + site()) == [
        "itk.toml:7: vhost.user: its default group gid 50001 is outside gid_range 1 to 999"
    ]
    assert pretence.load(text + site(group="100")).server.gid_range == (1, 999)
    assert pretence.refusal(LISTEN + "uid_range = 5\n" + site(user="999", group="'web'")) == [
        "itk.toml:3: server.uid_range: 5 is not a range (write [1000, 59999])"
    ]


def test_an_id_namespace(pretence) -> None:
    said = LISTEN + "id_namespace = true\n" + site()
    assert pretence.load(said).server.id_namespace is True
    assert pretence.load(GOOD).server.id_namespace is False


@pytest.mark.parametrize(
    ("lacks", "message"),
    [
        ("user_namespaces", "this kernel has no user namespaces, or permits none (user.max_user_namespaces)"),
        ("sys_admin", "the server has no CAP_SYS_ADMIN, which they take"),
    ],
)
def test_an_id_namespace_that_cannot_be_had_refuses_everything(pretence, lacks: str, message: str) -> None:
    pretence.abilities = dataclasses.replace(pretence.abilities, **{lacks: False})
    assert pretence.refusal(LISTEN + "id_namespace = true\n" + site()) == [
        f"itk.toml:3: server.id_namespace: cannot be had: {message}"
    ]
    assert pretence.load(GOOD).problems == ()


@pytest.mark.parametrize(("said", "size"), [("", 2**30), ("log_max = '10M'\n", 10 * 2**20), ("log_max = 0\n", 0)])
def test_how_much_a_site_may_log(pretence, said: str, size: int) -> None:
    assert pretence.load(LISTEN + said + site()).server.log_max == size


# --- started by an ordinary user


def test_everything_is_who_starts_it(pretence) -> None:
    config = pretence.load(LISTEN + "user = 'alice'\nfront_user = 'none'\n" + site(user=""), "jess", (2000,))
    me = Ids(1001, 1001, (2000,), "jess", "/home/jess", "/bin/bash")
    server = config.server
    assert [server.user_id, server.front_ids, server.zygote_ids, server.log_ids] == [me] * 4
    assert config.vhosts[0].ids == me and config.vhosts[0].problems == ()
    (note,) = config.notes
    assert pretence.shorten(str(note)) == (
        "itk.toml: started by jess (uid 1001), not by root: every process is jess (uid 1001); not enforced:"
        " user, group, uid_range, gid_range, id_namespace, front_user, zygote_user, log_user"
    )


def test_an_ordinary_user_has_no_id_namespace_to_give(pretence) -> None:
    pretence.abilities = dataclasses.replace(pretence.abilities, user_namespaces=False, sys_admin=False)
    assert pretence.load(LISTEN + "id_namespace = true\n" + site(user=""), "jess").server.id_namespace is False


def test_its_files_are_at_home(pretence) -> None:
    server = pretence.load(GOOD, "jess").server
    assert server.run_dir == "/home/jess/.local/state/itkwsgi/run"
    assert server.error_log == "/home/jess/.local/state/itkwsgi/log/error.log"


def test_without_a_home_they_must_be_said(pretence) -> None:
    machine = dataclasses.replace(pretence.machine("jess"), home="")
    pretence.write("itk.toml", LISTEN + "run_dir = 'run'\nspool_dir = 'spool'\n" + site(user=""))
    assert refused(pretence, machine) == [
        "itk.toml:1: server.access_log: is needed: jess has no home directory for it",
        "itk.toml:1: server.error_log: is needed: jess has no home directory for it",
    ]


def refused(pretence, machine: Machine) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_on(machine, str(pretence.directory / "itk.toml"))
    return [pretence.shorten(str(problem)) for problem in caught.value.problems]


def test_every_role_must_reach_the_package(pretence) -> None:
    pretence.owned[pretence.package] = (65530, 0o700)
    lines = pretence.refusal(GOOD)
    assert [line.split(", and")[0] for line in lines] == [
        "itk.toml:1: server.log_user: package is 0700: user 65532 cannot read",
        "itk.toml:1: server.zygote_user: package is 0700: user 65531 cannot read",
        "itk.toml:3: vhost: package is 0700: user 50001 cannot read",
    ]
    assert lines[0].endswith("itkwsgi itself is in package (install it where everybody can read it, as in /opt)")
