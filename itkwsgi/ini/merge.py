"""What holds for a request: what was said for the vhost, its directories, in its own files, for its locations; pure.

In this order, each later one over the earlier: the vhost, directories from the shortest path to the longest, the
site's own files from the root downwards, locations from the shortest prefix to the longest.  Two rules on top: what an
admin_value fixed only another admin_value can change; and what a site can only narrow (open_basedir, which the kernel
does not give back) its own files only narrow.  After PHP's php_value and php_admin_value.
"""

from __future__ import annotations

from itkwsgi.ini.tighter import ONLY_NARROWED, tightens

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    Table = dict[str, "Said"]


class Said:
    """A setting as it was said: ``fixed`` by an admin_value, else a default; ``where``: file:line.

    ``value`` is as the registry parses it; what "none" leaves is a value too.
    """

    __slots__ = ("fixed", "value", "where")

    def __init__(self, value: Any, fixed: bool, where: str) -> None:
        self.value, self.fixed, self.where = value, fixed, where

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Said):
            return NotImplemented
        return (self.value, self.fixed, self.where) == (other.value, other.fixed, other.where)

    def __hash__(self) -> int:
        return hash((self.value, self.fixed, self.where))

    def __repr__(self) -> str:
        return f"Said({self.value!r}, {self.fixed!r}, {self.where!r})"


class Remark:
    """Something in a site's own file that has no effect, and why; ``str()`` is its line for the log."""

    __slots__ = ("message", "name", "where")

    def __init__(self, where: str, name: str, message: str) -> None:
        self.where, self.name, self.message = where, name, message

    def __str__(self) -> str:
        return ": ".join(part for part in (self.where, self.name, self.message) if part)

    def __repr__(self) -> str:
        return f"Remark({str(self)!r})"


class Merged:
    """What holds: ``settings`` by name, only what was said; ``remarks``: what of the site's files has no effect."""

    __slots__ = ("remarks", "settings")

    def __init__(self, settings: Table) -> None:
        self.settings = settings
        self.remarks: list[Remark] = []


def merge(
    site: Table,
    directories: Iterable[Table] = (),
    files: Iterable[Table] = (),
    locations: Iterable[Table] = (),
) -> Merged:
    """Merge, each kind in the order it counts.  None of the tables is changed."""
    merged = Merged(dict(site))
    for table in directories:
        lay_over(merged.settings, table)
    for table in files:
        lay_over_own(merged, table)
    for table in locations:
        lay_over(merged.settings, table)
    return merged


def lay_over(settings: Table, table: Table) -> None:
    """What the administrator said for a part of the site."""
    for name, said in table.items():
        before = settings.get(name)
        if said.fixed or before is None or not before.fixed:
            settings[name] = said


def lay_over_own(merged: Merged, table: Table) -> None:
    """What the site said itself; what it may not is a remark."""
    for name, said in table.items():
        before = merged.settings.get(name)
        if before is not None and before.fixed:
            merged.remarks.append(Remark(said.where, name, f"has no effect: it is fixed at {before.where}"))
        elif before is not None and name in ONLY_NARROWED and not tightens(name, said, before):
            message = f"has no effect: it can only be narrowed, and {before.where} holds"
            merged.remarks.append(Remark(said.where, name, message))
        else:
            merged.settings[name] = said
