"""Kinds of values: how one is parsed, what unit it has, and its JSON schema.

Runs in any site's interpreter: lambdas stand where ``functools.partial`` would load three modules more.
"""

from __future__ import annotations

from itkwsgi.ini.values import (
    Fault,
    Wrong,
    parse_charset,
    parse_choice,
    parse_filter,
    parse_flag,
    parse_integer,
    parse_locale,
    parse_mode,
    parse_path,
    parse_size,
    parse_text,
    parse_time,
    parse_zone,
    shown,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

TEXT_SCHEMA: Mapping[str, object] = {"type": "string", "minLength": 1}


class Kind:
    """A type of value.  ``parse(raw, directory)`` returns it or raises `Wrong`; relative paths start at directory."""

    __slots__ = ("name", "parse", "schema", "unit")

    def __init__(
        self, name: str, parse: Callable[[object, str], object], schema: Mapping[str, object], unit: str = ""
    ) -> None:
        self.name, self.parse, self.schema, self.unit = name, parse, schema, unit

    def __repr__(self) -> str:
        return f"Kind({self.name!r})"


def plain(name: str, parse: Callable[[object], object], schema: Mapping[str, object], unit: str = "") -> Kind:
    """A kind whose parser needs no directory."""
    return Kind(name, lambda raw, _directory: parse(raw), schema, unit)


TEXT = plain("text", parse_text, TEXT_SCHEMA)
FLAG = plain("flag", parse_flag, {"type": ["boolean", "string"]})
TIME = plain("time", parse_time, {"type": ["string", "number"]}, "seconds")
TIME_ABOVE_0 = plain("time", lambda raw: parse_time(raw, zero=False), TIME.schema, "seconds")
SIZE = plain("size", parse_size, {"type": ["string", "integer"]}, "bytes")
PATH = Kind("path", parse_path, TEXT_SCHEMA)
MODE = plain("file mode", parse_mode, {"type": ["string", "integer"]})
ZONE = plain("time zone", parse_zone, TEXT_SCHEMA)
LOCALE = plain("locale", parse_locale, TEXT_SCHEMA)
CHARSET = plain("charset", parse_charset, TEXT_SCHEMA)
UMASK = plain("umask", lambda raw: parse_mode(raw, "umask", "027"), MODE.schema)


def integer(low: int, high: int, unit: str = "") -> Kind:
    """A whole number within the bounds."""
    return plain(
        "number",
        lambda raw: parse_integer(raw, low, high, unit),
        {"type": "integer", "minimum": low, "maximum": high},
        unit,
    )


def size(low: int, high: int) -> Kind:
    """A size within the bounds, in bytes."""
    return plain("size", lambda raw: parse_size(raw, low, high), SIZE.schema, "bytes")


def choice(*words: str) -> Kind:
    """One of the words."""
    return plain("word", lambda raw: parse_choice(raw, words), {"enum": list(words)})


def list_of(kind: Kind, unique: bool = False) -> Kind:
    """A list whose elements are all of that kind; ``unique``: none may stand twice."""

    def parse(raw: object, directory: str) -> tuple[object, ...]:
        if not isinstance(raw, list):
            raise Wrong(f"{shown(raw)} is not a list", f"write [{shown(raw)}]" if isinstance(raw, str) else "")
        values: list[object] = []
        faults: list[Fault] = []
        for index, element in enumerate(raw):
            try:
                value = kind.parse(element, directory)
            except Wrong as wrong:
                faults += wrong.below(index)
                continue
            if unique and value in values:
                faults.append(Fault(f"{shown(element)} stands here twice", steps=(index,)))
            values.append(value)
        if faults:
            raise Wrong(faults=faults, rest=tuple(values))
        return tuple(values)

    return Kind(f"list of {kind.name}", parse, {"type": "array", "items": kind.schema}, kind.unit)


def one_or_list_of(kind: Kind) -> Kind:
    """A list of that kind; a text alone is a list of one."""
    listed = list_of(kind, unique=True)

    def parse(raw: object, directory: str) -> object:
        return (kind.parse(raw, directory),) if isinstance(raw, str) else listed.parse(raw, directory)

    return Kind(listed.name, parse, {"oneOf": [listed.schema, kind.schema]}, listed.unit)


def limit(kind: Kind) -> Kind:
    """As that kind, but 0 is no limit."""
    return Kind(kind.name, lambda raw, directory: kind.parse(raw, directory) or None, kind.schema, kind.unit)


def some(kind: Kind) -> Kind:
    """A list that is not empty: that would read as "nothing at all" and mean "no restriction"."""

    def parse(raw: object, directory: str) -> object:
        if raw == []:
            raise Wrong("it is empty", 'write "none" for no restriction')
        return kind.parse(raw, directory)

    return Kind(kind.name, parse, kind.schema, kind.unit)


FILTERS = one_or_list_of(plain("filter of warnings", parse_filter, TEXT_SCHEMA))
