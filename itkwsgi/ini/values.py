"""Parsers of single values: from what a TOML reader found to what the program holds.

Each is a pure function of the raw value that returns the parsed one or raises `Wrong`, whose text says what is wrong
and whose hint says what to write instead.  Nothing is guessed: a flag is no number, a number no text.  Text must not
hold control characters (a NUL would end a path early in the kernel, a newline would forge a line of a log).

Runs in any site's interpreter: no ``re``, which would cost each pool more memory than all of this.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    Steps = tuple[str | int, ...]

# Long enough for anything, short enough for every timer.
LONGEST_TIME = 366 * 86400.0

_DIGITS = frozenset("0123456789")
_OCTAL_DIGITS = frozenset("01234567")
_SIZE_UNITS = {"K": 2**10, "k": 2**10, "M": 2**20, "m": 2**20, "G": 2**30, "g": 2**30}
_TIME_UNITS = (("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0), ("", 1.0))
_FLAGS = {"on": True, "yes": True, "true": True, "1": True, "off": False, "no": False, "false": False, "0": False}


class Fault:
    """One thing wrong, ``steps`` (keys and indexes) below the place that is being read."""

    __slots__ = ("hint", "message", "steps")

    def __init__(self, message: str, hint: str = "", steps: Steps = ()) -> None:
        self.message, self.hint, self.steps = message, hint, steps

    def below(self, step: str | int) -> Fault:
        """The same, seen from one level up."""
        return Fault(self.message, self.hint, (step, *self.steps))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Fault):
            return NotImplemented
        return (self.message, self.hint, self.steps) == (other.message, other.hint, other.steps)

    def __hash__(self) -> int:
        return hash((self.message, self.hint, self.steps))

    def __repr__(self) -> str:
        return f"Fault({self.message!r}, {self.hint!r}, {self.steps!r})"


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
        return [fault.below(step) for fault in self.faults]


# --- how things are shown


def quoted(text: str, longest: int = 80) -> str:
    """The text in quotes on one line, whatever is in it; cut when very long."""
    if len(text) > longest:
        text = text[: longest - 3] + "..."
    escaped = (char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return '"' + "".join(escaped) + '"'


def shown(raw: object) -> str:
    """A raw value as whoever wrote it would recognise it."""
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


def closest(name: str, known: Iterable[str]) -> str:
    """The name that was probably meant, or ""."""
    import difflib  # for a mistake only, since it is large

    matches = difflib.get_close_matches(name.lower().replace("-", "_"), sorted(known), n=1, cutoff=0.6)
    return matches[0] if matches else ""


# --- numbers


def parse_integer(raw: object, low: int, high: int, unit: str = "") -> int:
    """A whole number within the bounds, both included."""
    if isinstance(raw, bool) or not isinstance(raw, int):
        raise Wrong(f"{shown(raw)} is not a whole number")
    return within(raw, low, high, unit)


def within(value: int, low: int, high: int, unit: str = "") -> int:
    """The number, if it is."""
    tail = f" {unit}" if unit else ""
    if value < low:
        raise Wrong(f"{value} is too small: at least {low}{tail}")
    if value > high:
        raise Wrong(f"{shown(value)} is too big: at most {high}{tail}")
    return value


def parse_size(raw: object, low: int = 0, high: int = 2**60) -> int:
    """Bytes: a whole number, or text with K, M or G, powers of 1024, in either case."""
    size = _size_of(raw) if isinstance(raw, str) else raw
    if isinstance(size, bool) or not isinstance(size, int):
        raise Wrong(f"{shown(raw)} is not a size", 'write "256M", "64K" or a number of bytes')
    return within(size, low, high, "bytes")


def _size_of(text: str) -> int | None:
    unit = _SIZE_UNITS.get(text[-1:])
    number = text[:-1] if unit else text
    return int(number) * (unit or 1) if is_digits(number, 15) else None


def is_digits(text: str, most: int) -> bool:
    """From one to ``most`` ASCII digits, and nothing else."""
    return 0 < len(text) <= most and _DIGITS.issuperset(text)


def parse_time(raw: object, zero: bool = True) -> float:
    """Seconds: a number, or text with ms, s, m or h.  ``zero``: may it be none at all?"""
    seconds: float | None = None
    if isinstance(raw, str):
        seconds = _seconds_of(raw)
    elif isinstance(raw, (int, float)) and not isinstance(raw, bool) and raw - raw == 0:  # neither infinite nor NaN
        seconds = float(min(raw, 10**18))
    if seconds is None:
        raise Wrong(f"{shown(raw)} is not a time", 'write "30s", "500ms", "5m", "1h" or a number of seconds')
    if seconds < 0 or (seconds == 0 and not zero):
        raise Wrong(f"{shown(raw)} is too short: it must be {'at least' if zero else 'more than'} 0")
    if seconds > LONGEST_TIME:
        raise Wrong(f"{shown(raw)} is too long: at most 366 days")
    return seconds


def _seconds_of(text: str) -> float | None:
    unit, factor = next((unit, factor) for unit, factor in _TIME_UNITS if text.endswith(unit))
    number = text[: len(text) - len(unit)]
    whole, point, fraction = number.partition(".")
    if not is_digits(whole, 12) or (point and not is_digits(fraction, 9)):
        return None
    return float(number) * factor


def parse_flag(raw: object) -> bool:
    """true or false, or one of on off yes no true false 1 0 as text, in any case."""
    flag = raw if isinstance(raw, bool) else _FLAGS.get(raw.lower()) if isinstance(raw, str) else None
    if flag is None:
        raise Wrong(f"{shown(raw)} is neither true nor false")
    return flag


def parse_mode(raw: object, what: str = "file mode", example: str = "660") -> int:
    """Permission bits: "0660", "660" or 0o660."""
    if isinstance(raw, str) and _OCTAL_DIGITS.issuperset(raw) and (len(raw) == 3 or (len(raw) == 4 and raw[0] == "0")):
        return int(raw, 8)
    if isinstance(raw, int) and not isinstance(raw, bool) and 0 <= raw <= 0o777:
        return raw
    raise Wrong(f"{shown(raw)} is not a {what}", f'write "0{example}" or 0o{example}')


# --- text


def parse_text(raw: object) -> str:
    """Any text that is not empty and has no control characters."""
    if not isinstance(raw, str):
        raise Wrong(f"{shown(raw)} is not text", f'write "{shown(raw)}"' if isinstance(raw, (int, float)) else "")
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
