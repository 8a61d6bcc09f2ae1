"""itkwsgi serve becomes the supervisor, with nothing but an absolute path."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from itkwsgi.cli.main import cli


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[list[str]]:
    """What would be executed."""
    found: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda path, words: found.append([path, *words]))
    monkeypatch.chdir(tmp_path)
    return found


@pytest.mark.parametrize(
    ("words", "path"),
    [
        (["x.toml"], "{here}/x.toml"),
        (["--config", "sub/../x.toml"], "{here}/x.toml"),
        (["/etc/x.toml"], "/etc/x.toml"),
        ([], "/etc/itkwsgi/itk.toml"),
    ],
)
def test_it_executes_the_supervisor(executed: list[list[str]], tmp_path: Path, words: list[str], path: str) -> None:
    assert CliRunner().invoke(cli, ["serve", *words]).exit_code == 0
    assert executed == [[sys.executable, sys.executable, "-I", "-m", "itkwsgi.supervisor", path.format(here=tmp_path)]]


def test_two_files_are_one_too_many(executed: list[list[str]]) -> None:
    done = CliRunner().invoke(cli, ["serve", "a", "--config", "b"])
    assert (done.exit_code, executed) == (2, [])


def test_an_interpreter_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    done = CliRunner().invoke(cli, ["serve", "x.toml"])
    assert (done.exit_code, done.output) == (1, "Error: cannot start /nowhere/python: No such file or directory\n")


def test_a_configuration_that_cannot_be_served_ends_in_lines(operator) -> None:
    operator.write("x = 1\n")
    done = operator.run("serve", "itk.toml")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert f"{operator.place}/itk.toml:1: x: unknown key" in done.stderr
