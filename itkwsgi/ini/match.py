"""Which directories and locations a request is in; pure.

A URL maps to a file: below ``public`` where the site has one, whether the file exists or not, else to the app's own
file.  A directory covers what is in it and below it, a location what begins with its prefix in whole segments.
Everything by its text: "..", which no front lets through, is left out, so that nothing climbs.
"""

from __future__ import annotations

from itkwsgi.ini.tighter import is_within

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any


def canonical(path: str) -> str:
    """The path of a URL as everything is matched by: one slash where there are several, no ".", no ".."."""
    return "/" + "/".join([part for part in path.split("/") if part not in ("", ".", "..")])


def mapped(path: str, public: str) -> str:
    """The file below ``public`` that the canonical path of a URL means."""
    return public if path == "/" else public.rstrip("/") + path


def top_of(file: str, tops: Iterable[str]) -> str:
    """Of these directories the outermost one that the file is in; "" for none."""
    return min((top for top in tops if top and is_within(file, top)), key=len, default="")


def chain(file: str, top: str) -> tuple[str, ...]:
    """The directories from ``top`` down to the file, itself included, for it may be one; ``top`` "": none."""
    if not top or not is_within(file, top):
        return ()
    found = [top]
    for part in file[len(top) :].split("/"):
        if part:
            found.append(f"{found[-1].rstrip('/')}/{part}")
    return tuple(found)


def covering(file: str, tables: Sequence[tuple[str, Any]]) -> tuple[int, ...]:
    """The indexes of the directories (path first) that cover the file, in the order of the tables."""
    return tuple([index for index, table in enumerate(tables) if is_within(file, table[0])])


def prefixes(path: str, tables: Sequence[tuple[str, Any]]) -> tuple[int, ...]:
    """The indexes of the locations (prefix first, without a slash at its end, "" for all) that the URL's path is in."""
    return tuple([index for index, table in enumerate(tables) if not table[0] or is_within(path, table[0])])
