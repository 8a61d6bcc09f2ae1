"""The command line as a whole."""

from __future__ import annotations

import subprocess
import sys

import pytest

from itkwsgi import __version__


def test_version(operator) -> None:
    assert operator.run("--version").stdout == f"itkwsgi {__version__}\n"


def test_help_names_every_command(operator) -> None:
    done = operator.run("--help")
    assert done.returncode == 0
    for command in ("serve", "check", "explain", "settings", "schema"):
        assert f"\n  {command}" in done.stdout


def test_help_is_not_wrapped_for_a_pipe(operator) -> None:
    (line,) = [line for line in operator.run("check", "-h").stdout.splitlines() if "--config" in line]
    assert line.endswith("[/etc/itkwsgi/itk.toml].")


@pytest.mark.parametrize("words", [["chekc"], ["check", "--prnt"], ["check", "a", "b"]])
def test_what_it_does_not_know_is_told_on_stderr(operator, words: list[str]) -> None:
    done = operator.run(*words)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.startswith("Usage: itkwsgi")


def test_the_writer_is_loaded_only_when_it_writes() -> None:
    code = "import sys, itkwsgi.cli.main; print('toml' in sys.modules, 'itkwsgi.supervisor' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"
