"""Who is who: the rules for ids, each by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pretence import LISTEN
from pretence import site as site_table

from itkwsgi.config import identities
from itkwsgi.config.identities import ROLES, Outcome, Refused, Rules
from itkwsgi.config.machine import Accounts
from itkwsgi.config.model import Ids

SERVER = Ids(33, 33, (), "www-data", "/var/www", "")
ROLE_IDS = {
    "front_user": Ids(65530, 65530, (), "65530"),
    "zygote_user": Ids(65531, 65531),
    "log_user": Ids(65532, 65532),
}
RULES = Rules(SERVER, (1000, 59999), (1000, 59999), ROLE_IDS)


def told(outcome: Outcome) -> list[str]:
    """``key: message (hint)``, with an exclamation mark where it is forbidden to all."""
    return [
        f"{r.key}{'!' if r.forbidden else ''}: {r.message}" + (f" ({r.hint})" if r.hint else "")
        for r in outcome.refusals
    ]


@pytest.fixture
def site(pretence):
    def resolve(rules: Rules = RULES, **said: Any) -> Outcome:
        return identities.site_ids({"user": None, "group": None, "groups": None, **said}, rules, pretence.accounts)

    return resolve


# --- a site's ids

OUTSIDE = "user!: uid 999 is outside uid_range 1000 to 59999"
NO_GROUP = 'group: there is no group "x"'
SMALL_GROUP = "groups!: adm (gid 4) is outside gid_range 1000 to 59999"


@pytest.mark.parametrize(
    ("faulty", "all_told"),
    [
        ((), [OUTSIDE, NO_GROUP, SMALL_GROUP]),
        (("user",), [NO_GROUP, SMALL_GROUP]),
        (("group",), [OUTSIDE, SMALL_GROUP]),
        (("user", "group", "groups"), [SMALL_GROUP]),
    ],
)
def test_what_is_faulty_is_not_said_again_and_hides_nothing(pretence, faulty, all_told: list[str]) -> None:
    said = {"user": 999, "group": "x", "groups": ("adm",)}
    outcome = identities.site_ids(said, RULES, pretence.accounts, frozenset(faulty))
    assert told(outcome) == all_told and outcome.ids is None


@pytest.mark.parametrize("key", ["user", "group", "groups"])
def test_nobody_comes_of_a_fault(pretence, key: str) -> None:
    said = {"user": "alice", "group": None, "groups": ()}
    outcome = identities.site_ids(said, RULES, pretence.accounts, frozenset({key}))
    assert (outcome.ids, outcome.refusals) == (None, [])


def test_a_server_that_has_its_user_wrong_is_told_once(pretence) -> None:
    sites = site_table(user="") + site_table(name="'b.example'", user="", group="'x'")
    assert pretence.refusal(f"{LISTEN}user = 'nosuch'\ngroup = 'nog'\n{sites}") == [
        'itk.toml:3: server.user: there is no account "nosuch"',
        'itk.toml:4: server.group: there is no group "nog"',
        'itk.toml:13: vhost.group: there is no group "x"',
    ]


@pytest.mark.parametrize(
    ("said", "uid", "gid", "groups", "name"),
    [
        ({"user": "alice"}, 1002, 1002, (), "alice"),
        ({"user": 1002}, 1002, 1002, (), "alice"),
        ({"user": 50001}, 50001, 50001, (), "50001"),
        ({"user": 50001, "group": 50002}, 50001, 50002, (), "50001"),
        ({"user": "alice", "group": "web"}, 1002, 2000, (), "alice"),
        ({"user": "jess", "groups": ()}, 1001, 1001, (), "jess"),
        ({"user": "alice", "groups": ("web", 3000, "web", "alice")}, 1002, 1002, (2000, 3000), "alice"),
        ({"user": "student", "group": "web"}, 1003, 2000, (), "student"),
        ({}, 33, 33, (2000,), "www-data"),
        ({"group": "web"}, 33, 2000, (), "www-data"),
        ({"group": "www-data", "groups": ()}, 33, 33, (), "www-data"),
    ],
)
def test_ids(site, said: Mapping[str, Any], uid: int, gid: int, groups: tuple[int, ...], name: str) -> None:
    outcome = site(**said)
    assert told(outcome) == []
    assert outcome.ids is not None
    ids = outcome.ids
    assert (ids.uid, ids.gid, ids.groups, ids.name) == (uid, gid, groups, name)


def test_home_and_shell_are_the_accounts(site) -> None:
    assert site(user="jess").ids.home == "/home/jess"
    assert (site(user=50001).ids.home, site(user=50001).ids.shell) == ("", "")


def test_groups_that_may_not_be_are_left_out_with_a_note(site) -> None:
    outcome = site(user="jess")
    assert outcome.ids.groups == (2000,)
    assert outcome.notes == [("groups", "jess is also in root (gid 0), adm (gid 4): not allowed to sites, left out")]
    assert site(user="jess", groups=()).notes == []


@pytest.mark.parametrize(
    ("said", "lines"),
    [
        ({"user": "root"}, ["user!: uid 0 is never allowed to a site"]),
        ({"user": 0}, ["user!: uid 0 is never allowed to a site"]),
        ({"user": "toor"}, ["user!: uid 0 is never allowed to a site"]),
        ({"user": 65530}, ["user!: uid 65530 is front_user: no site may have it"]),
        ({"user": 65532}, ["user!: uid 65532 is log_user: no site may have it"]),
        ({"user": 999}, ["user!: uid 999 is outside uid_range 1000 to 59999"]),
        ({"user": "nginx"}, ["user!: uid 990 is outside uid_range 1000 to 59999"]),
        ({"user": 60000}, ["user!: uid 60000 is outside uid_range 1000 to 59999"]),
        (
            {"user": "www-data"},
            [
                "user!: uid 33 is outside uid_range 1000 to 59999"
                " (leave user out: a site that names none is the server's user)"
            ],
        ),
        ({"user": "student"}, ["user!: its default group users (gid 100) is outside gid_range 1000 to 59999"]),
        ({"user": "alice", "group": 0}, ["group!: root (gid 0) is never allowed to a site"]),
        ({"user": "alice", "group": "adm"}, ["group!: adm (gid 4) is outside gid_range 1000 to 59999"]),
        ({"user": "alice", "group": 65531}, ["group!: gid 65531 is that of zygote_user: no site may have it"]),
        ({"group": "adm"}, ["group!: adm (gid 4) is outside gid_range 1000 to 59999"]),
        (
            {"user": "alice", "groups": ("root", "adm", 65530, "web")},
            [
                "groups!: root (gid 0) is never allowed to a site",
                "groups!: adm (gid 4) is outside gid_range 1000 to 59999",
                "groups!: gid 65530 is that of front_user: no site may have it",
            ],
        ),
        ({"user": "nobody-here"}, ['user: there is no account "nobody-here"']),
        ({"user": "alice", "group": "none"}, ['group: there is no group "none"']),
        ({"user": "alice", "groups": ("none",)}, ['groups: there is no group "none"']),
        (
            {"user": "none", "group": "none", "groups": ("none", 0)},
            [
                'user: there is no account "none"',
                'group: there is no group "none"',
                'groups: there is no group "none"',
                "groups!: root (gid 0) is never allowed to a site",
            ],
        ),
    ],
)
def test_refusals(site, said: Mapping[str, Any], lines: list[str]) -> None:
    """An account that is missing is the site's trouble, an id that is forbidden everybody's."""
    outcome = site(**said)
    assert told(outcome) == lines
    assert outcome.ids is None


def test_a_site_without_user_where_there_is_no_default(site) -> None:
    outcome = site(Rules(None, (1000, 59999), (1000, 59999), ROLE_IDS))
    assert told(outcome) == ['user: is not said, and there is no account "www-data" that it would default to']


def test_a_range_that_is_wrong_itself_binds_nobody_but_root_is_refused(site) -> None:
    rules = Rules(SERVER, None, None, ROLE_IDS)
    assert site(rules, user="nginx", groups=("adm",)).ids.uid == 990
    assert site(rules, user=0, group=0).ids is None


ids = st.integers(0, 2**32 - 2) | st.sampled_from([0, 33, 990, 999, 1000, 59999, 60000, 65530, 65531, 65532])


@given(user=ids, group=st.none() | ids, groups=st.none() | st.lists(ids, max_size=3).map(tuple))
def test_whatever_is_said_no_site_gets_a_forbidden_id(
    user: int, group: int | None, groups: tuple[int, ...] | None
) -> None:
    """The rules again, from the other side."""
    outcome = identities.site_ids({"user": user, "group": group, "groups": groups}, RULES, Accounts())
    if outcome.ids is None:
        assert outcome.refusals
        return
    found = outcome.ids
    assert 1000 <= found.uid <= 59999
    for gid in (found.gid, *found.groups):
        assert 1000 <= gid <= 59999
    assert found.gid not in found.groups


# --- the server's own


def test_roles_default_to_their_accounts_else_to_numbers(pretence) -> None:
    accounts = pretence.accounts
    assert [identities.role_said(role, None, accounts) for role in ROLES] == [65530, 65531, 65532]
    accounts.users["itkwsgi-log"] = Ids(501, 502, (), "itkwsgi-log", "/", "")
    fresh = type(accounts)()
    fresh.users = accounts.users
    assert identities.role_said(ROLES[2], None, fresh) == "itkwsgi-log"
    assert identities.role_ids("log_user", "itkwsgi-log", fresh).gid == 502
    assert identities.role_said(ROLES[2], 7, fresh) == 7


def test_a_roles_number_has_the_same_group(pretence) -> None:
    assert identities.role_ids("front_user", 70000, pretence.accounts) == Ids(70000, 70000, (), "70000")
    assert identities.role_ids("front_user", 1003, pretence.accounts).gid == 1003, "even where the account has another"
    assert identities.role_ids("front_user", "nginx", pretence.accounts).gid == 990


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("none", 'there is no account "none"'),
        ("root", "root's user or group is not allowed: it must be nobody else's"),
        (0, "root's user or group is not allowed: it must be nobody else's"),
    ],
)
def test_who_no_role_may_be(pretence, said: str | int, message: str) -> None:
    with pytest.raises(Refused) as caught:
        identities.role_ids("log_user", said, pretence.accounts)
    assert (caught.value.key, caught.value.message, caught.value.forbidden) == ("log_user", message, True)


def test_roles_must_differ() -> None:
    assert identities.same_role(ROLE_IDS) == []
    same = {**ROLE_IDS, "log_user": Ids(65530, 1)}
    (refused,) = identities.same_role(same)
    assert (refused.key, refused.message) == (
        "log_user",
        "uid 65530 is already front_user: each must have a user of its own",
    )


@pytest.mark.parametrize(
    ("user", "group", "uid", "gid"),
    [
        (None, None, 33, 33),
        ("jess", None, 1001, 1001),
        (None, "web", 33, 2000),
        (777, None, 777, 777),
        ("student", None, 1003, 100),
    ],
)
def test_the_servers_user_is_bound_by_no_range(pretence, user: Any, group: Any, uid: int, gid: int) -> None:
    outcome = identities.server_ids(user, group, RULES, pretence.accounts)
    assert told(outcome) == []
    assert outcome.ids is not None and (outcome.ids.uid, outcome.ids.gid) == (uid, gid)


@pytest.mark.parametrize(
    ("user", "group", "lines"),
    [
        ("root", None, ["user!: uid 0 is never allowed to a site", "user!: root (gid 0) is never allowed to a site"]),
        ("none", None, ['user!: there is no account "none"']),
        ("jess", "none", ['group!: there is no group "none"']),
        ("jess", 0, ["group!: root (gid 0) is never allowed to a site"]),
        (65531, 1, ["user!: uid 65531 is zygote_user: no site may have it"]),
    ],
)
def test_who_the_servers_user_may_not_be(pretence, user: Any, group: Any, lines: list[str]) -> None:
    assert told(identities.server_ids(user, group, RULES, pretence.accounts)) == lines


def test_no_default_account_is_no_error_until_a_site_needs_it(pretence) -> None:
    del pretence.accounts.users["www-data"]
    outcome = identities.server_ids(None, None, RULES, pretence.accounts)
    assert (outcome.ids, outcome.refusals) == (None, [])


# --- an ordinary user's server

ME = Ids(1001, 1001, (2000,), "jess", "/home/jess", "/bin/bash")


@pytest.mark.parametrize(
    "said",
    [{}, {"user": "jess"}, {"user": 1001}, {"user": "jess", "group": 1001, "groups": (2000, 1001)}, {"groups": ()}],
)
def test_every_site_is_who_starts_the_server(pretence, said: Mapping[str, Any]) -> None:
    outcome = identities.own_ids({"user": None, "group": None, "groups": None, **said}, ME, pretence.accounts)
    assert told(outcome) == [] and outcome.ids == ME


@pytest.mark.parametrize(
    ("said", "lines"),
    [
        ({"user": "alice"}, ["user: only root can start a site as alice: this server would be jess (uid 1001)"]),
        ({"user": 50001}, ["user: only root can start a site as 50001: this server would be jess (uid 1001)"]),
        ({"user": "none"}, ['user: there is no account "none"']),
        ({"user": "root"}, ["user!: uid 0 is never allowed to a site"]),
        (
            {"group": "web", "groups": ("adm", "none", "root")},
            [
                "group: only root can give a site the group web: this server would have jess (gid 1001)",
                "groups: only root can give a site the group adm: this server would have jess (gid 1001)",
                'groups: there is no group "none"',
                "groups!: gid 0 is never allowed to a site",
            ],
        ),
    ],
)
def test_anybody_else_is_refused(pretence, said: Mapping[str, Any], lines: list[str]) -> None:
    outcome = identities.own_ids({"user": None, "group": None, "groups": None, **said}, ME, pretence.accounts)
    assert told(outcome) == lines and outcome.ids is None


# --- a pool_socket's owner


@pytest.mark.parametrize(
    ("owner", "group", "found"),
    [
        (None, None, (0, 0)),
        ("nginx", None, (990, 990)),
        ("nginx", "web", (990, 2000)),
        (7, 8, (7, 8)),
        (None, 8, (0, 8)),
    ],
)
def test_owners_of_sockets(pretence, owner: Any, group: Any, found: tuple[int, int]) -> None:
    root = pretence.machine().me
    assert identities.socket_owner({"owner": owner, "group": group}, root, pretence.accounts) == found


@pytest.mark.parametrize(
    ("owner", "group", "message"),
    [
        ("none", None, 'there is no account "none"'),
        (None, "none", 'there is no group "none"'),
        ("alice", None, "only root can give a socket to others than jess and its groups"),
        (None, "adm", "only root can give a socket to others than jess and its groups"),
    ],
)
def test_owners_that_cannot_be(pretence, owner: Any, group: Any, message: str) -> None:
    with pytest.raises(Refused, match=message):
        identities.socket_owner({"owner": owner, "group": group}, ME, pretence.accounts)
    assert identities.socket_owner({"owner": "jess", "group": "web"}, ME, pretence.accounts) == (1001, 2000)
