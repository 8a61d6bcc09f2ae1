"""Keeps no bytecode of source files that were only just written.

A .pyc file knows its source by size and by modification time in whole seconds.  A file that is imported, and written
once more within that second to the same length, would be served from the old bytecode for ever: exactly what happens to
somebody who uploads and reloads quickly.  (PHP: opcache.file_update_protection.)
"""

from __future__ import annotations

import os
import time
from importlib import machinery

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# More than the second that a .pyc can tell, and the granularity of file systems.
YOUNG_SECONDS = 2.0


def keep_none_of_young_files() -> None:
    """From now on, in this interpreter."""
    loader: Any = machinery.SourceFileLoader
    keep = loader._cache_bytecode  # of every version from 3.4 to 3.14: the one place where bytecode is written

    def keep_if_settled(self: Any, source_path: str, bytecode_path: str, data: bytes) -> None:
        if not is_young(source_path):
            keep(self, source_path, bytecode_path, data)

    loader._cache_bytecode = keep_if_settled


def is_young(path: str) -> bool:
    """Was it written a moment ago (or, by its own word, in the future)?"""
    try:
        return time.time() - os.stat(path).st_mtime < YOUNG_SECONDS
    except OSError:
        return True
