"""Who is who: the server's own users, and each site's.

The rules, for a server that root starts:

* uid 0 and gid 0 are never a site's, whatever the ranges say;
* the users of the fronts, the zygotes and the log are theirs alone: no site has their uid or their group, for their
  group is what opens the pools' sockets;
* a site that names a user has a uid within uid_range and groups within gid_range, supplementary ones included; one that
  names none has the server's, which the ranges do not bind;
* groups that a site gets by default and may not have are left out with a note; what was written down is an error.

An account that does not exist is that site's trouble alone (`Refused` without ``forbidden``), a forbidden id the whole
configuration's.  An ordinary user's server changes no ids: every site is that user, and rules of ranges mean nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, ParamSpec, TypeVar

from itkwsgi.config.machine import Accounts
from itkwsgi.config.model import Ids
from itkwsgi.ini.values import quoted

_P = ParamSpec("_P")
_T = TypeVar("_T")

DEFAULT_USER = "www-data"


class Role(NamedTuple):
    """A user of the server's own: its key, the account it is by default, else the number."""

    key: str
    account: str
    number: int


ROLES = (
    Role("front_user", "itkwsgi", 65530),
    Role("zygote_user", "itkwsgi-zygote", 65531),
    Role("log_user", "itkwsgi-log", 65532),
)


class Refused(Exception):
    """An identity that cannot be had; ``key`` says by which key, ``forbidden`` that no site may have it."""

    def __init__(self, key: str, message: str, hint: str = "", forbidden: bool = False) -> None:
        super().__init__(message)
        self.key, self.message, self.hint, self.forbidden = key, message, hint, forbidden


@dataclass(frozen=True, slots=True)
class Rules:
    """What binds the sites' ids.  A range is None when its own key is wrong.  ``server``: the default site user;
    ``server_refused``: it was named, and that was wrong.
    """

    server: Ids | None
    uid_range: tuple[int, int] | None
    gid_range: tuple[int, int] | None
    roles: Mapping[str, Ids]
    server_refused: bool = False


@dataclass(slots=True)
class Outcome:
    """Of one site: its ids, or None; why not; and what is worth a note (key, message)."""

    ids: Ids | None = None
    refusals: list[Refused] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)


# --- the server's own


def role_said(role: Role, said: str | int | None, accounts: Accounts) -> str | int:
    """The user of a role as it was said, else the default account if it exists, else the default number."""
    if said is not None:
        return said
    return role.account if accounts.user(role.account) else role.number


def role_ids(key: str, said: str | int, accounts: Accounts) -> Ids:
    """The ids of a role; a number has the same number for a group.  Raises `Refused`."""
    if isinstance(said, int):
        found = accounts.user(said) or Ids(said, said)
        ids = Ids(said, said, (), found.name or str(said), found.home, found.shell)
    else:
        account = accounts.user(said)
        if account is None:
            raise Refused(key, f"there is no account {quoted(said)}", "make it, or write a number", forbidden=True)
        ids = account
    if ids.uid == 0 or ids.gid == 0:
        raise Refused(key, "root's user or group is not allowed: it must be nobody else's", forbidden=True)
    return ids


def same_role(roles: Mapping[str, Ids]) -> list[Refused]:
    """Roles that share a uid."""
    keys = list(roles)
    return [
        Refused(later, f"uid {roles[later].uid} is already {earlier}: each must have a user of its own", forbidden=True)
        for number, later in enumerate(keys)
        for earlier in keys[:number]
        if roles[later].uid == roles[earlier].uid
    ]


def server_ids(user: str | int | None, group: str | int | None, rules: Rules, accounts: Accounts) -> Outcome:
    """Who a site is that names no user.  Without an account www-data, and none asked for: nobody."""
    outcome = Outcome()
    account = _attempt(outcome, _account, DEFAULT_USER if user is None else user, accounts)
    if account is None and user is None:
        outcome.refusals.clear()
    if account is not None:
        _attempt(outcome, _check_uid, "user", account.uid, rules, None)
    gid = account.gid if account and group is None else None
    if group is not None:
        gid = _attempt(outcome, _gid, "group", group, accounts)
    if gid is not None:
        _attempt(outcome, _check_gid, "group" if group is not None else "user", gid, rules, None, accounts)
    if account is not None and gid is not None:
        outcome.ids = Ids(account.uid, gid, (), account.name, account.home, account.shell)
    return _forbidding(outcome)


