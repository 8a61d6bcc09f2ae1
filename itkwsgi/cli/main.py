"""The command line.

What is wrong with the operator's input ends in plain lines and an exit status, never in a traceback.  Output that is no
terminal has no colour and is neither wrapped nor cut.
"""

from __future__ import annotations

import io
import os
import sys

import click

from itkwsgi import __version__
from itkwsgi.cli.check import check
from itkwsgi.cli.explain import explain
from itkwsgi.cli.reference import settings_command
from itkwsgi.cli.schema import schema_command
from itkwsgi.cli.serve import serve

# Help is wrapped for a terminal, not for a pipe.
_NO_TERMINAL = 100_000


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="itkwsgi", message="%(prog)s %(version)s")
def cli() -> None:
    """Many people's Python sites on one machine, each as its own user."""


cli.add_command(serve)
cli.add_command(check)
cli.add_command(explain)
cli.add_command(settings_command)
cli.add_command(schema_command)


def main() -> None:
    """The console entry point."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # None when it is closed
            stream.reconfigure(errors="backslashreplace")  # names of files need not be UTF-8
    width = None if os.isatty(1) else _NO_TERMINAL
    cli(prog_name="itkwsgi", terminal_width=width, max_content_width=width)
