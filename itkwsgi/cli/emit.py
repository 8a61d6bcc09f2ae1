"""Writes TOML, by the package ``toml`` with a dumper of strings of our own.

toml 0.10.2 writes wrong escapes: ``\\x2f`` becomes ``/``, control characters come out broken.  So every text is first
read again, by tomllib, and compared: what does not come back the same is never handed out.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from typing import Any

import toml

from itkwsgi.config.keys import ENVIRONMENT, SERVER, VHOST
from itkwsgi.config.model import Area, Config, Listen, PoolSocket, Said, Server, Vhost
from itkwsgi.config.values import ALL_OVERRIDABLE, OVERRIDABLE
from itkwsgi.errors import Bug
from itkwsgi.ini.registry import BY_NAME

_ESCAPES = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", '"': '\\"', "\\": "\\\\"}


def basic_string(text: str) -> str:
    """A TOML basic string: what is not printable is escaped."""
    return '"' + "".join(_ESCAPES.get(char) or _visible(char) for char in text) + '"'


def _visible(char: str) -> str:
    if char.isprintable():
        return char
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}"


class Encoder(toml.TomlEncoder):  # type: ignore[type-arg]
    """toml's, with right strings, and lists without a comma at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.dump_funcs[str] = basic_string

    def dump_list(self, v: Iterable[Any]) -> str:
        """[a, b]."""
        return f"[{', '.join(str(self.dump_value(element)) for element in v)}]"


def dump(tables: Mapping[str, Any]) -> str:
    """TOML text of these tables, in their order; keys must be bare, plain values before tables.

    Raises `Bug` when it would not be read back the same.
    """
    text = "\n".join(toml.dumps({name: value}, encoder=Encoder()) for name, value in tables.items())
    try:
        same = tomllib.loads(text) == tables
    except tomllib.TOMLDecodeError as error:
        raise Bug(f"wrote TOML that is none: {error}") from error
    if not same:
        raise Bug("wrote TOML that means something else")
    return text


def dump_config(config: Config) -> str:
    """The effective configuration as one file: all defaults filled in, includes in their places, paths absolute."""
    tables: dict[str, Any] = {"server": server_table(config.server)}
    if config.environments:
        tables["environment"] = {
            name: {key.name: plain(getattr(environment, key.name)) for key in ENVIRONMENT.keys}
            for name, environment in config.environments.items()
        }
    if config.vhosts:
        tables["vhost"] = [vhost_table(vhost, config.server) for vhost in config.sites]
    return dump(tables)


def server_table(server: Server) -> dict[str, Any]:
    """[server]; without a user when there is no account for the default."""
    table = {key.name: plain(getattr(server, key.name)) for key in SERVER.keys}
    table["group"] = server.user_id.gid if server.user_id is not None else None
    return said(table)


def vhost_table(vhost: Vhost, server: Server) -> dict[str, Any]:
    """[[vhost]]; a site that named no user names none here, since the server's may be outside uid_range."""
    table = {key.name: plain(getattr(vhost, key.name, None)) for key in VHOST.keys}
    table["listen"] = plain(vhost.listens)
    table["env"] = dict(vhost.env)
    if vhost.ids is not None:
        table["groups"] = list(vhost.ids.groups)
        if vhost.user is not None or server.user_id is None or vhost.ids.gid != server.user_id.gid:
            table["group"] = vhost.ids.gid
    if vhost.allow_override == OVERRIDABLE:
        table["allow_override"] = [ALL_OVERRIDABLE]
    table |= settings_tables(vhost.settings)
    table["directory"] = [area_table(area) for area in vhost.directories] or None
    table["location"] = [area_table(area) for area in vhost.locations] or None
    return said(table)


def area_table(area: Area) -> dict[str, Any]:
    """[[vhost.directory]] or [[vhost.location]]."""
    return said({"path": area.path or "/", **settings_tables(area.settings)})


def settings_tables(settings: Mapping[str, Said]) -> dict[str, Any]:
    """Both tables of settings."""
    return {"value": settings_table(settings, fixed=False), "admin_value": settings_table(settings, fixed=True)}


def settings_table(settings: Mapping[str, Said], *, fixed: bool) -> dict[str, Any]:
    """[vhost.value], or [vhost.admin_value] with what is fixed."""
    return {name: BY_NAME[name].written(said.value) for name, said in settings.items() if said.fixed == fixed}


def said(table: dict[str, Any]) -> dict[str, Any]:
    """Without the keys that have no value (TOML has no null) and empty tables (toml drops them)."""
    return {name: value for name, value in table.items() if value is not None and value != {}}


def plain(value: object) -> Any:
    """A value of the model as it would be written."""
    if isinstance(value, Listen):
        return value.text
    if isinstance(value, PoolSocket):
        return {"path": value.path, "owner": value.uid, "group": value.gid, "mode": f"{value.mode:04o}"}
    if isinstance(value, tuple):
        return [plain(element) for element in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