def _forbidding(outcome: Outcome) -> Outcome:
    """What is wrong with [server] is wrong with the whole configuration."""
    for refused in outcome.refusals:
        refused.forbidden = True
    return outcome


# --- a site's


def site_ids(
    said: Mapping[str, Any], rules: Rules, accounts: Accounts, faulty: frozenset[str] = frozenset()
) -> Outcome:
    """Who a site is, by its ``user``, ``group`` and ``groups``, each None when not said.

    Of what is ``faulty``, and so of a user that [server] has wrong, nothing is said again, and nobody comes out.
    """
    outcome = Outcome()
    account = gid = None
    if "user" not in faulty and not (said["user"] is None and rules.server_refused):
        account = _attempt(outcome, _site_account, said["user"], rules, accounts)
    if "group" not in faulty:
        gid = _attempt(outcome, _site_gid, said, account, rules, accounts)
    groups: tuple[int, ...] | None
    if said["groups"] is None:
        groups = _default_groups(account, gid, rules, accounts, outcome) if account and gid is not None else ()
    else:
        groups = _said_groups(said["groups"], rules, accounts, outcome)
    if account and gid is not None and not outcome.refusals and not faulty:
        supplementary = tuple(sorted(set(groups) - {gid}))
        outcome.ids = Ids(account.uid, gid, supplementary, account.name, account.home, account.shell)
    return outcome


def _site_account(user: str | int | None, rules: Rules, accounts: Accounts) -> Ids:
    if user is None:
        if rules.server is None:
            raise Refused(
                "user", f"is not said, and there is no account {quoted(DEFAULT_USER)} that it would default to"
            )
        return rules.server
    account = _account(user, accounts)
    _check_uid("user", account.uid, rules, rules.uid_range)
    return account


def _site_gid(said: Mapping[str, Any], account: Ids | None, rules: Rules, accounts: Accounts) -> int | None:
    if said["group"] is not None:
        gid = _gid("group", said["group"], accounts)
        own = said["user"] is None and rules.server is not None and gid == rules.server.gid
        _check_gid("group", gid, rules, None if own else rules.gid_range, accounts)
        return gid
    if account is not None and said["user"] is not None:
        _check_gid("user", account.gid, rules, rules.gid_range, accounts, "its default group ")
    return account.gid if account else None


def _said_groups(said: tuple[str | int, ...], rules: Rules, accounts: Accounts, outcome: Outcome) -> tuple[int, ...]:
    gids = []
    for group in said:
        gid = _attempt(outcome, _gid, "groups", group, accounts)
        if gid is not None:
            _attempt(outcome, _check_gid, "groups", gid, rules, rules.gid_range, accounts)
            gids.append(gid)
    return tuple(gids)


def _default_groups(account: Ids, gid: int, rules: Rules, accounts: Accounts, outcome: Outcome) -> tuple[int, ...]:
    """The account's own, less those it may not have."""
    kept, dropped = [], []
    for group in accounts.supplementary(account):
        if group == gid:
            continue
        try:
            _check_gid("groups", group, rules, rules.gid_range, accounts)
        except Refused:
            dropped.append(accounts.group_name(group))
        else:
            kept.append(group)
    if dropped:
        outcome.notes.append(
            ("groups", f"{account.name} is also in {', '.join(dropped)}: not allowed to sites, left out")
        )
    return tuple(kept)


def own_ids(said: Mapping[str, Any], me: Ids, accounts: Accounts) -> Outcome:
    """As `site_ids`, for a server that an ordinary user starts: to be anybody else is refused."""
    outcome = Outcome()
    _attempt(outcome, _check_own_user, said["user"], me, accounts)
    for key, groups in (("group", [said["group"]]), ("groups", said["groups"] or ())):
        for group in groups:
            _attempt(outcome, _check_own_group, key, group, me, accounts)
    if not outcome.refusals:
        outcome.ids = me
    return outcome


