"""How a key is declared, and how a table is read by its declarations.

A `Key` has all there is to know of one key: its name, its `Kind` (parser, unit, JSON schema), its default as the
operator would write it, and its help.  The parser, the defaults, the schema and the reference page all come from it.
Reading a table never stops at the first fault: it returns what could be read, and every `Fault`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from itkwsgi.ini.kinds import Kind
from itkwsgi.ini.values import Fault, Wrong, closest, shown


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a table.

    ``default`` is written as in itk.toml, None for no value; ``ordinary`` is the one for a server that an ordinary user
    starts, where that differs ("~/" is that user's home).  ``otherwise`` says in words what holds without a value,
    ``required`` what to say when the key is missing and must not be.
    """

    name: str
    kind: Kind
    default: object = None
    help: str = ""
    unit: str = ""
    ordinary: object = None
    otherwise: str = ""
    required: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """The keys of one table.  ``later``: names that the full configuration has and this version has not.  ``noun``:
    what messages call a key.
    """

    title: str  # as the operator writes it: [server]
    keys: tuple[Key, ...]
    later: frozenset[str] = field(default=frozenset())
    noun: str = "key"

    @property
    def names(self) -> frozenset[str]:
        """Of the keys this version knows."""
        return frozenset(key.name for key in self.keys)


def defaults(table: Table, directory: str, home: str | None = None) -> dict[str, Any]:
    """The value of every key that is not said.  ``home``: of the ordinary user who starts the server; None for root."""
    values: dict[str, Any] = {}
    for key in table.keys:
        written = key.default if home is None or key.ordinary is None else _at_home(key.ordinary, home)
        values[key.name] = None if written is None else key.kind.parse(written, directory)
    return values


def _at_home(written: object, home: str) -> object:
    if isinstance(written, str) and written.startswith("~/"):
        return home + written[1:]
    return written


def read(
    table: Table, raw: Mapping[str, object], directory: str, preset: Mapping[str, Any], elsewhere: Iterable[Table] = ()
) -> tuple[dict[str, Any], list[Fault]]:
    """Read a table; a key that is wrong or not said has its value from ``preset``, a list what is right of it.

    ``elsewhere``: other tables, whose keys an unknown one may be.
    """
    values = dict(preset)
    faults = [unknown(name, table, elsewhere) for name in raw if name not in table.names]
    for key in table.keys:
        if key.name in raw:
            try:
                values[key.name] = key.kind.parse(raw[key.name], directory)
            except Wrong as wrong:
                faults += wrong.below(key.name)
                values[key.name] = values[key.name] if wrong.rest is None else wrong.rest
        elif key.required:
            faults.append(Fault(key.required, steps=(key.name,)))
    return values, faults


def unknown(name: str, table: Table, elsewhere: Iterable[Table] = ()) -> Fault:
    """What to say of a key that the table does not have."""
    if name in table.later:
        return Fault(f"unknown {table.noun}: this version of itkwsgi does not have it yet", steps=(name,))
    return Fault(f"unknown {table.noun}", _suggestion(name, table, elsewhere), (name,))


def _suggestion(name: str, table: Table, elsewhere: Iterable[Table]) -> str:
    homes = [other.title for other in elsewhere if name in other.names and other is not table]
    if homes:
        return f"it belongs in {' or '.join(homes)}"
    near = closest(name, table.names)
    return f"did you mean {near}?" if near else ""


# --- kinds made of others


def record(name: str, table: Table) -> Kind:
    """A small table with declared keys of its own."""

    def parse(raw: object, directory: str) -> dict[str, Any]:
        if not isinstance(raw, dict):
            raise Wrong(f"{shown(raw)} is not a table")
        values, faults = read(table, raw, directory, defaults(table, directory))
        if faults:
            raise Wrong(faults=faults)
        return values

    return Kind(name, parse, schema(table))


def part(name: str, table: Table, elsewhere: Callable[[], Iterable[Table]] = tuple) -> Kind:
    """As `record`, but what is not said is not there.  ``elsewhere``: gives the tables for `read`."""

    def parse(raw: object, directory: str) -> dict[str, Any]:
        if not isinstance(raw, dict):
            raise Wrong(f"{shown(raw)} is not a table")
        values, faults = read(table, raw, directory, dict.fromkeys(raw), elsewhere())
        if faults:
            faulty = {fault.steps[0] for fault in faults}
            right = {name: value for name, value in values.items() if name not in faulty}
            raise Wrong(faults=faults, rest=right)
        return values

    return Kind(name, parse, schema(table))


def tables(name: str, table: Table, elsewhere: Callable[[], Iterable[Table]] = tuple) -> Kind:
    """A list of tables.  What is not said has its default; what is wrong is None, so that each keeps its index."""

    def parse(raw: object, directory: str) -> tuple[dict[str, Any], ...]:
        if not isinstance(raw, list):
            raise Wrong(f"{shown(raw)} stands where a list of tables must", f"write {table.title}")
        found, faults = [], []
        for index, element in enumerate(raw):
            preset = defaults(table, directory)
            if isinstance(element, dict):
                preset, wrong = read(table, element, directory, preset, elsewhere())
                faults += [fault.below(index) for fault in wrong]
            else:
                faults.append(Fault(f"{shown(element)} stands where a table must", f"write {table.title}", (index,)))
            found.append(preset)
        if faults:
            raise Wrong(faults=faults, rest=tuple(found))
        return tuple(found)

    return Kind(name, parse, {"type": "array", "items": schema(table)})


def schema(table: Table) -> dict[str, object]:
    """The JSON schema of a table."""
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {key.name: {**key.kind.schema, "description": key.help} for key in table.keys},
        "required": [key.name for key in table.keys if key.required],
    }
