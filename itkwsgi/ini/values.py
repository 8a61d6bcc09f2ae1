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
    return f'"{printable(text)}"'


def printable(text: str) -> str:
    """The text on one line, whatever is in it: a name of a file can forge no line of a log."""
    if text.isprintable():
        return text
    return "".join([char if char.isprintable() else char.encode("unicode_escape").decode() for char in text])


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
        raise Wrong(f"{shown(value)} is too small: at least {low}{tail}")
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
        seconds = float(max(min(raw, 10**18), -1))
    if seconds is None:
        raise Wrong(f"{shown(raw)} is not a time", 'write "30s", "500ms", "5m", "1h" or a number of seconds')
    if seconds < 0 or (seconds == 0 and not zero):
        raise Wrong(f"{shown(raw)} is too short: it must be {'at least' if zero else 'more than'} 0")
    if seconds > LONGEST_TIME:
        raise Wrong(f"{shown(raw)} is too long: at most 366 days")
    return max(round(seconds, 9), 1e-9) if seconds else 0.0  # whole nanoseconds, so that digits can say all of it


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


# --- what the interpreter and the C library understand

_ZONES = "/usr/share/zoneinfo"
_NAME = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-+@")
_WARNING_ACTIONS = ("default", "error", "ignore", "always", "module", "once")


def parse_zone(raw: object) -> str:
    """A name of the time zone database, or a rule as in TZ (tzset(3)): Europe/Berlin, CET-1CEST,M3.5.0,M10.5.0/3."""
    text = parse_text(raw)
    parts = text.split("/")
    named = all(part and part[0] != "." and _NAME.issuperset(part) for part in parts)
    if named and (text == "UTC" or os.path.isfile(f"{_ZONES}/{text}")):
        return text
    if _is_zone_rule(text) or (named and not os.path.isdir(_ZONES)):
        return text
    raise Wrong(f"{shown(raw)} is no time zone of this machine", 'write "Europe/Berlin", "UTC"')


def _is_zone_rule(text: str) -> bool:
    """An abbreviation of three letters or more and an offset; then what the C library makes of it."""
    letters = next((at for at, char in enumerate(text) if not char.isalpha()), len(text))
    rest = text[letters:].lstrip("+-")
    return text.isascii() and letters >= 3 and rest[:1].isdigit() and _NAME.union(",/:").issuperset(text)


def parse_locale(raw: object) -> str:
    """A name for setlocale(3): de_DE.UTF-8.  Whether this machine has it shows when it is used."""
    text = parse_text(raw)
    if not _NAME.issuperset(text) or text[0] == ".":
        raise Wrong(f"{shown(raw)} is no locale", 'write "de_DE.UTF-8", "C.UTF-8"')
    return text


def parse_charset(raw: object) -> str:
    """A name as in Content-Type: UTF-8."""
    text = parse_text(raw)
    if not _NAME.issuperset(text):
        raise Wrong(f"{shown(raw)} is no charset", 'write "UTF-8"')
    return text


def parse_filter(raw: object) -> str:
    """action:message:category:module:line, of which all but the action may be missing (python -W)."""
    text = parse_text(raw)
    fields = [field.strip() for field in text.split(":")]
    line = fields[4] if len(fields) > 4 else ""
    if fields[0] not in _WARNING_ACTIONS or len(fields) > 5 or (line and not is_digits(line, 9)):
        raise Wrong(f"{shown(raw)} is no filter of warnings", 'write "error", "ignore::DeprecationWarning"')
    return ":".join(fields)
