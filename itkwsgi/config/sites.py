"""One [[vhost]], resolved: who it is, where its app is, which interpreter it gets, and what is wrong with it alone.

What only this site loses by is a problem of the site: it is broken, the others are served.  What would be wrong for
everybody (a forbidden id, two keys that exclude each other) is an error of the configuration.

The disk is looked at by lstat alone, as root sees it, judged for the site's user.  Without ``look`` no path of a site
is touched: a file system that hangs is then not waited for.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from itkwsgi.config import apps, areas, confined, environments, identities, private_tmp
from itkwsgi.config.machine import Machine
from itkwsgi.config.model import Ids, PoolSocket, Problem, Server, Vhost
from itkwsgi.config.parts import Part
from itkwsgi.config.reach import ENTER, EXECUTE, READ, refusal
from itkwsgi.config.reading import Report, Section
from itkwsgi.config.settings import steps_of
from itkwsgi.config.walk import exists, untrusted
from itkwsgi.ini.values import Wrong, closest

NICEST, LEAST_NICE = 19, -20
_INTERPRETERS = ("environment", "venv", "python")
# Keys that the model has under other names, or in another form.
_RESOLVED = ("listen", "group", "groups", "value", "admin_value", "directory", "location")

Wanted: TypeAlias = tuple[str, str, int, str]  # key, path, rights, kind


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a site is resolved against.  ``environments``: venv by name, "" for one that is wrong."""

    machine: Machine
    server: Server
    rules: identities.Rules
    environments: dict[str, str]
    server_faulty: frozenset[str]
    report: Report
    look: bool


def resolve_vhost(index: int, section: Section, around: Surroundings) -> tuple[Vhost, dict[str, Part]]:
    """The site, and which prefixes of it are parts and hold what.

    Errors and notes go into the report, what is the site's own into its ``problems``.
    """
    site = _Site(section, around)
    return site.vhost(index), site.parts


