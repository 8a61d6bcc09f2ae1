"""Parsers of single values: from what tomllib read to what the model holds.

Each is a pure function of the raw value that returns the parsed one or raises `Wrong`, whose text says what is wrong
and whose hint says what to write instead.  Nothing is guessed: a flag is no number, a number no text.  Text must not
hold control characters (a NUL would end a path early in the kernel, a newline would forge a line of a log).
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable
from typing import NamedTuple

from itkwsgi.config.locate import Path

# The last id, 2**32 - 1, is -1 to the kernel, which takes it for "leave as it is" (setresuid(2)).
HIGHEST_ID = 2**32 - 2
# Long enough for anything, short enough for every timer.
LONGEST_TIME = 366 * 86400.0

_SIZE = re.compile(r"([0-9]{1,15})([KMG]?)", re.IGNORECASE)
_SIZE_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}
_TIME = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)(ms|s|m|h|)")
_TIME_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "": 1.0}
_FLAGS = {"on": True, "yes": True, "true": True, "1": True, "off": False, "no": False, "false": False, "0": False}
_NUMBER_ID = re.compile(r"#?([0-9]{1,10})")
_MODE = re.compile(r"0?[0-7]{3}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_DOTTED_NAME = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")


class Fault(NamedTuple):
    """One thing wrong, ``steps`` below the place that is being read."""

    message: str
    hint: str = ""
    steps: Path = ()


class Wrong(Exception):
    """A value that cannot be used; ``faults`` says why, once for each element that is wrong.

    ``rest`` is what of it could be used, so that further checks find further faults; None for nothing.
    """

    def __init__(self, message: str = "", hint: str = "", faults: Iterable[Fault] = (), rest: object = None) -> None:
        self.faults = tuple(faults) or (Fault(message, hint),)
        self.rest = rest
        super().__init__("; ".join(fault.message for fault in self.faults))

    def below(self, step: str | int) -> list[Fault]:
        """The same faults, seen from one level up."""
        return [fault._replace(steps=(step, *fault.steps)) for fault in self.faults]


# --- how things are shown


def quoted(text: str, longest: int = 80) -> str:
    """The text in quotes on one line, whatever is in it; cut when very long."""
    if len(text) > longest:
        text = text[: longest - 3] + "..."
    escaped = (char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return '"' + "".join(escaped) + '"'


def shown(raw: object) -> str:
    """A raw value as the operator would recognise it."""
    if isinstance(raw, str):
        return quoted(raw)
    if isinstance(raw, bool):
        return str(raw).lower()
    if isinstance(raw, float):
        return str(raw)
    if isinstance(raw, int):
        return str(raw) if abs(raw) < 10**30 else "a number that long"
    if isinstance(raw, list):
        return "a list"
    return "a table" if isinstance(raw, dict) else "a date or time"


def key_text(steps: Iterable[str | int]) -> str:
    """A path as TOML writes it, without the indexes: vhost.pool_socket.mode."""
    parts = (step for step in steps if isinstance(step, str))
    return ".".join(part if _BARE_KEY.fullmatch(part) else quoted(part) for part in parts)


# --- numbers


def parse_integer(raw: object, low: int, high: int, unit: str = "") -> int:
    """A whole number within the bounds, both included."""
    if isinstance(raw, bool) or not isinstance(raw, int):
        raise Wrong(f"{shown(raw)} is not a whole number")
    return _within(raw, low, high, unit)


def _within(value: int, low: int, high: int, unit: str) -> int:
    tail = f" {unit}" if unit else ""
    if value < low:
        raise Wrong(f"{value} is too small: at least {low}{tail}")
    if value > high:
        raise Wrong(f"{shown(value)} is too big: at most {high}{tail}")
    return value


def parse_size(raw: object, low: int = 0, high: int = 2**60) -> int:
    """Bytes: a whole number, or text with K, M or G, powers of 1024, in either case."""
    match = _SIZE.fullmatch(raw) if isinstance(raw, str) else None
    if match:
        return _within(int(match[1]) * _SIZE_UNITS[match[2].upper()], low, high, "bytes")
    if isinstance(raw, bool) or not isinstance(raw, int):
        raise Wrong(f"{shown(raw)} is not a size", 'write "256M", "64K" or a number of bytes')
    return _within(raw, low, high, "bytes")


def parse_time(raw: object, zero: bool = True) -> float:
    """Seconds: a number, or text with ms, s, m or h.  ``zero``: may it be none at all?"""
    match = _TIME.fullmatch(raw) if isinstance(raw, str) else None
    if match:
        seconds = float(match[1]) * _TIME_UNITS[match[2]]
    elif isinstance(raw, int | float) and not isinstance(raw, bool) and math.isfinite(raw):
        seconds = float(min(raw, 10**18))
    else:
        raise Wrong(f"{shown(raw)} is not a time", 'write "30s", "500ms", "5m", "1h" or a number of seconds')
    if seconds < 0 or (seconds == 0 and not zero):
        raise Wrong(f"{shown(raw)} is too short: it must be {'at least' if zero else 'more than'} 0")
    if seconds > LONGEST_TIME:
        raise Wrong(f"{shown(raw)} is too long: at most 366 days")
    return seconds


def parse_flag(raw: object) -> bool:
    """true or false, or one of on off yes no true false 1 0 as text, in any case."""
    flag = raw if isinstance(raw, bool) else _FLAGS.get(raw.lower()) if isinstance(raw, str) else None
    if flag is None:
        raise Wrong(f"{shown(raw)} is neither true nor false")
    return flag


def parse_mode(raw: object) -> int:
    """Permission bits: "0660", "660" or 0o660."""
    if isinstance(raw, str) and _MODE.fullmatch(raw):
        return int(raw, 8)
    if isinstance(raw, int) and not isinstance(raw, bool) and 0 <= raw <= 0o777:
        return raw
    raise Wrong(f"{shown(raw)} is not a file mode", 'write "0660" or 0o660')


def parse_id_range(raw: object) -> tuple[int, int]:
    """[lowest, highest], both included.  0 is never in it."""
    if not isinstance(raw, list) or len(raw) != 2:
        raise Wrong(f"{shown(raw)} is not a range", "write [1000, 59999]")
    low, high = (parse_integer(raw[0], 1, HIGHEST_ID), parse_integer(raw[1], 1, HIGHEST_ID))
    if low > high:
        raise Wrong(f"the range from {low} to {high} is empty", f"did you mean [{high}, {low}]?")
    return low, high


# --- text


def parse_text(raw: object) -> str:
    """Any text that is not empty and has no control characters."""
    if not isinstance(raw, str):
        raise Wrong(f"{shown(raw)} is not text", f'write "{shown(raw)}"' if isinstance(raw, int | float) else "")
    if not raw:
        raise Wrong("it is empty")
    if any(ord(char) < 32 or ord(char) == 127 for char in raw):
        raise Wrong(f"{shown(raw)} has a control character in it")
    return raw


def parse_choice(raw: object, words: tuple[str, ...]) -> str:
    """One of the words."""
    if not isinstance(raw, str) or raw not in words:
        near = next((word for word in words if isinstance(raw, str) and word == raw.strip().lower()), None)
        hint = f"did you mean {near}?" if near else ""
        raise Wrong(f"{shown(raw)} is none of {', '.join(words)}", hint)
    return raw


def parse_id(raw: object) -> str | int:
    """A user or a group: the name of an account, or a number, also as "#50001" or "50001"."""
    if isinstance(raw, int) and not isinstance(raw, bool):
        return _within(raw, 0, HIGHEST_ID, "")
    text = parse_text(raw)
    number = _NUMBER_ID.fullmatch(text)
    if number:
        return _within(int(number[1]), 0, HIGHEST_ID, "")
    if text.startswith(("#", "-", "+")) or any(char in ":/," or char.isspace() for char in text):
        raise Wrong(f"{shown(raw)} is no name of an account", 'write a name, a number, or "#50001"')
    return text


def parse_path(raw: object, directory: str) -> str:
    """A path, made absolute against the directory of the file it stands in; ``..`` is resolved by its text alone."""
    text = parse_text(raw)
    if text.startswith("~"):
        raise Wrong(f"{shown(raw)}: ~ is not expanded here", "write the whole path")
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        raise Wrong(f"{shown(raw)} cannot be a path in this locale", "start the server with a UTF-8 locale") from None
    return "/" + os.path.normpath(os.path.join(directory, text)).lstrip("/")


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
