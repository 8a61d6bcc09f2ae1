"""``itkwsgi check``: is this configuration fit to be served?

Every problem and every note is one line, ``file:line: key: what``, then one line sums up.  They go to stdout; with
--print, whose TOML goes there, to stderr.  Exit status 0: everything can be served; 1: something cannot.
"""

from __future__ import annotations

import sys

import click

from itkwsgi.cli.config_file import takes_config
from itkwsgi.config.load import load
from itkwsgi.config.model import Config, ConfigError, Problem, in_order


@click.command()
@takes_config
@click.option("--print", "print_it", is_flag=True, help="Write the effective configuration as TOML to stdout.")
def check(path: str, print_it: bool) -> None:
    """Validate the configuration, and say which path a site's user cannot reach."""
    try:
        config = load(path)
    except ConfigError as error:
        report(path, error.problems, (), f"{count(len(error.problems), 'error')}, nothing would be served", print_it)
        sys.exit(error.exit_code)
    if print_it:
        from itkwsgi.cli.emit import dump_config

        click.echo(dump_config(config), nl=False)
    report(path, config.problems, config.notes, summary(config), print_it)
    sys.exit(1 if config.problems else 0)


def report(path: str, problems: tuple[Problem, ...], notes: tuple[Problem, ...], last: str, to_stderr: bool) -> None:
    """Print what was found, in the order of the file, and the line that sums up."""
    for problem in in_order((*problems, *notes)):
        is_note = problem in notes and problem not in problems
        click.secho(noted(problem) if is_note else str(problem), err=to_stderr, fg=None if is_note else "red")
    click.echo(f"{path}: {last}", err=to_stderr)


def noted(note: Problem) -> str:
    """A note's line: it says that it is none of the problems."""
    return str(Problem(note.file, note.line, note.key, f"note: {note.message}", note.hint))


def summary(config: Config) -> str:
    """3 sites, 1 environment, ok."""
    parts = [count(len(config.vhosts), "site")]
    if config.environments:
        parts.append(count(len(config.environments), "environment"))
    broken = sum(1 for vhost in config.vhosts if vhost.problems)
    parts.append(f"{broken} broken" if broken else "ok")
    return ", ".join(parts)


def count(number: int, what: str) -> str:
    """1 site, 2 sites."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
