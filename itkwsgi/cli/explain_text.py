"""What ``explain`` found out, as text: a few lines on the site, then one for each setting, then what has no effect.

A pipe gets every line whole and plain, in columns that are as wide as what is mostly in them.  On a terminal nothing is
left out either: what does not fit goes on below its column, and where there is no room for columns, the facts of a
setting follow its value.  What was said stands out from what is a default.  Text that came from a site is shown with
every character visible.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

import click

# The narrowest terminal with columns, and how wide a column of values may be anywhere.
NARROW = 80
WIDEST_VALUE = 24
GAP = "  "
_LABEL = 11
_HEADER = ("setting", "value", "lock", "enforced", "said at")


def show(found: dict[str, Any]) -> None:
    """To stdout, in the form that suits it."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for text, style in lines(found, width):
        click.echo(click.style(text, **style) if width and style else text)


def lines(found: dict[str, Any], width: int | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every line, with how it looks on a terminal; ``width`` None: there is none."""
    for label, text in facts(found):
        style = {"fg": "red"} if label == "broken" else {}
        yield from ((line, style) for line in hanging(f"{label:<{_LABEL}}", visible(text), width))
    yield "", {}
    yield from table(found["settings"], width)
    if found["remarks"]:
        yield "", {}
    for text in found["remarks"]:
        yield from ((line, {"fg": "yellow"}) for line in hanging("", f"note: {visible(text)}", width, "    "))


def visible(text: str) -> str:
    """Without anything that a terminal would obey."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def hanging(head: str, text: str, width: int | None, margin: str = "") -> list[str]:
    """The text behind its head, in lines of at most that width where words permit; no word is broken."""
    if width is None or len(head) + len(text) <= width:
        return [(head + text).rstrip()]
    below = margin or " " * len(head)
    room = max(width, len(below) + 12)
    return textwrap.wrap(
        text, room, initial_indent=head, subsequent_indent=below, break_long_words=False, break_on_hyphens=False
    )


# --- the site


def facts(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What there is to say beside the settings."""
    yield "site", f"{found['vhost']} ({found['where']}), {found['found']} on {found['listen']}"
    yield from (("broken", text) for text in found["problems"])
    yield "user", who(found)
    yield "app", found["app"] or "none"
    yield "handler", "the app" if found["handler"] == "app" else "none: engine is off, the answer is 403"
    if found["pool"]:
        yield "pool", f"its own, for {found['pool']} ({', '.join(found['pool_for'])})"
    yield "root", found["root"] or "none"
    yield "file", found["file"] or "none"
    yield from (("directory", f"{area['path']} ({area['where']})") for area in found["directories"])
    yield from (("own file", path) for path in found["files"])
    yield from (("location", f"{area['path']} ({area['where']})") for area in found["locations"])


def who(found: dict[str, Any]) -> str:
    """User and group by name and number, supplementary groups by number."""
    if found["user"] is None:
        return "none"
    text = f"{named(found['user'], found['uid'])}, group {named(found['group'], found['gid'])}"
    groups = ", ".join(map(str, found["groups"]))
    return f"{text}, also in {groups}" if groups else text


def named(name: str, number: int) -> str:
    """jess (1001); a number that has no name alone."""
    return name if name == str(number) else f"{name} ({number})"


# --- the settings


def table(settings: dict[str, dict[str, Any]], width: int | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """A line for each, on a terminal as many as it takes."""
    names = max(map(len, settings))
    columns = Columns(names, value_width([visible(each["text"]) for each in settings.values()], names, width), width)
    if columns.fit:
        yield columns.line(*_HEADER), {"dim": True}
    for name, each in settings.items():
        style = {"bold": True} if each["origin"] != "default" else {}
        yield from ((line, style) for line in columns.rows(name, each))


def value_width(values: list[str], names: int, width: int | None) -> int:
    """Of the column of values: as its longest, within reason, and so that there is some room for where it was said."""
    most = WIDEST_VALUE if width is None else max(8, min(max(WIDEST_VALUE, width // 4), width - names - 43))
    return max(1, min(most, max(map(len, values))))


class Columns:
    """The columns of the table."""

    def __init__(self, names: int, values: int, width: int | None) -> None:
        self.names, self.values, self.width = names, values, width
        self.fit = width is None or width >= NARROW

    def rows(self, name: str, each: dict[str, Any]) -> list[str]:
        """The lines of one setting."""
        value, origin = visible(each["text"]), visible(each["origin"])
        lock = "fixed" if each["fixed"] else "locked" if each["locked"] else ""
        if not self.fit:
            text = f"{value}{GAP}{told(lock, each['enforced'], origin)}"
            return hanging(f"{name:<{self.names}}{GAP}", text, self.width)
        if self.width is None:
            return [self.line(name, value, lock, each["enforced"], origin)]
        return self.folded(name, value, lock, each["enforced"], origin)

    def line(self, name: str, value: str, lock: str, enforced: str, origin: str) -> str:
        """All of it in one line."""
        cells = (f"{name:<{self.names}}", f"{value:<{self.values}}", f"{lock:<6}", f"{enforced:<8}", origin)
        return GAP.join(cells).rstrip()

    def folded(self, name: str, value: str, lock: str, enforced: str, origin: str) -> list[str]:
        """In as many as it takes: a long value goes on below itself, a long origin has a line of its own."""
        assert self.width is not None
        below = " " * (self.names + len(GAP))
        first, *rest = textwrap.wrap(value, self.values, break_long_words=False, break_on_hyphens=False) or [""]
        head, tail = self.line(name, first, lock, enforced, origin), []
        if len(first) > self.values:
            head, tail = f"{name:<{self.names}}{GAP}{first}", [self.line("", "", lock, enforced, origin)]
            if len(tail[0]) > self.width:
                tail = hanging(below, told(lock, enforced, origin), self.width)
        elif len(head) > self.width:
            head, tail = self.line(name, first, lock, enforced, ""), [below + origin]
        return [head, *(below + piece for piece in rest), *tail]


def told(lock: str, enforced: str, origin: str) -> str:
    """What is not in columns."""
    return ", ".join(filter(None, (origin, lock, enforced)))
