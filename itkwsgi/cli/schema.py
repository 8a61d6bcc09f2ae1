"""``itkwsgi schema``: the JSON schema (2020-12) of itk.toml, for editors that check and complete TOML.

It comes from the declarations that also read the file.  A schema says less than the reader: what it refuses the reader
refuses too, and never the other way round; ids, paths and the like are looked at by ``itkwsgi check`` alone.
"""

from __future__ import annotations

import json
from typing import Any

import click

from itkwsgi.config.declare import Key, Table, schema
from itkwsgi.config.keys import DIRECTORY, ENVIRONMENT, LOCATION, SERVER, TOP, VALUE, VHOST
from itkwsgi.ini.registry import BY_NAME

DIALECT = "https://json-schema.org/draft/2020-12/schema"
NONE_IN_ANY_CASE = {"type": "string", "pattern": "^[Nn][Oo][Nn][Ee]$"}

# Tables within tables, by the key that holds them: each is described once, below $defs.
_SETTINGS = {"value": "settings", "admin_value": "settings"}
_AREAS = {"directory": "directory", "location": "location"}


@click.command("schema")
def schema_command() -> None:
    """Write the JSON schema of itk.toml to stdout, for editors."""
    click.echo(json.dumps(whole_schema(), indent=2))


def whole_schema() -> dict[str, Any]:
    """The schema of a whole file."""
    top = schema(TOP)
    properties: Any = top["properties"]
    return {
        "$schema": DIALECT,
        "title": "itk.toml",
        "description": "The configuration of itkwsgi.",
        **top,
        "properties": {
            "include": properties["include"] | {"default": []},
            "server": ref("server", "The server."),
            "environment": {
                "type": "object",
                "description": "Interpreters with the packages that sites share, by name.",
                "propertyNames": {"pattern": "^[A-Za-z0-9_-]{1,64}$"},
                "additionalProperties": ref("environment"),
            },
            "vhost": list_of("vhost", "The sites."),
        },
        "$defs": {
            "server": described(SERVER),
            "environment": described(ENVIRONMENT),
            "vhost": described(VHOST),
            "directory": described(DIRECTORY),
            "location": described(LOCATION),
            "settings": settings_schema(),
        },
    }


def ref(name: str, description: str = "") -> dict[str, Any]:
    """What is described elsewhere."""
    found = {"$ref": f"#/$defs/{name}"}
    return {**found, "description": description} if description else found


def list_of(name: str, description: str) -> dict[str, Any]:
    """A list of tables that are described elsewhere."""
    return {"type": "array", "description": description, "items": ref(name)}


def described(table: Table) -> dict[str, Any]:
    """The schema of a table, with what its declarations say beyond the kinds of values."""
    found: dict[str, Any] = schema(table)
    return {**found, "title": table.title, "properties": {key.name: key_schema(key) for key in table.keys}}


def key_schema(key: Key) -> dict[str, Any]:
    """The schema of one key: units, defaults and what holds without a value are said in words too."""
    description = key_description(key)
    if key.name in _SETTINGS:
        return ref(_SETTINGS[key.name], description)
    if key.name in _AREAS:
        return list_of(_AREAS[key.name], description)
    found: dict[str, Any] = {**key.kind.schema, "description": description}
    if key.default is not None:
        found["default"] = key.default
    return found


def key_description(key: Key) -> str:
    """Help, unit, and what holds without a value."""
    unit = key.unit or key.kind.unit
    parts = [key.help, f"Unit: {unit}." if unit else "", f"Default: {key.otherwise}." if key.otherwise else ""]
    return " ".join(filter(None, parts))


def settings_schema() -> dict[str, Any]:
    """The schema of a table of settings.  "none" is a value of each."""
    found: dict[str, Any] = schema(VALUE)
    return {
        **found,
        "title": "settings",
        "properties": {key.name: setting_schema(key) for key in VALUE.keys},
    }


def setting_schema(key: Key) -> dict[str, Any]:
    """The schema of one setting."""
    setting = BY_NAME[key.name]
    return {
        "anyOf": [setting.kind.schema, NONE_IN_ANY_CASE],
        "description": key_description(key),
        "default": setting.written(setting.default),
    }
