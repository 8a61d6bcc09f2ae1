"""Settings as the tables of a site say them: value, admin_value, and the key ``engine``, which is one of the latter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from itkwsgi.config.model import Problem, Said
from itkwsgi.config.reading import Section
from itkwsgi.ini.locate import Path

# Later tables win.
TABLES = ("value", "admin_value")
ENGINE = "engine"


def settings_of(section: Section) -> dict[str, Said]:
    """What is said for the site as a whole, by name: an admin_value beats a value."""
    return settings_at(section, section.values, ())


def settings_at(section: Section, values: Mapping[str, Any], steps: Path) -> dict[str, Said]:
    """The same of a table with these values, ``steps`` below the [[vhost]]."""
    found = {
        name: Said(value, table == "admin_value", section.where(*steps, table, name))
        for table in TABLES
        for name, value in values[table].items()
    }
    if values.get(ENGINE) is not None:
        found[ENGINE] = Said(values[ENGINE], True, section.where(*steps, ENGINE))
    return found


def steps_of(name: str, said: Said) -> Path:
    """Where below its table the setting stands."""
    return "admin_value" if said.fixed else "value", name


def overruled(
    section: Section, values: Mapping[str, Any], own: Mapping[str, Said], above: Mapping[str, Said], steps: Path = ()
) -> Iterator[Problem]:
    """Notes on values that an admin_value fixes: of the same table (``own``: what it comes to), or above it."""
    for name in values["value"]:
        said = above.get(name)
        if own[name].fixed:
            table = "an admin_value" if steps else "[vhost.admin_value]"
            message = f"has no effect: {table} fixes it at {own[name].where}"
        elif said is not None and said.fixed:
            message = f"has no effect: an admin_value fixes it at {said.where}"
        else:
            continue
        yield section.fault_in((*steps, "value", name), message)
