"""``itkwsgi explain``: what would answer a URL, as whom, and under which settings, before anything runs.

It is found out by the code that a site's processes use (`ini.match`, `ini.merge`, `ini.override_file`), and the site's
own files are read as the site's user.  What code sets while it runs nobody knows before.  As text, as TOML or as JSON
it is the same knowledge.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import click

from itkwsgi.cli.as_user import CannotLook, as_user
from itkwsgi.cli.config_file import DEFAULT_CONFIG
from itkwsgi.cli.explain_text import show
from itkwsgi.cli.find_site import NoSite, find_site, parse_url, part_of
from itkwsgi.config.load import load_on
from itkwsgi.config.machine import Accounts, this_machine
from itkwsgi.config.model import Area, Config, ConfigError, Said, Vhost
from itkwsgi.ini import override_file
from itkwsgi.ini.match import canonical, chain, covering, mapped, prefixes, top_of
from itkwsgi.ini.merge import Merged, Remark, merge
from itkwsgi.ini.override_file import Override
from itkwsgi.ini.registry import BY_NAME, SETTINGS, VARIABLES
from itkwsgi.ini.setting import ALL, NONE, SYSTEM, Setting
from itkwsgi.ini.tighter import PROFILE, tightens

BY_DEFAULT = "default"
BY_ENV = "env"


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="[ITK.TOML] URL")
@click.option("--config", metavar="FILE", help=f"The configuration, instead of the argument [{DEFAULT_CONFIG}].")
@click.option("--toml", "form", flag_value="toml", help="Write the same as TOML.")
@click.option("--json", "form", flag_value="json", help="Write the same as JSON.")
def explain(words: tuple[str, ...], config: str | None, form: str | None) -> None:
    """Say what answers a URL, as which user, and each setting that holds there: value, how it is enforced, where it
    was said.

    Fixed is what an admin_value said: no .itk.toml and no code changes it.  Locked is what these may not set anyway.
    """
    path, url = which(words, config)
    machine = this_machine()
    try:
        loaded = load_on(machine, path)
        found = explained(loaded, url, machine.accounts)
    except ConfigError as error:
        refuse(*map(str, error.problems), f"{path}: nothing would be served")
    except NoSite as error:
        refuse(f"{path}: {error}")
    write(found, form)


def which(words: Sequence[str], config: str | None) -> tuple[str, str]:
    """The configuration and the URL."""
    if len(words) > 2 or (len(words) == 2 and config is not None):
        raise click.UsageError("Name the configuration once, and one URL.")
    if len(words) == 2:
        return words[0], words[1]
    return DEFAULT_CONFIG if config is None else config, words[0]


def refuse(*lines: str) -> NoReturn:
    """Say what is wrong, and end."""
    for line in lines:
        click.echo(line, err=True)
    sys.exit(1)


def write(found: dict[str, Any], form: str | None) -> None:
    """To stdout."""
    if form == "json":
        click.echo(json.dumps(found, indent=2))
    elif form == "toml":
        click.echo(toml_text(found), nl=False)
    else:
        show(found)


def toml_text(found: dict[str, Any]) -> str:
    """As TOML: first the plain values, one below the other, then the tables."""
    from itkwsgi.cli.emit import dump

    ordered = dict(sorted(as_toml(found).items(), key=lambda item: is_table(item[1])))
    values, bracket, tables = dump(ordered).partition("\n[")
    return values.replace("\n\n", "\n") + bracket + tables


def is_table(value: Any) -> bool:
    """Has it a head of its own in TOML, so that all that follows is within it?"""
    return isinstance(value, dict) or (isinstance(value, list) and bool(value) and isinstance(value[0], dict))


def as_toml(value: Any) -> Any:
    """TOML has no null, "none" stands for it; and its text is Unicode, which names of files need not be."""
    if isinstance(value, dict):
        return {name: as_toml(each) for name, each in value.items()}
    if isinstance(value, list):
        return [as_toml(each) for each in value]
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    return NONE if value is None else value


# --- found out


@dataclass(frozen=True, slots=True)
class Place:
    """Where in its site a URL is: the ``file`` it means, the areas of the configuration that cover it, and the
    directories whose own files count, from the outermost inwards.
    """

    path: str
    file: str
    directories: tuple[Area, ...]
    locations: tuple[Area, ...]
    own: tuple[str, ...]


def explained(config: Config, url: str, accounts: Accounts) -> dict[str, Any]:
    """All there is to know of the URL, in JSON's types.  Raises `NoSite`."""
    asked = parse_url(url)
    answer = find_site(config, asked)
    site = answer.site
    place = place_in(site, canonical(asked.path))
    files, unread = own_files(site, place.own)
    merged = merged_at(site, place, files)
    part = part_of(config, site, place.path)
    return {
        "url": url,
        "vhost": site.name,
        "where": site.where,
        "listen": answer.listen.text,
        "found": answer.by,
        "problems": [str(problem) for problem in site.problems],
        **identity(site, accounts),
        "app": site.app,
        "root": site.root,
        "public": site.public,
        "path": place.path,
        "file": place.file,
        "handler": "app" if value_of(BY_NAME["engine"], merged) else NONE,
        "pool": part.prefix if part is not None else "",
        "pool_for": because_of(part, site) if part is not None else [],
        "files": [file.path for file in files],
        "remarks": remarks(unread, files, merged),
        "directories": [{"path": area.path, "where": area.where} for area in place.directories],
        "locations": [{"path": area.path or "/", "where": area.where} for area in place.locations],
        "settings": {setting.name: row(setting, merged, site) for setting in SETTINGS},
    }


