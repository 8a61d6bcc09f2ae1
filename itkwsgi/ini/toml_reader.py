"""Parses TOML in whatever interpreter this is: by the standard library from Python 3.11 on, before that by tomli.

Loaded only where there is something to parse: it brings regular expressions with it, which every child would carry.
"""

from __future__ import annotations

import importlib
import os
import re
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# pip has a copy of its own in every virtual environment.
READERS = ("tomllib", "tomli", "pip._vendor.tomli")
# They say the position in their text only, until Python 3.14.
_POSITION = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


def loads(text: str) -> dict[str, Any]:
    """Parse a document.  Raises ValueError for one that is not valid, ImportError when there is no reader."""
    return reader()(text)


def reader() -> Callable[[str], dict[str, Any]]:
    """The first reader that there is, be it in the packages of the interpreter's environment.

    A pool reads its settings before the packages of the site are on sys.path, since settings say what comes there too.
    """
    packages = site_packages()
    added = packages not in sys.path
    if added:
        sys.path.append(packages)
    try:
        for name in READERS:
            try:
                return importlib.import_module(name).loads  # type: ignore[no-any-return]
            except ImportError:
                continue
    finally:
        if added:
            sys.path.remove(packages)
    raise ImportError("no reader of TOML")


def site_packages() -> str:
    """Where a virtual environment with this interpreter has its packages."""
    prefix = os.path.dirname(os.path.dirname(sys.executable))
    return f"{prefix}/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"


def positioned(message: str, text: str) -> tuple[str, int]:
    """What a reader says of a document that is not valid, and on which line; 0: it does not say."""
    match = _POSITION.search(message)
    if match is None:
        return message, 0
    if match[1] is None:
        return f"{message[: match.start()]}, at the end of the file", text.rstrip("\n").count("\n") + 1
    return f"{message[: match.start()]}, in column {match[2]}", int(match[1])
