"""What a setting does to a process: one function for each that does something when it is set.

The others (display_errors, output_buffering ...) are looked at when their time comes.  What cannot be taken back says
so: a process for which that was done serves no request under other settings.
"""

from __future__ import annotations

import os
import sys
import time
from _socket import setdefaulttimeout

from itkwsgi.ini.rlimits import RESOURCES
from itkwsgi.linux.landlock import ALL_RIGHTS, interpreter_rules
from itkwsgi.runtime.confine import ConfineError, close_files, filter_calls
from itkwsgi.runtime.limits import set_limit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from itkwsgi.ini.merge import Said

    Effect = Callable[["Surroundings", str, Any, bool], bool | None]


class Surroundings:
    """What effects change in this process, and need to know of it.

    ``root``: after it comes include_path on sys.path.  ``tmp_dir``: where there is none said, None for the system's.
    ``filters``: programs for seccomp by the word of disable; ``untraced``: the domain that ptrace takes beside its own.
    ``domain``: what Landlock grants beside open_basedir; ``interpreter``: what of it only this process knows, asked
    while no code of the site can have changed sys.path.
    """

    __slots__ = (
        "domain",
        "filters",
        "included",
        "interpreter",
        "root",
        "tmp_dir",
        "untraced",
        "warning_filters",
        "words",
    )

    def __init__(self, plan: dict[str, Any]) -> None:
        self.root: str = plan["root"]
        self.tmp_dir: str | None = plan["tmp_dir"]
        self.filters: dict[str, bytes] = plan["settings"]["filters"]
        self.domain: dict[str, Any] | None = plan["settings"]["domain"]
        self.interpreter = interpreter_rules(self.domain["interpreter"]) if self.domain is not None else []
        self.untraced: dict[str, Any] | None = plan["settings"]["untraced"]
        self.words = set(plan["settings"]["holding"].get("disable", ((),))[0])  # of disable, in force
        self.included: tuple[str, ...] = ()
        self.warning_filters: list[Any] | None = None  # as they were before any were set


def limit(around: Surroundings, name: str, value: Any, fixed: bool) -> bool:
    """memory_limit, max_processes, max_open_files, max_file_size."""
    return set_limit(name, value, fixed)


def recursion_limit(around: Surroundings, name: str, value: Any, fixed: bool) -> None:
    """Raises ValueError for one that the calls at this moment are beyond."""
    try:
        sys.setrecursionlimit(value)
    except RecursionError as error:
        raise ValueError(str(error)) from None


def default_socket_timeout(around: Surroundings, name: str, value: Any, fixed: bool) -> None:
    """For sockets made from now on."""
    setdefaulttimeout(value)


def timezone(around: Surroundings, name: str, value: Any, fixed: bool) -> None:
    """tzset(3)."""
    set_variable("TZ", value)
    time.tzset()


def locale(around: Surroundings, name: str, value: Any, fixed: bool) -> None:
    """setlocale(3).  Raises ValueError for one that this machine does not have."""
    import _locale

    try:
        _locale.setlocale(_locale.LC_ALL, value or "C")
        if value is None:  # as an interpreter starts
            _locale.setlocale(_locale.LC_CTYPE, "C.UTF-8")
    except _locale.Error:  # type: ignore[attr-defined]
        raise ValueError(f"this machine has no locale {value}") from None
    set_variable("LC_ALL", value)


def include_path(around: Surroundings, name: str, value: Any, fixed: bool) -> None:
    """Directories on sys.path, after the site's root; those of before go."""
    path = [entry for entry in sys.path if entry not in around.included]
    at = path.index(around.root) + 1 if around.root in path else 0
    around.included = tuple(directory for directory in value or () if directory not in path)
    sys.path[:] = [*path[:at], *around.included, *path[at:]]


def tmp_dir(around: Surroundings, name: str, value: Any, fixed: bool) -> None:
    """TMPDIR, and what tempfile found before."""
    set_variable("TMPDIR", value or around.tmp_dir)
    if "tempfile" in sys.modules:
        sys.modules["tempfile"].tempdir = None  # type: ignore[attr-defined]


def umask(around: Surroundings, name: str, value: Any, fixed: bool) -> None:
    """umask(2)."""
    os.umask(value)


def warnings(around: Surroundings, name: str, value: Any, fixed: bool) -> None:
    """Filters before those there were.  Raises ValueError for a category that is none."""
    import warnings as module

    from itkwsgi.runtime.warning_filters import add

    if around.warning_filters is None:
        around.warning_filters = list(module.filters)
    module.filters[:] = around.warning_filters  # type: ignore[index]
    for text in value or ():
        add(text)


def open_basedir(around: Surroundings, name: str, value: Any, fixed: bool) -> bool:
    """A Landlock domain within the one there may be.  Raises `ConfineError`: what was asked for and cannot be had."""
    if not value:
        return False
    if around.domain is None:
        raise ConfineError("open_basedir cannot be had: this kernel has no Landlock for it")
    close_files(around.domain, [*around.interpreter, *((path, ALL_RIGHTS, True) for path in value)])
    return True


def disable(around: Surroundings, name: str, value: Any, fixed: bool) -> bool:
    """A seccomp filter for each word that is not in force.  Raises `ConfineError`."""
    words = [word for word in value or () if word not in around.words]
    if "ptrace" in words:
        if around.untraced is None:
            raise ConfineError("disable = ptrace cannot be had: this kernel has no Landlock for it")
        close_files(around.untraced, ())
    for word in words:
        filter_calls(around.filters[word])
        around.words.add(word)
    return bool(words)


def set_variable(name: str, value: str | None) -> None:
    """In the process environment; None takes it out."""
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


# In the order they are set: what walls forbid the others may need, and they themselves need a descriptor.
EFFECTS: dict[str, Effect] = {
    "recursion_limit": recursion_limit,
    "default_socket_timeout": default_socket_timeout,
    "timezone": timezone,
    "locale": locale,
    "include_path": include_path,
    "tmp_dir": tmp_dir,
    "umask": umask,
    "warnings": warnings,
    "open_basedir": open_basedir,
    "disable": disable,
    **dict.fromkeys(RESOURCES, limit),
}
WALLS = frozenset(("open_basedir", "disable"))


def same(name: str, one: Said | None, other: Said | None, default: Any) -> bool:
    """Is there nothing to do to come from the one to the other?"""
    first = default if one is None else one.value
    second = default if other is None else other.value
    if name not in RESOURCES:
        return bool(first == second)
    return bool(first == second) and bool(one is not None and one.fixed) == bool(other is not None and other.fixed)
