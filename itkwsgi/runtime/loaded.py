"""Which files a pool loaded for its site, and whether one of them is another now.

Those of the modules that the site's import brought, but for Python's own library and what the environment preloaded:
root's files, which change with an upgrade and not with an edit.  A file is compared by its stamp; one that is gone
counts as changed when it comes back, so that a file which is being replaced breaks nothing.
"""

from __future__ import annotations

import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Stamp = tuple[int, int, int]


class Loaded:
    """The files, each with its stamp.  ``before``: names of modules that were there before the site's import."""

    __slots__ = ("before", "files")

    def __init__(self) -> None:
        self.before = frozenset(sys.modules)
        self.files: tuple[tuple[str, Stamp], ...] = ()

    def note(self, more: Iterable[str]) -> None:
        """After the import.  ``more``: files that no module names."""
        found = {path: stamp_of(path) for path in (*self.modules(), *more)}
        self.files = tuple((path, stamp) for path, stamp in found.items() if stamp is not None)

    def modules(self) -> Iterator[str]:
        """The files of what the import brought."""
        own = os.path.dirname(os.__file__) + os.sep
        for name, module in list(sys.modules.items()):
            path = getattr(module, "__file__", None)
            if name not in self.before and isinstance(path, str) and (not path.startswith(own) or "-packages" in path):
                yield path

    def changed(self, protection: float) -> str | None:
        """The first file that is another and has been for ``protection`` seconds; None for none."""
        for path, stamp in self.files:
            now = stamp_of(path)
            if now is not None and now != stamp and time.time() - now[0] / 1e9 >= protection:
                return path
        return None


def stamp_of(path: str) -> Stamp | None:
    """What tells one version of a file from another: time, size, number.  None for one that cannot be looked at."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
