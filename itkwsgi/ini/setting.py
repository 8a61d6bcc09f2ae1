"""What there is to know of one setting.

The mode says who may set it: PERDIR is a site's own files below its directories, ALL its code too, SYSTEM neither; an
administrator may set any.  How it is enforced: by the kernel, so that nothing a site does gets past it; by the runtime,
which sets it up and no more; or not at all, as advice to the code.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from itkwsgi.ini.kinds import Kind

ALL = "ALL"
PERDIR = "PERDIR"
SYSTEM = "SYSTEM"

KERNEL = "kernel"
RUNTIME = "runtime"
ADVISORY = "advisory"

NONE = "none"


class Setting:
    """A setting.  ``default`` and ``none`` are values as the program holds them: without a word, and for "none"."""

    __slots__ = ("default", "enforced", "help", "kind", "mode", "name", "none")

    def __init__(
        self, name: str, kind: Kind, mode: str, enforced: str, help: str, default: Any = None, none: Any = None
    ) -> None:
        self.name, self.kind, self.mode, self.enforced, self.help = name, kind, mode, enforced, help
        self.default, self.none = default, none

    def parse(self, raw: object, directory: str) -> Any:
        """The value of what was written; relative paths start at directory.  Raises `Wrong`."""
        if isinstance(raw, str) and raw.lower() == NONE:
            return self.none
        return self.kind.parse(raw, directory)

    def python(self, value: Any) -> Any:
        """The value as code of a site has it: None for no limit and nothing set, lists for lists."""
        if value == ():
            return None
        return list(value) if isinstance(value, tuple) else value

    def written(self, value: Any) -> Any:
        """The value as it would be written in a file: parsed again it is the same."""
        if value is None or value == ():
            return NONE
        if isinstance(value, tuple):
            return list(value)
        spell = SPELLED.get(self.kind.name)
        return value if spell is None else spell(value)

    def text(self, value: Any) -> str:
        """The value for people: 128M, 30s, on, 0027, /a, /b."""
        written = self.written(value)
        if isinstance(written, bool):
            return "on" if written else "off"
        return ", ".join(written) if isinstance(written, list) else str(written)

    def __repr__(self) -> str:
        return f"Setting({self.name!r})"


# --- how values are spelled


def spell_size(size: int) -> str:
    """Bytes with the largest unit that leaves a whole number."""
    for unit, factor in (("G", 2**30), ("M", 2**20), ("K", 2**10)):
        if size and size % factor == 0:
            return f"{size // factor}{unit}"
    return str(size)


def spell_time(seconds: float) -> str:
    """Whole minutes from two on, else seconds; below one, milliseconds where that says all of it."""
    if seconds % 60 == 0 and seconds >= 120:
        return f"{int(seconds // 60)}m"
    if 0 < seconds < 1 and seconds * 1000 == int(seconds * 1000):
        return f"{int(seconds * 1000)}ms"
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"


def spell_umask(mask: int) -> str:
    """Octal."""
    return f"{mask:04o}"


SPELLED: dict[str, Callable[[Any], str]] = {"size": spell_size, "time": spell_time, "umask": spell_umask}
