"""From documents to sections: every table of every file, read by its declaration.

The main file may hold everything, an included one only [[vhost]] and [environment.NAME].  Faults go into the
`Report`, and reading goes on: the operator gets all of them at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from itkwsgi.config import keys
from itkwsgi.config.declare import Table, defaults, read
from itkwsgi.config.files import Document, Place
from itkwsgi.config.model import Problem
from itkwsgi.ini.locate import Path
from itkwsgi.ini.values import Fault, quoted, shown

_ENVIRONMENT_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ONLY_MAIN = ("include", "server")


@dataclass(slots=True)
class Report:
    """What was found: ``errors`` stop everything, ``notes`` nothing."""

    errors: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Section:
    """One table.  ``values`` has every key, ``said`` names those that were written, ``faulty`` those that are wrong."""

    place: Place
    values: Mapping[str, Any]
    said: frozenset[str]
    faulty: frozenset[str]

    def fault(self, key: str, message: str, hint: str = "") -> Problem:
        """A problem with that key of this table."""
        return self.place.problem(Fault(message, hint, (key,) if key else ()))

    def fault_in(self, steps: Path, message: str, hint: str = "") -> Problem:
        """A problem with something deeper in this table: the steps to it."""
        return self.place.problem(Fault(message, hint, steps))

    def where(self, *steps: str | int) -> str:
        """file:line of something in this table."""
        document = self.place.document
        return f"{document.name}:{document.line((*self.place.path, *steps))}"

    def fault_at(self, key: str, index: int, message: str) -> Problem:
        """A problem with one element of a list; of a list in which others were left out, with the list."""
        return self.place.problem(Fault(message, "", (key,) if key in self.faulty else (key, index)))


@dataclass(slots=True)
class Sections:
    """All tables of all files, in the order they count."""

    server: Section
    environments: dict[str, Section] = field(default_factory=dict)
    vhosts: list[Section] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads tables into sections.  ``home``: of the ordinary user who starts the server, None for root."""

    report: Report
    home: str | None

    def sections(self, main: Document, others: Iterable[Document]) -> Sections:
        """Every table of these documents."""
        raw = main.tables.get("server", {})
        found = Sections(self.section(Place(main, ("server",), ("server",)), raw, keys.SERVER))
        for document in (main, *others):
            self.check_top(document, is_main=document is main)
            self.read_environments(document, found.environments)
            self.read_vhosts(document, found.vhosts)
        return found

    def include(self, main: Document) -> tuple[str, ...]:
        """The main file's ``include``, () when it is wrong."""
        raw = {name: value for name, value in main.tables.items() if name == "include"}
        values, faults = read(keys.TOP, raw, main.directory, {"include": ()})
        self.report.errors += map(Place(main).problem, faults)
        return tuple(values["include"])

    def check_top(self, document: Document, is_main: bool) -> None:
        """Keys at the top of a file."""
        _, faults = read(keys.TOP, {**document.tables, "include": []}, document.directory, {}, keys.TABLES)
        if not is_main:
            faults += [
                Fault("stands in an included file", "only the main file may have it", (name,))
                for name in _ONLY_MAIN
                if name in document.tables
            ]
        self.report.errors += map(Place(document).problem, faults)

    def read_environments(self, document: Document, found: dict[str, Section]) -> None:
        """[environment.NAME], each name once."""
        raw = document.tables.get("environment", {})
        if not isinstance(raw, dict):
            self.refuse(
                document, ("environment",), f"{shown(raw)} stands where tables must", "write [environment.NAME]"
            )
            return
        for name, table in raw.items():
            path = ("environment", name)
            section = self.section(Place(document, path, path), table, keys.ENVIRONMENT)
            if not _ENVIRONMENT_NAME.fullmatch(name):
                self.refuse(document, path, f"{quoted(name)} is no name for an environment", "letters, digits, - and _")
            elif name in found:
                self.refuse(document, path, f"there is one of that name already, at {found[name].place.where}")
            elif isinstance(table, dict):
                found[name] = section

    def read_vhosts(self, document: Document, found: list[Section]) -> None:
        """[[vhost]], one after the other."""
        raw = document.tables.get("vhost", [])
        if not isinstance(raw, list):
            self.refuse(document, ("vhost",), f"{shown(raw)} stands where a list of tables must", "write [[vhost]]")
            return
        for index, table in enumerate(raw):
            section = self.section(Place(document, ("vhost", index), ("vhost",)), table, keys.VHOST)
            if isinstance(table, dict):
                found.append(section)

    def section(self, place: Place, raw: object, table: Table) -> Section:
        """One table; one that is no table has every key faulty."""
        preset = defaults(table, place.document.directory, self.home)
        if not isinstance(raw, dict):
            self.report.errors.append(
                place.problem(Fault(f"{shown(raw)} stands where a table must", f"write {table.title}"))
            )
            return Section(place, preset, table.names, table.names)
        values, faults = read(table, raw, place.document.directory, preset, keys.TABLES)
        self.report.errors += map(place.problem, faults)
        return Section(place, values, frozenset(raw), frozenset(str(fault.steps[0]) for fault in faults))

    def refuse(self, document: Document, path: tuple[str, ...], message: str, hint: str = "") -> None:
        self.report.errors.append(Place(document).problem(Fault(message, hint, path)))
