"""What binds a site beyond its user: the kernel's own walls, put up before any code of the site runs.

Root computed all of it (`supervisor.confinement`) and this process, already the site's user, only carries it out:
Landlock first, whose rules it opens with its own rights, then the seccomp filter.  Neither can be taken back, both pass
to every child and over every exec.  What was asked for and is not in force afterwards ends the process.
"""

from __future__ import annotations

from itkwsgi.errors import Bug
from itkwsgi.linux import landlock, process_status, seccomp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any


class ConfineError(Bug):
    """A wall that was asked for and cannot be had; the process ends."""


def confine(walls: dict[str, Any]) -> None:
    """In a pool: put up what the plan says.  Raises `ConfineError`."""
    if walls["landlock"] is not None:
        close_files(walls["landlock"], landlock.interpreter_rules(walls["landlock"]["interpreter"]))
    if walls["seccomp"] is not None:
        filter_calls(walls["seccomp"])


def confine_child(walls: dict[str, Any]) -> None:
    """In a child, besides: no fork, and a domain of its own, which its siblings cannot look into."""
    if walls["child_landlock"] is not None:
        close_files(walls["child_landlock"], ())
    if walls["child_seccomp"] is not None:
        filter_calls(walls["child_seccomp"])


def close_files(table: dict[str, Any], more: Iterable[landlock.Rule]) -> None:
    """Enter a Landlock domain.  Raises `ConfineError`."""
    try:
        landlock.restrict(table, more)
    except OSError as error:
        raise ConfineError(f"open_basedir or disable cannot be had: {error}") from error


def filter_calls(program: bytes) -> None:
    """Install a filter beside those there are.  Raises `ConfineError`."""
    before = process_status.read().filters
    try:
        seccomp.install(program)
    except OSError as error:
        raise ConfineError(f"disable cannot be had: {error}") from error
    if process_status.read().filters <= before:
        raise ConfineError("disable is not in force: the kernel shows no further seccomp filter")