class _Site:
    def __init__(self, section: Section, around: Surroundings) -> None:
        self.section = section
        self.said: dict[str, Any] = dict(section.values)
        self.around = around
        self.machine = around.machine
        self.problems: list[Problem] = []
        self.parts: dict[str, Part] = {}

    def vhost(self, index: int) -> Vhost:
        """Resolve everything, in the order that a reader of the file would."""
        said = self.said
        ids = self.identity()
        root = self.root()
        values = {
            **{key: value for key, value in said.items() if key not in _RESOLVED},
            "aliases": self.aliases(),
            "listens": self.listens(),
            "ids": ids,
            "root": root,
            "app": self.app(root),
            "environment": self.environment(),
            "nice": self.nice(),
            "pool_socket": self.pool_socket(),
        }
        needed = tuple(self.wanted(root, values["app"], values["environment"]))
        if self.around.look:
            self.problems += self.out_of_reach(ids, root, values["app"], needed)
        values["file"] = apps.place_of(values["app"], root, self.is_directory)
        divided = self.divided(values["file"])
        walls = self.walls(ids, root, values["app"], values["environment"], divided)
        values |= divided.fields()
        values |= {"binary": self.confine(walls), "private_var_tmp": self.own_tmp(walls, needed)}
        return Vhost(
            index=index, problems=tuple(dict.fromkeys(self.problems)), where=self.section.place.where, **values
        )

    # --- findings

    def error(self, key: str, message: str, hint: str = "") -> None:
        self.around.report.errors.append(self.section.fault(key, message, hint))

    def note(self, key: str, message: str) -> None:
        self.around.report.notes.append(self.section.fault(key, message))

    def problem(self, key: str, message: str, hint: str = "") -> None:
        self.problems.append(self.section.fault(key, message, hint))

    def refused(self, refused: identities.Refused, key: str = "") -> None:
        """An identity that cannot be had: this site's trouble, or everybody's."""
        record = self.error if refused.forbidden else self.problem
        record(key or refused.key, refused.message, refused.hint)

    # --- what was said

    def identity(self) -> Ids | None:
        """Who it is."""
        faulty = frozenset({"user", "group", "groups"} & self.section.faulty)
        if self.machine.is_root:
            outcome = identities.site_ids(self.said, self.around.rules, self.machine.accounts, faulty)
        else:
            outcome = identities.own_ids(self.said, self.machine.me, self.machine.accounts)
        for refused in outcome.refusals:
            self.refused(refused)
        for key, message in outcome.notes:
            self.note(key, message)
        return None if faulty else outcome.ids

    def aliases(self) -> tuple[str, ...]:
        """Each name once; what repeats the site's own says nothing new."""
        return tuple(alias for alias in dict.fromkeys(self.said["aliases"]) if alias != self.said["name"])

    def listens(self) -> tuple[Any, ...]:
        """The site's own addresses, else all of the server's."""
        listens: tuple[Any, ...] = self.said["listen"] or self.around.server.listen
        if not listens and "listen" not in self.section.faulty | self.around.server_faulty:
            self.error("listen", "neither the site nor [server] has an address to listen on")
        return listens

    def root(self) -> str:
        """Its directory; "" when there is none to be had."""
        root = self.said["root"]
        if root is None and self.said["app"] is not None:
            root = apps.directory_of(self.said["app"])
        if root is None and not {"app", "root"} & self.section.faulty:
            self.error("root", "is needed: the site's directory")
        return root or ""

    def app(self, root: str) -> str:
        """The app, a file as an absolute path."""
        if not self.said["app"] or not root:
            return ""
        try:
            return apps.resolve(self.said["app"], root, self.sees)
        except Wrong as wrong:
            self.error("app", str(wrong))
            return ""

    def sees(self, path: str) -> bool:
        """Is there anything of that name, as far as we look?"""
        return self.around.look and exists(path, self.machine.sight)

    def environment(self) -> str | None:
        """The name of its environment; checks that it has one interpreter only."""
        given = [key for key in _INTERPRETERS if self.said[key] is not None or key in self.section.faulty]
        for key in given[1:]:
            self.error(key, f"excludes {given[0]}: a site has one interpreter")
        name: str | None = self.said["environment"]
        known = self.around.environments
        if name is not None and name not in known:
            near = closest(name, known)
            self.error("environment", f"there is no [environment.{name}]", f"did you mean {near}?" if near else "")
        if not given and "default" in known:
            return "default"
        return name

    def nice(self) -> int:
        """Clamped, as setpriority(2) does, but not silently."""
        said: int = self.said["nice"]
        nice = max(LEAST_NICE, min(NICEST, said))
        if nice != said:
            self.note("nice", f"{said} is beyond {nice}: {nice} is used")
        return nice

    def pool_socket(self) -> PoolSocket | None:
        """Its own socket, with the ids of its owner."""
        said = self.said["pool_socket"]
        if said is None:
            return None
        try:
            uid, gid = identities.socket_owner(said, self.machine.me, self.machine.accounts)
        except identities.Refused as refused:
            self.refused(refused, "pool_socket")
            return None
        fault = self.fault_of_directory(os.path.dirname(said["path"])) if self.around.look else ""
        if fault:
            self.problem("pool_socket", fault, "a socket's directory must be root's, so that nobody can swap it")
        if said["mode"] & 0o002:
            self.note("pool_socket", f"mode {said['mode']:04o}: every user of this machine may connect")
        return PoolSocket(said["path"], uid, gid, said["mode"])

    # --- its parts, and its walls

    def divided(self, file: str) -> areas.Divided:
        """Its directories and locations, and which of them have pools of their own."""
        found = areas.divide(self.section, file)
        self.parts = found.parts
        report = self.around.report
        report.errors += found.faults
        report.notes += areas.notes(self.section, found)
        if self.around.look:
            report.notes += areas.missing(self.section, found, self.machine.sight)
        return found

    def is_directory(self, path: str) -> bool:
        """Is there a directory, as far as we look?"""
        return self.around.look and not refusal(path, None, 0, "directory", self.machine.sight)

    def walls(
        self, ids: Ids | None, root: str, app: str, environment: str | None, divided: areas.Divided
    ) -> confined.Confined:
        """What confinement is judged by."""
        own = next(((key, path) for key, path, *_ in self.own_interpreters()), None)
        settings = divided.coverage.settings
        granted = (
            self.said["venv"],
            self.around.environments.get(environment or ""),
            settings["tmp_dir"].value if "tmp_dir" in settings else None,
        )
        site = confined.Confined(
            section=self.section,
            settings=settings,
            machine=self.machine,
            ids=ids,
            root=root,
            app=apps.file_of(app) or "",
            interpreter=own,
            granted=tuple(filter(None, granted)),
            held=(divided.held, *(part.holding for part in divided.parts.values())),
        )
        inner = (replace(site, settings=told.area.settings, at=told.steps) for told in divided.told)
        return replace(site, areas=tuple(inner))

    def confine(self, walls: confined.Confined) -> str | None:
        """Judge the settings; what to execute for the interpreter."""
        report = self.around.report
        report.errors += confined.errors(walls)
        report.notes += confined.notes(walls)
        self.problems += confined.lacking(walls)
        if not self.around.look:
            return None
        self.problems += confined.problems(walls)
        return confined.binary(walls)

    def own_tmp(self, walls: confined.Confined, needed: Sequence[Wanted]) -> bool:
        """Judge private_tmp; whether it has a /var/tmp of its own too."""
        if not self.said["private_tmp"]:
            return False
        self.problems += private_tmp.lacking(self.section, self.machine)
        if not self.around.look:
            return True
        paths: list[private_tmp.Needed] = [((key,) if key else (), path) for key, path, *_ in needed]
        paths += _named_paths(walls)
        self.problems += private_tmp.hidden(self.section, paths, self.machine)
        shared = list(private_tmp.shared(self.section, paths, self.machine))
        self.around.report.notes += shared
        return not shared

    # --- what is on the disk

    def fault_of_directory(self, path: str) -> str:
        """Why no socket can be made there, or not safely."""
        sight = self.machine.sight
        return refusal(path, None, 0, "directory", sight) or untrusted(path, self.machine.trusted, sight, sticky=True)

    def out_of_reach(self, ids: Ids | None, root: str, app: str, needed: Iterable[Wanted]) -> Iterator[Problem]:
        """Everything the site's user must get at, and cannot; one directory in the way is said once."""
        reasons = {""}
        for key, path, want, kind in needed:
            reason = refusal(path, ids, want, kind, self.machine.sight)
            if reason not in reasons:
                yield self.section.fault(key, reason)
            reasons.add(reason)
        if app and not self.importable(root, app):
            yield self.section.fault("app", f"there is no file {os.path.join(root, app)}, nor a module of that name")

    def wanted(self, root: str, app: str, environment: str | None) -> Iterator[Wanted]:
        """What it cannot do without; for a module, root must be read, since importing lists it."""
        file = apps.file_of(app)
        if root:
            yield "root", root, ENTER if file else READ | ENTER, "directory"
        if file:
            yield "app", file, READ, "file"
        yield from self.own_interpreters()
        venv = self.around.environments.get(environment or "")
        if venv:
            yield "environment", environments.interpreter(venv), EXECUTE, "file"
        yield "", self.machine.package, READ | ENTER, "directory"

    def own_interpreters(self) -> Iterator[Wanted]:
        """One, unless it is refused for naming two."""
        if self.said["venv"] is not None:
            yield "venv", environments.interpreter(self.said["venv"]), EXECUTE, "file"
        if self.said["python"] is not None:
            yield "python", self.said["python"], EXECUTE, "file"

    def importable(self, root: str, app: str) -> bool:
        """False for ``hello.wsgi`` alone when root has neither that file nor a beginning of that module."""
        if apps.file_of(app) or not apps.may_be_file(app):
            return True
        first = os.path.join(root, app.partition(".")[0])
        sight = self.machine.sight
        return any(not refusal(path, None, 0, sight=sight) for path in (first, f"{first}.py", os.path.join(root, app)))


def _named_paths(walls: confined.Confined) -> Iterator[private_tmp.Needed]:
    """What settings name, of the site and of its areas."""
    for each in walls.every:
        for name in ("open_basedir", "tmp_dir"):
            said = each.settings.get(name)
            if said is not None and said.value:
                yield from (((*each.at, *steps_of(name, said)), path) for path in _each(said.value))


def _each(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value
