"""The settings of a site as a whole: what [vhost.value] and [vhost.admin_value] come to."""

from __future__ import annotations

from collections.abc import Iterator

from itkwsgi.config.model import Problem, Said
from itkwsgi.config.reading import Section

# Later tables win.
TABLES = ("value", "admin_value")


def settings_of(section: Section) -> dict[str, Said]:
    """What is said, by name: an admin_value beats a value."""
    return {
        name: Said(value, table == "admin_value", section.where(table, name))
        for table in TABLES
        for name, value in section.values[table].items()
    }


def steps_of(name: str, said: Said) -> tuple[str, str]:
    """Where in its [[vhost]] the setting stands."""
    return "admin_value" if said.fixed else "value", name


def overruled(section: Section) -> Iterator[Problem]:
    """Notes on what is said twice."""
    for name in section.values["value"]:
        if name in section.values["admin_value"]:
            where = section.where("admin_value", name)
            yield section.fault_in(("value", name), f"has no effect: [vhost.admin_value] fixes it at {where}")