def place_in(site: Vhost, path: str) -> Place:
    """Where a canonical path leads to."""
    file = mapped(path, site.public) if site.public else site.file
    tops = tops_of(site)
    return Place(
        path,
        file,
        tuple(site.directories[index] for index in covering(file, [(area.path, area) for area in site.directories])),
        tuple(site.locations[index] for index in prefixes(path, [(area.path, area) for area in site.locations])),
        chain(file, top_of(file, tops)) or (() if site.public else tops[:1]),
    )


def tops_of(site: Vhost) -> tuple[str, ...]:
    """The directories that are the site."""
    return tuple(top for top in (site.root, site.public) if top)


def merged_at(site: Vhost, place: Place, files: Iterable[Override]) -> Merged:
    """What holds there."""
    directories, locations = ([area.settings for area in areas] for areas in (place.directories, place.locations))
    return merge(with_environment(site), directories, [file.said for file in files], locations)


def with_environment(site: Vhost) -> dict[str, Said]:
    """What is said for the site as a whole."""
    said = dict(site.settings)
    for variable, value in site.env:
        if variable in VARIABLES:
            said.setdefault(VARIABLES[variable], Said(value, False, BY_ENV))
    return said


def identity(site: Vhost, accounts: Accounts) -> dict[str, Any]:
    """Who it is, None for nobody."""
    if site.ids is None:
        return {"user": None, "uid": None, "group": None, "gid": None, "groups": []}
    try:
        group = accounts.find_group_name(site.ids.gid)
    except (KeyError, OSError):
        group = str(site.ids.gid)
    name = site.ids.name or str(site.ids.uid)
    ids = {"uid": site.ids.uid, "group": group, "gid": site.ids.gid, "groups": list(site.ids.groups)}
    return {"user": name, **ids}


def because_of(part: Vhost, site: Vhost) -> list[str]:
    """The settings for which a part cannot be served by the site's own pool."""
    return [name for name in PROFILE if not tightens(name, part.holding.get(name), site.holding.get(name))]


def row(setting: Setting, merged: Merged, site: Vhost) -> dict[str, Any]:
    """What is known of one setting.  ``master``: what holds for the site as a whole; ``text``: the value for people."""
    said, master = merged.settings.get(setting.name), with_environment(site).get(setting.name)
    fixed = said is not None and said.fixed
    return {
        "value": setting.python(value_of(setting, merged)),
        "text": setting.text(value_of(setting, merged)),
        "master": setting.python(setting.default if master is None else master.value),
        "mode": setting.mode,
        "origin": BY_DEFAULT if said is None else said.where,
        "fixed": fixed,
        "locked": fixed or is_locked(setting, site),
        "enforced": setting.enforced,
        "unit": setting.kind.unit,
    }


def value_of(setting: Setting, merged: Merged) -> Any:
    """What was said, else the default."""
    said = merged.settings.get(setting.name)
    return setting.default if said is None else said.value


def is_locked(setting: Setting, site: Vhost) -> bool:
    """Can neither the site's own files nor its code set it?"""
    return setting.mode == SYSTEM or (setting.mode != ALL and setting.name not in site.allow_override)


def remarks(unread: Iterable[Remark], files: Iterable[Override], merged: Merged) -> list[str]:
    """What of the site's own files has no effect."""
    return [str(remark) for remark in (*unread, *(each for file in files for each in file.remarks), *merged.remarks)]


# --- the site's own files


def own_files(site: Vhost, directories: Sequence[str]) -> tuple[list[Override], list[Remark]]:
    """Those in these directories; and what could not be looked at."""
    allowed = frozenset(site.allow_override)
    if not allowed or not directories:
        return [], []
    if site.ids is None:
        return [], [Remark(directories[0], "", "the site's own files are not looked at: it has no user")]
    try:
        found, unread = as_user(site.ids, lambda: looked_at(directories, tops_of(site), allowed))
    except CannotLook as error:
        return [], [Remark(directories[0], "", str(error))]
    return [Override.of(of_json(*plain)) for plain in found], [Remark(*plain) for plain in unread]


def looked_at(directories: Iterable[str], tops: Sequence[str], allowed: frozenset[str]) -> tuple[list[Any], list[Any]]:
    """In the process that is the site's: the files, and remarks on what is in the way."""
    found, unread = [], []
    for directory in directories:
        try:
            if override_file.stamp(directory) is not None:
                found.append(override_file.load(directory, tops, allowed).plain())
        except OSError as error:
            unread.append((os.path.join(directory, override_file.NAME), "", f"cannot be looked at: {error.strerror}"))
    return found, unread


def of_json(path: str, said: list[Any], remarked: list[Any]) -> tuple[Any, ...]:
    """JSON has lists where a setting has a tuple."""
    values = [(name, tuple(value) if isinstance(value, list) else value, where) for name, value, where in said]
    return path, values, remarked
