"""``itkwsgi check``: is this configuration fit to be served?

Every problem and every note is one line, ``file:line: key: what``.  Of a configuration that can be served, two lines
say what this machine enforces.  The last line sums up.  They go to stdout; with --print, whose TOML goes there, to
stderr.  On a terminal long lines are broken at spaces.  Exit status 0: everything can be served; 1: something cannot.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
from typing import NamedTuple

import click

from itkwsgi.cli.abilities import machine_line, protections_line
from itkwsgi.cli.config_file import takes_config
from itkwsgi.config.load import load_on
from itkwsgi.config.machine import this_machine
from itkwsgi.config.model import Config, ConfigError, Problem, in_order

_INDENT = "    "


@click.command()
@takes_config
@click.option("--print", "print_it", is_flag=True, help="Write the effective configuration as TOML to stdout.")
def check(path: str, print_it: bool) -> None:
    """Validate the configuration, say which path a site's user cannot reach, and what this machine can enforce."""
    output = Output(to_stderr=print_it)
    machine = this_machine()
    try:
        config = load_on(machine, path)
    except ConfigError as error:
        output.findings(error.problems)
        output.line(f"{path}: {count(len(error.problems), 'error')}, nothing would be served")
        sys.exit(error.exit_code)
    if print_it:
        from itkwsgi.cli.emit import dump_config

        click.echo(dump_config(config), nl=False)
    output.findings(config.problems, config.notes)
    output.line(machine_line(machine.abilities))
    output.line(protections_line(config, machine))
    output.line(f"{path}: {summary(config)}")
    sys.exit(1 if config.problems else 0)


class Output(NamedTuple):
    """Where the lines go."""

    to_stderr: bool

    def findings(self, problems: tuple[Problem, ...], notes: tuple[Problem, ...] = ()) -> None:
        """What was found, in the order of the file."""
        for problem in in_order((*problems, *notes)):
            is_note = problem in notes and problem not in problems
            self.line(noted(problem) if is_note else str(problem), colour=None if is_note else "red")

    def line(self, text: str, colour: str | None = None) -> None:
        """One line; on a terminal it may be several."""
        stream = sys.stderr if self.to_stderr else sys.stdout
        if stream.isatty():
            text = folded(text, shutil.get_terminal_size().columns)
        click.echo(click.style(text, fg=colour) if colour else text, err=self.to_stderr)


def folded(text: str, width: int) -> str:
    """The text in lines of at most that width, words whole: what follows the first line is indented."""
    lines = textwrap.wrap(
        text, max(width, 20), subsequent_indent=_INDENT, break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(lines)


def noted(note: Problem) -> str:
    """A note's line: it says that it is none of the problems."""
    return str(Problem(note.file, note.line, note.key, f"note: {note.message}", note.hint))


def summary(config: Config) -> str:
    """3 sites, 1 with pools of its own for 2 parts, 1 environment, ok."""
    parts = [count(len(config.sites), "site"), *pools_of_parts(config)]
    if config.environments:
        parts.append(count(len(config.environments), "environment"))
    broken = sum(1 for vhost in config.sites if vhost.problems)
    parts.append(f"{broken} broken" if broken else "ok")
    return ", ".join(parts)


def pools_of_parts(config: Config) -> list[str]:
    """What of sites has a pool of its own beside the site's."""
    owners = [vhost.part_of for vhost in config.vhosts if vhost.part_of is not None]
    if not owners:
        return []
    whose = "its" if len(set(owners)) == 1 else "their"
    return [f"{len(set(owners))} with pools of {whose} own for {count(len(owners), 'part')}"]


def count(number: int, what: str) -> str:
    """1 site, 2 sites."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
