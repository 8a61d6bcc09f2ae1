"""``itkwsgi settings``: the reference of every setting, from the registry.

On a terminal and in a pipe it is plain text; with --markdown it is docs/settings.md, which a test holds to be what this
writes.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

import click

from itkwsgi.cli.introduction import INTRODUCTION
from itkwsgi.ini.registry import SETTINGS
from itkwsgi.ini.setting import ADVISORY, ALL, KERNEL, PERDIR, RUNTIME, SYSTEM, Setting

MODES = {
    ALL: "the administrator, the site's .itk.toml files, and its code",
    PERDIR: "the administrator and the site's .itk.toml files",
    SYSTEM: "the administrator alone",
}
ENFORCED = {KERNEL: "by the kernel", RUNTIME: "by the runtime", ADVISORY: "not at all: advice to the code"}

# What PHP has for the same purpose, as whoever comes from there would look it up (php.ini; FPM: a pool's file).
PHP = {
    "memory_limit": "memory_limit",
    "max_execution_time": "max_execution_time",
    "request_timeout": "request_terminate_timeout (FPM)",
    "slow_request": "request_slowlog_timeout (FPM)",
    "max_input_time": "max_input_time",
    "post_max_size": "post_max_size",
    "max_open_files": "rlimit_files (FPM)",
    "default_socket_timeout": "default_socket_timeout",
    "open_basedir": "open_basedir",
    "disable": "disable_functions",
    "engine": "engine",
    "expose_server": "expose_php",
    "display_errors": "display_errors",
    "log_errors": "log_errors",
    "error_log": "error_log",
    "warnings": "error_reporting",
    "timezone": "date.timezone",
    "locale": "intl.default_locale",
    "default_charset": "default_charset",
    "include_path": "include_path",
    "auto_prepend_file": "auto_prepend_file",
    "auto_append_file": "auto_append_file",
    "optimize": "zend.assertions",
    "tmp_dir": "sys_temp_dir",
    "output_buffering": "output_buffering",
    "ignore_user_abort": "ignore_user_abort",
}


@click.command("settings")
@click.option("--markdown", is_flag=True, help="Write it as Markdown, with an introduction.")
def settings_command(markdown: bool) -> None:
    """Describe every setting: what it does, its default, who may set it, and how it is enforced."""
    if markdown:
        click.echo(as_markdown(), nl=False)
        return
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    click.echo("\n\n".join(as_text(setting, width) for setting in SETTINGS))


# --- plain text


def as_text(setting: Setting, width: int | None) -> str:
    """One setting; ``width``: of the terminal, None for none: then lines are whole."""
    lines = [click.style(setting.name, bold=True) if width else setting.name]
    lines += indented(facts(setting), width)
    lines += indented(setting.help, width)
    return "\n".join(lines)


def facts(setting: Setting) -> str:
    """All but the help, on one line."""
    said = [
        type_of(setting),
        f"default {setting.text(setting.default)}",
        f"mode {setting.mode}",
        f"enforced {ENFORCED[setting.enforced]}",
    ]
    if setting.name in PHP:
        said.append(f"PHP: {PHP[setting.name]}")
    return "; ".join(said)


def indented(text: str, width: int | None) -> list[str]:
    """The text below a name."""
    margin = " " * 4
    if width is None:
        return [margin + text]
    return textwrap.wrap(
        text,
        max(width, 20),
        initial_indent=margin,
        subsequent_indent=margin,
        break_long_words=False,
        break_on_hyphens=False,
    )


# --- what there is to know of one


def type_of(setting: Setting) -> str:
    """Its kind in words: ``size in bytes``, ``number of files, 16 to 1073741824``, ``list of exec, network``."""
    schema: Any = setting.kind.schema
    unit = setting.kind.unit
    if setting.kind.name == "number":
        return f"number{f' of {unit}' if unit else ''}, {schema['minimum']} to {schema['maximum']}"
    words = list(words_of(schema))
    if words:
        return f"list of {', '.join(words)}"
    name = in_plural(setting.kind.name)
    return f"{name} in {unit}" if unit else name


def in_plural(name: str) -> str:
    """The name of a kind; of a list with its elements in the plural: ``list of paths``."""
    head, of, element = name.partition("list of ")
    first, space, rest = element.partition(" ")
    return f"{of}{first}s{space}{rest}" if of and not head else name


def words_of(schema: Any) -> Iterator[str]:
    """The words that a list of choices takes."""
    alternatives = schema.get("oneOf", ())
    if alternatives:
        yield from alternatives[0]["items"].get("enum", ())


# --- Markdown


def as_markdown() -> str:
    """The whole page."""
    parts = [INTRODUCTION.rstrip("\n"), "\n".join(overview()), *map(section, SETTINGS)]
    return "\n\n".join(parts) + "\n"


def overview() -> Iterator[str]:
    """A table of all of them."""
    yield "## All settings"
    yield ""
    yield "| setting | default | mode | enforced |"
    yield "|---|---|---|---|"
    for setting in SETTINGS:
        default = setting.text(setting.default)
        yield f"| [{setting.name}](#{setting.name}) | {default} | {setting.mode} | {setting.enforced} |"


def section(setting: Setting) -> str:
    """One of them."""
    lines = [
        f"### {setting.name}",
        "",
        setting.help,
        "",
        f"* Type: {type_of(setting)}",
        f"* Default: `{setting.text(setting.default)}`",
        f"* Mode: {setting.mode}, set by {MODES[setting.mode]}",
        f"* Enforced: {ENFORCED[setting.enforced]}",
    ]
    if setting.name in PHP:
        lines.append(f"* PHP: {PHP[setting.name]}")
    return "\n".join(lines)
