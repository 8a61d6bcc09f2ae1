"""``itkwsgi serve``: become the supervisor.  Nothing is validated here: the supervisor reads the file itself, once."""

from __future__ import annotations

import os
import sys

import click

from itkwsgi.cli.config_file import takes_config


@click.command()
@takes_config
def serve(path: str) -> None:
    """Serve, in the foreground, until TERM or INT."""
    try:
        command = [sys.executable, "-I", "-m", "itkwsgi.supervisor", os.path.abspath(path)]
        os.execv(sys.executable, command)
    except OSError as error:  # the interpreter, or the working directory, is gone
        raise click.ClickException(f"cannot start {sys.executable}: {error.strerror}") from None
