"""Parsers of values that only itk.toml has: ids, modules, variables; the others are in `itkwsgi.ini.values`.

Each is a pure function of the raw value that returns the parsed one or raises `Wrong`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from itkwsgi.ini.match import canonical
from itkwsgi.ini.registry import BY_NAME, SETTINGS
from itkwsgi.ini.setting import SYSTEM
from itkwsgi.ini.values import Fault, Wrong, closest, parse_integer, parse_text, quoted, shown, within

# The last id, 2**32 - 1, is -1 to the kernel, which takes it for "leave as it is" (setresuid(2)).
HIGHEST_ID = 2**32 - 2

# What allow_override can grant: the settings that a site's own files may set at all, and the word for all of them.
OVERRIDABLE = tuple(setting.name for setting in SETTINGS if setting.mode != SYSTEM)
ALL_OVERRIDABLE = "values"
_LATER_WORDS = frozenset(("options", "index", "require", "headers", "handlers", "redirect", "error_document"))

_NUMBER_ID = re.compile(r"#?([0-9]{1,10})")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_DOTTED_NAME = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")


def key_text(steps: Iterable[str | int]) -> str:
    """A path as TOML writes it, without the indexes: vhost.pool_socket.mode."""
    parts = (step for step in steps if isinstance(step, str))
    return ".".join(part if _BARE_KEY.fullmatch(part) else quoted(part) for part in parts)


def parse_id_range(raw: object) -> tuple[int, int]:
    """[lowest, highest], both included.  0 is never in it."""
    if not isinstance(raw, list) or len(raw) != 2:
        raise Wrong(f"{shown(raw)} is not a range", "write [1000, 59999]")
    low, high = (parse_integer(raw[0], 1, HIGHEST_ID), parse_integer(raw[1], 1, HIGHEST_ID))
    if low > high:
        raise Wrong(f"the range from {low} to {high} is empty", f"did you mean [{high}, {low}]?")
    return low, high


def parse_id(raw: object) -> str | int:
    """A user or a group: the name of an account, or a number, also as "#50001" or "50001"."""
    if isinstance(raw, int) and not isinstance(raw, bool):
        return within(raw, 0, HIGHEST_ID)
    text = parse_text(raw)
    number = _NUMBER_ID.fullmatch(text)
    if number:
        return within(int(number[1]), 0, HIGHEST_ID)
    if text.startswith(("#", "-", "+")) or any(char in ":/," or char.isspace() for char in text):
        raise Wrong(f"{shown(raw)} is no name of an account", 'write a name, a number, or "#50001"')
    return text


def parse_module(raw: object) -> str:
    """A dotted module name."""
    text = parse_text(raw)
    if not is_dotted_name(text):
        raise Wrong(f"{shown(raw)} is not a name of a module")
    return text


def is_dotted_name(text: str) -> bool:
    """Identifiers with dots between them."""
    return _DOTTED_NAME.fullmatch(text) is not None


def parse_url_path(raw: object) -> str:
    """The path of a request, from the slash on, with a query if need be."""
    text = parse_text(raw)
    if not text.startswith("/") or not text.isascii() or " " in text or "#" in text:
        raise Wrong(f"{shown(raw)} is not the path of a URL", 'write "/" or "/path?query", in ASCII')
    return text


def parse_location(raw: object) -> str:
    """The beginning of the paths of requests, decoded, in whole segments; without a slash at its end, "" for all."""
    text = parse_text(raw)
    if not text.startswith("/") or "?" in text or "#" in text:
        raise Wrong(f"{shown(raw)} is not the path of a URL", 'write "/" or "/path"')
    if _ESCAPE.search(text):
        raise Wrong(f"{shown(raw)} is compared with decoded paths", "write the characters themselves, without %")
    if {".", ".."} & set(text.split("/")):
        raise Wrong(f"{shown(raw)} is no path of a request: there is no . and no .. in them")
    return canonical(text).rstrip("/")


def parse_overrides(raw: object) -> tuple[str, ...]:
    """Names of settings that a site's own files may set, or "values" for all; each once, in the registry's order."""
    if not isinstance(raw, list):
        raise Wrong(f"{shown(raw)} is not a list", 'write ["values"], [] or names of settings')
    faults = [Fault(*fault, (index,)) for index, word in enumerate(raw) if (fault := _override_fault(word))]
    granted = OVERRIDABLE if ALL_OVERRIDABLE in raw else tuple(name for name in OVERRIDABLE if name in raw)
    if faults:
        raise Wrong(faults=faults, rest=granted)
    return granted


def _override_fault(word: object) -> tuple[str, str] | None:
    """What is wrong with one word, and the hint."""
    if not isinstance(word, str):
        return f"{shown(word)} is not the name of a setting", ""
    if word in (ALL_OVERRIDABLE, *OVERRIDABLE):
        return None
    if word in _LATER_WORDS:
        return f"{word}: this version of itkwsgi does not have it yet", ""
    if word in BY_NAME:
        return f"{word} cannot be granted: only the administrator may set it", ""
    near = closest(word, (ALL_OVERRIDABLE, *OVERRIDABLE))
    return f"{shown(word)} is no setting", f"did you mean {near}?" if near else ""


def parse_variables(raw: object) -> tuple[tuple[str, str], ...]:
    """Environment variables: a table of names and texts, which may be empty."""
    if not isinstance(raw, dict):
        raise Wrong(f"{shown(raw)} is not a table", 'write { NAME = "value" }')
    faults: list[Fault] = []
    for name, value in raw.items():
        if not _VARIABLE.fullmatch(name):
            faults.append(Fault(f"{quoted(name)} is no name of an environment variable", steps=(name,)))
        elif not isinstance(value, str):
            hint = f'write "{shown(value)}"' if isinstance(value, int | float) else ""
            faults.append(Fault(f"{shown(value)} is not text", hint, (name,)))
        elif "\0" in value:
            faults.append(Fault(f"{shown(value)} has a NUL in it", steps=(name,)))
    if faults:
        raise Wrong(faults=faults)
    return tuple(raw.items())
