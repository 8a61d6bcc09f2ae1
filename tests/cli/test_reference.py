"""The reference of all settings: as text, and as the page in docs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from itkwsgi.cli.reference import ENFORCED, MODES, PHP, as_markdown, as_text, facts, type_of
from itkwsgi.ini.registry import BY_NAME, SETTINGS

PAGE = Path(__file__).parent.parent.parent / "docs" / "settings.md"
STYLE = re.compile(r"\x1b\[[0-9;]*m")


def test_the_page_is_what_the_command_writes(operator: Any) -> None:
    """If not: itkwsgi settings --markdown > docs/settings.md"""
    done = operator.run("settings", "--markdown")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == as_markdown() == PAGE.read_text()


def test_every_setting_has_a_section_and_a_line_of_the_table() -> None:
    page = as_markdown()
    assert re.findall(r"^### (\w+)$", page, re.MULTILINE) == [setting.name for setting in SETTINGS]
    assert re.findall(r"^\| \[(\w+)\]\(#\1\) \|", page, re.MULTILINE) == [setting.name for setting in SETTINGS]


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_all_there_is_to_know_is_said(setting: Any) -> None:
    text = as_text(setting, None)
    name, said, told = text.splitlines()
    assert name == setting.name and told == f"    {setting.help}"
    default = setting.text(setting.default)
    assert f"; default {default}; mode {setting.mode}; enforced {ENFORCED[setting.enforced]}" in said
    assert said.partition("; PHP: ")[2] == PHP.get(setting.name, "")
    assert setting.mode in MODES


def test_types_are_said_in_words() -> None:
    said = {name: type_of(BY_NAME[name]) for name in BY_NAME}
    assert said["memory_limit"] == "size in bytes"
    assert said["max_execution_time"] == "time in seconds"
    assert said["recursion_limit"] == "number of frames, 50 to 10000000"
    assert said["optimize"] == "number, 0 to 2"
    assert said["disable"] == "list of exec, network, fork, ptrace"
    assert said["open_basedir"] == "list of paths"
    assert said["warnings"] == "list of filters of warnings"
    assert said["display_errors"] == "flag"


def test_php_names_are_of_settings_that_there_are() -> None:
    assert set(PHP) <= set(BY_NAME)


def test_in_a_pipe_it_is_plain_and_whole(operator: Any) -> None:
    done = operator.run("settings")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "\n\n".join(as_text(setting, None) for setting in SETTINGS) + "\n"
    assert "\x1b" not in done.stdout and max(map(len, done.stdout.splitlines())) > 100


@pytest.mark.parametrize("width", [50, 80, 160])
def test_on_a_terminal_it_fits(operator: Any, width: int) -> None:
    shown = operator.on_terminal(width, "settings")
    text = STYLE.sub("", shown)
    assert max(map(len, text.splitlines())) <= width
    assert text.split() == operator.run("settings").stdout.split()
    assert "\x1b[1mmemory_limit\x1b[0m\n" in shown


def test_facts_are_on_one_line() -> None:
    assert facts(BY_NAME["umask"]) == "umask; default 0022; mode ALL; enforced by the runtime"