def _check_own_user(user: str | int | None, me: Ids, accounts: Accounts) -> None:
    if user is None:
        return
    account = _account(user, accounts)
    if account.uid == 0:
        raise Refused("user", "uid 0 is never allowed to a site", forbidden=True)
    if account.uid != me.uid:
        raise Refused("user", f"only root can start a site as {user}: this server would be {me.name} (uid {me.uid})")


def _check_own_group(key: str, group: str | int | None, me: Ids, accounts: Accounts) -> None:
    """``group`` can only be the user's own, ``groups`` those it is in anyway."""
    if group is None:
        return
    gid = _gid(key, group, accounts)
    if gid == 0 and gid not in (me.gid, *me.groups):
        raise Refused(key, "gid 0 is never allowed to a site", forbidden=True)
    if gid != me.gid and (key == "group" or gid not in me.groups):
        raise Refused(
            key, f"only root can give a site the group {group}: this server would have {accounts.group_name(me.gid)}"
        )


def socket_owner(said: Mapping[str, Any], me: Ids, accounts: Accounts) -> tuple[int, int]:
    """uid and gid of a pool_socket, by its ``owner`` (else who starts the server) and ``group``.  Raises `Refused`."""
    owner = me if said["owner"] is None else _account(said["owner"], accounts)
    gid = owner.gid if said["group"] is None else _gid("pool_socket", said["group"], accounts)
    if me.uid != 0 and (owner.uid != me.uid or gid not in (me.gid, *me.groups)):
        raise Refused("pool_socket", f"only root can give a socket to others than {me.name} and its groups")
    return owner.uid, gid


# --- ids


def _attempt(outcome: Outcome, step: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T | None:
    """Its result, or None with the refusal kept."""
    try:
        return step(*args, **kwargs)
    except Refused as refused:
        outcome.refusals.append(refused)
        return None


def _account(said: str | int, accounts: Accounts) -> Ids:
    """A name must have an account, a number need not: its group is then the same number."""
    account = accounts.user(said)
    if account is not None:
        return account
    if isinstance(said, int):
        return Ids(said, said, (), str(said))
    raise Refused("user", f"there is no account {quoted(said)}")


def _gid(key: str, said: str | int, accounts: Accounts) -> int:
    if isinstance(said, int):
        return said
    gid = accounts.group(said)
    if gid is None:
        raise Refused(key, f"there is no group {quoted(said)}")
    return gid


def _check_uid(key: str, uid: int, rules: Rules, allowed: tuple[int, int] | None) -> None:
    if uid == 0:
        raise Refused(key, "uid 0 is never allowed to a site", forbidden=True)
    for role, ids in rules.roles.items():
        if uid == ids.uid:
            raise Refused(key, f"uid {uid} is {role}: no site may have it", forbidden=True)
    if allowed and not allowed[0] <= uid <= allowed[1]:
        hint = ""
        if rules.server and uid == rules.server.uid:
            hint = "leave user out: a site that names none is the server's user"
        raise Refused(key, f"uid {uid} is outside uid_range {allowed[0]} to {allowed[1]}", hint, forbidden=True)


def _check_gid(
    key: str, gid: int, rules: Rules, allowed: tuple[int, int] | None, accounts: Accounts, what: str = ""
) -> None:
    reason = ""
    role = next((role for role, ids in rules.roles.items() if gid == ids.gid), None)
    if gid == 0:
        reason = "is never allowed to a site"
    elif role is not None:
        reason = f"is that of {role}: no site may have it"
    elif allowed and not allowed[0] <= gid <= allowed[1]:
        reason = f"is outside gid_range {allowed[0]} to {allowed[1]}"
    if reason:
        raise Refused(key, f"{what}{accounts.group_name(gid)} {reason}", forbidden=True)
