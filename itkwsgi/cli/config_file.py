"""Which itk.toml a command means: its argument, or ``--config FILE`` after it, or the one in /etc."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

DEFAULT_CONFIG = "/etc/itkwsgi/itk.toml"


def takes_config(command: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a command that takes ``path``."""

    @click.argument("file", required=False, metavar="[ITK.TOML]")
    @click.option("--config", metavar="FILE", help=f"The configuration, instead of the argument [{DEFAULT_CONFIG}].")
    @functools.wraps(command)
    def wrapped(file: str | None, config: str | None, **options: Any) -> Any:
        if file is not None and config is not None:
            raise click.UsageError("Name the configuration once: as the argument or by --config.")
        path = config if file is None else file
        return command(path=DEFAULT_CONFIG if path is None else path, **options)

    return wrapped
