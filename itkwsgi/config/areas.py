"""What is said for parts of a site, as its [[vhost.directory]] and [[vhost.location]] tables say it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from itkwsgi.config.coverage import Coverage, Table
from itkwsgi.config.model import Area, Problem
from itkwsgi.config.parts import Held, Part, held_by_site, split
from itkwsgi.config.reading import Section
from itkwsgi.config.settings import ENGINE, overruled, settings_at, settings_of
from itkwsgi.config.walk import Sight, exists
from itkwsgi.ini.locate import Path

_SERVES_NOTHING = "none of its files is served by this version: every request goes to the app"


@dataclass(frozen=True, slots=True)
class Told:
    """An area, and where in its [[vhost]] it stands."""

    area: Area
    steps: Path


@dataclass(frozen=True, slots=True)
class Divided:
    """One site: its areas short to long, what holds in its own pool, which prefixes have another, what is wrong."""

    coverage: Coverage
    directories: tuple[Told, ...]
    locations: tuple[Told, ...]
    held: Held
    parts: dict[str, Part]
    faults: tuple[Problem, ...]

    @property
    def told(self) -> tuple[Told, ...]:
        """All areas."""
        return (*self.directories, *self.locations)

    def fields(self) -> dict[str, Any]:
        """What the model has of it."""
        coverage = self.coverage
        return {
            "settings": coverage.settings,
            "directories": coverage.directories,
            "locations": coverage.locations,
            "holding": self.held,
            "part_of": None,
            "prefix": "",
        }


def divide(section: Section, file: str) -> Divided:
    """Read the areas of a site.  ``file``: its app's, "" when there is none to be had."""
    directories, wrong_directories = areas_of(section, "directory")
    locations, wrong_locations = areas_of(section, "location")
    coverage = Coverage(
        public=section.values["public"],
        file=file,
        settings=settings_of(section),
        directories=tuple(told.area for told in directories),
        locations=tuple(told.area for told in locations),
    )
    held = held_by_site(coverage)
    parts = split(coverage, held)
    faults = (*wrong_directories, *wrong_locations, *_not_by_socket(section, parts))
    return Divided(coverage, directories, locations, held, parts, faults)


def areas_of(section: Section, key: str) -> tuple[tuple[Told, ...], list[Problem]]:
    """The tables of that key, from the shortest path to the longest; and what is wrong with them."""
    found: dict[str, Told] = {}
    faults: list[Problem] = []
    for index, values in enumerate(section.values[key]):
        path, steps = values["path"], (key, index)
        if path is None:  # said already
            continue
        if path in found:
            faults.append(section.fault_in((*steps, "path"), f"is that of the table at {found[path].area.where} too"))
        elif values[ENGINE] is not None and ENGINE in values["admin_value"]:
            faults.append(section.fault_in((*steps, ENGINE), "stands in admin_value too: say it once"))
        found.setdefault(path, Told(Area(path, settings_at(section, values, steps), section.where(*steps)), steps))
    return tuple(sorted(found.values(), key=lambda told: (len(told.area.path), told.area.path))), faults


def _not_by_socket(section: Section, parts: dict[str, Part]) -> Iterator[Problem]:
    """Another web server knows one socket, and cannot choose between pools."""
    for prefix in parts if section.values["pool_socket"] is not None else ():
        yield section.fault("pool_socket", f"{prefix} needs a pool of its own, which pool_socket cannot choose")


# --- notes


def notes(section: Section, site: Divided) -> Iterator[Problem]:
    """What has no effect and why, and what has one that costs."""
    if site.coverage.public is not None:
        yield section.fault("public", _SERVES_NOTHING)
    yield from overruled(section, section.values, site.coverage.settings, {})
    for told in site.directories:
        if site.coverage.file_at("") and site.coverage.prefix_of(told.area.path) is None:
            yield section.fault_in((*told.steps, "path"), f"has no effect: {_where_requests_are(site.coverage)}")
        yield from _overruled(section, told, site.coverage.said_above(told.area))
    for told in site.locations:
        yield from _overruled(section, told, site.coverage.said_at(told.area.path, without=told.area))
    yield from _pools(section, site)


def _where_requests_are(coverage: Coverage) -> str:
    if coverage.public:
        return f"every URL means a file in public, {coverage.public}"
    return f"without public every request is in the app's directory, that of {coverage.file}"


def _overruled(section: Section, told: Told, above: Table) -> Iterator[Problem]:
    key, index = told.steps
    return overruled(section, section.values[str(key)][index], told.area.settings, above, told.steps)


def _pools(section: Section, site: Divided) -> Iterator[Problem]:
    for prefix, part in site.parts.items():
        for told in site.told:
            names = [name for name in part.because_of if told.area.settings.get(name) is part.holding[name]]
            if names:
                message = f"{prefix} has a pool of its own, for {' and '.join(names)}"
                yield section.fault_in((*told.steps, "path"), message)


def missing(section: Section, site: Divided, sight: Sight) -> Iterator[Problem]:
    """Notes on what is not on the disk, which may be meant so."""
    named: list[tuple[Path, str]] = [((*told.steps, "path"), told.area.path) for told in site.directories]
    if site.coverage.public is not None:
        named.append((("public",), site.coverage.public))
    for steps, path in named:
        if not exists(path, sight):
            yield section.fault_in(steps, f"{path} does not exist")
