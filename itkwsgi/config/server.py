"""[server], resolved: who the server's own processes are, who a site is by default, where its files are.

Started by an ordinary user, everything is that user; what was said of other users is then not enforced, and a note
says so.
"""

from __future__ import annotations

from collections.abc import Mapping

from itkwsgi.config.files import Place
from itkwsgi.config.identities import DEFAULT_USER, ROLES, Refused, Rules, role_ids, role_said, same_role, server_ids
from itkwsgi.config.keys import SERVER
from itkwsgi.config.machine import Machine
from itkwsgi.config.model import Ids, Server
from itkwsgi.config.reach import ENTER, READ, refusal
from itkwsgi.config.reading import Report, Section
from itkwsgi.ini.values import Fault

NOT_ENFORCED = "user, group, uid_range, gid_range, id_namespace, front_user, zygote_user, log_user"


def resolve_server(section: Section, machine: Machine, report: Report) -> tuple[Server, Rules]:
    """The server, and what binds its sites' ids.  What is wrong goes into the report."""
    values = dict(section.values)
    for role in ROLES:
        values[role.key] = role_said(role, values[role.key], machine.accounts)
    if values["user"] is None and machine.accounts.user(DEFAULT_USER):
        values["user"] = DEFAULT_USER
    if machine.is_root:
        rules = _rules(section, values, machine, report)
        _need_namespaces(section, machine, report)
    else:
        rules = Rules(machine.me, None, None, {role.key: machine.me for role in ROLES})
        values["id_namespace"] = False
        _note_ordinary(section.place, machine.me, report)
        _need_home(section, machine, report)
    _check_package(section, rules.roles, machine, report)
    server = Server(
        **values,
        user_id=rules.server,
        front_ids=rules.roles["front_user"],
        zygote_ids=rules.roles["zygote_user"],
        log_ids=rules.roles["log_user"],
    )
    return server, rules


def _rules(section: Section, values: Mapping[str, object], machine: Machine, report: Report) -> Rules:
    roles = {role.key: _role(section, role.key, values[role.key], machine, report) for role in ROLES}
    for refused in same_role(roles):
        _report(section, refused, report)
    faulty = section.faulty
    uid_range = None if "uid_range" in faulty else section.values["uid_range"]
    gid_range = None if "gid_range" in faulty else section.values["gid_range"]
    _note_roles_in_range(section, roles, uid_range, report)
    outcome = server_ids(
        section.values["user"], section.values["group"], Rules(None, uid_range, gid_range, roles), machine.accounts
    )
    for refused in outcome.refusals:
        _report(section, refused, report)
    server_refused = bool(outcome.refusals or {"user", "group"} & faulty)
    return Rules(outcome.ids, uid_range, gid_range, roles, server_refused)


def _role(section: Section, key: str, said: object, machine: Machine, report: Report) -> Ids:
    """Ids of a role; of one that is wrong, its default number's, so that reading can go on."""
    number = next(role.number for role in ROLES if role.key == key)
    if isinstance(said, str | int):
        try:
            return role_ids(key, said, machine.accounts)
        except Refused as refused:
            _report(section, refused, report)
    return Ids(number, number, (), str(number))


def _note_roles_in_range(
    section: Section, roles: Mapping[str, Ids], uid_range: tuple[int, int] | None, report: Report
) -> None:
    """The zygotes' system calls are held to the range, so what is in it is within their reach."""
    low, high = uid_range or (0, -1)
    inside = [f"{key} ({ids.uid})" for key, ids in roles.items() if low <= ids.uid <= high]
    if inside:
        message = f"holds {', '.join(inside)}: a zygote that is taken over could become them"
        report.notes.append(section.fault("uid_range", message))


def _report(section: Section, refused: Refused, report: Report) -> None:
    report.errors.append(section.fault(refused.key, refused.message, refused.hint))


def _note_ordinary(place: Place, me: Ids, report: Report) -> None:
    who = f"{me.name} (uid {me.uid})"
    message = f"started by {who}, not by root: every process is {who}; not enforced: {NOT_ENFORCED}"
    report.notes.append(Place(place.document).problem(Fault(message)))


def _need_home(section: Section, machine: Machine, report: Report) -> None:
    """Defaults below the home directory need one."""
    needed = () if machine.home else (key.name for key in SERVER.keys if key.ordinary is not None)
    for name in needed:
        if name not in section.said:
            report.errors.append(section.fault(name, f"is needed: {machine.me.name} has no home directory for it"))


def _need_namespaces(section: Section, machine: Machine, report: Report) -> None:
    """A protection that was asked for and cannot be had is no warning."""
    if not section.values["id_namespace"]:
        return
    reason = ""
    if not machine.abilities.user_namespaces:
        reason = "this kernel has no user namespaces, or permits none (user.max_user_namespaces)"
    elif not machine.abilities.sys_admin:
        reason = "the server has no CAP_SYS_ADMIN, which they take"
    if reason:
        report.errors.append(section.fault("id_namespace", f"cannot be had: {reason}"))


def _check_package(section: Section, roles: Mapping[str, Ids], machine: Machine, report: Report) -> None:
    """Every role must read itkwsgi itself."""
    for key, ids in roles.items():
        reason = refusal(machine.package, ids, READ | ENTER, "directory", machine.sight)
        if reason:
            hint = "install it where everybody can read it, as in /opt"
            report.errors.append(section.fault(key, f"{reason}, and itkwsgi itself is in {machine.package}", hint))
