"""The site's own file of settings, .itk.toml: what .htaccess and .user.ini are to PHP.

It is read as the site's user, in a process of the site, and never trusted: a regular file of a sensible size, that
really lies within the site (no link leads it out), with a [value] table of settings that the administrator lets it
have.  What is wrong in it is a remark with file and line, and the rest of it applies; nothing in it is an error.
"""

from __future__ import annotations

import os
import stat
from errno import EACCES, ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR

from itkwsgi.ini.merge import Remark, Said
from itkwsgi.ini.registry import BY_NAME
from itkwsgi.ini.setting import SYSTEM
from itkwsgi.ini.tighter import is_within
from itkwsgi.ini.values import Wrong, closest, printable, quoted, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from itkwsgi.ini.locate import Path
    from itkwsgi.ini.merge import Table

    Stamp = tuple[int, int, int, int]

NAME = ".itk.toml"
LARGEST = 64 * 1024

# A fault in each of thousands of lines is one fault; a log need not hold more of it.
MOST_REMARKS = 50

# Parts of a dotted key cost memory by their square, the reader's and ours: thousands would be gigabytes.  A key stands
# on one line, so its dots are no more than that line's.
MOST_DOTS = 100

# What a file can say at all, if all of it is granted.
GRANTABLE = frozenset(name for name, setting in BY_NAME.items() if setting.mode != SYSTEM)

# A file that cannot be had is none: the directory is not there, is a file, or is not for this user.
_NONE = frozenset((ENOENT, ENOTDIR, EACCES, ELOOP, ENAMETOOLONG))


class Override:
    """What one file says.  ``said``: by name; ``remarks``: what of it has no effect."""

    __slots__ = ("path", "remarks", "said")

    def __init__(self, path: str, said: Table, remarks: list[Remark]) -> None:
        self.path, self.said, self.remarks = path, said, remarks

    def plain(self) -> tuple[Any, ...]:
        """The same in types that marshal knows."""
        said = [(name, each.value, each.where) for name, each in self.said.items()]
        return self.path, said, [(remark.where, remark.name, remark.message) for remark in self.remarks]

    @classmethod
    def of(cls, plain: tuple[Any, ...], allowed: frozenset[str] = GRANTABLE) -> Override:
        """Back from `plain`, which another process made: never fixed, and nothing that no file can say.

        ``allowed``: as for `load`; its values are not parsed again.
        """
        path, said, remarks = plain
        granted = GRANTABLE & allowed
        table = {name: Said(value, False, where) for name, value, where in said if name in granted}
        return cls(path, table, [Remark(*remark) for remark in remarks])


class Refused(Exception):
    """A file of which nothing applies: why, and in which line; 0 for none."""

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.line = line


# --- found and read


def stamp(directory: str) -> Stamp | None:
    """What tells one version of the file in that directory from another; None when there is none to be had.

    Of a link it is the link's own.  Raises OSError when the file system does not say.
    """
    try:
        found = os.lstat(f"{directory}/{NAME}")
    except OSError as error:
        if error.errno in _NONE:
            return None
        raise
    except ValueError:  # a NUL in a URL
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


def load(directory: str, tops: Sequence[str], allowed: frozenset[str]) -> Override:
    """Read the file in that directory; without one it says nothing.

    ``tops``: the directories that are the site; ``allowed``: names of settings that the file may set.
    """
    path = f"{directory.rstrip('/')}/{NAME}"
    try:
        text = decoded(read(path, tops))
    except Refused as reason:
        return refused(path, reason)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # the last for a NUL in a URL
        return Override(path, {}, [])
    except OSError as error:
        return refused(path, Refused(f"cannot be read: {error.strerror}"))
    return parse(text, path, allowed)


def read(path: str, tops: Sequence[str]) -> bytes:
    """What is in a file that may be read.  Raises `Refused` for another, OSError for one that cannot be."""
    fd = opened(path)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise Refused("is not read: it is not a regular file")
        found = place_of(fd)
        if not any(is_within(found, os.path.realpath(top)) for top in tops):
            raise Refused("is not read: a link leads to it, out of the site")
        data = read_all(fd)
    finally:
        os.close(fd)
    if len(data) > LARGEST:
        raise Refused(f"is not read: it is larger than {LARGEST >> 10} KiB")
    return data


def opened(path: str) -> int:
    """Without following a link at its end, and without waiting for a FIFO's other end."""
    try:
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == ELOOP:
            raise Refused("is not read: it is a link, and links are not followed") from None
        raise


def place_of(fd: int) -> str:
    """Where it really is, whatever happens to its name meanwhile.  Raises `Refused` when nobody says."""
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        raise Refused("is not read: without /proc nobody knows where it lies") from None


def read_all(fd: int) -> bytes:
    """All of it, or more than `LARGEST`."""
    data = b""
    while len(data) <= LARGEST:
        piece = os.read(fd, LARGEST + 1 - len(data))
        if not piece:
            break
        data += piece
    return data


def decoded(data: bytes) -> str:
    """UTF-8, a byte order mark before it or not.  Raises `Refused`."""
    data = data[3:] if data.startswith(b"\xef\xbb\xbf") else data
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Refused("is not read: it is not UTF-8", data.count(b"\n", 0, error.start) + 1) from None


def refused(path: str, reason: Refused) -> Override:
    """What such a file says: nothing, and why."""
    where = f"{printable(path)}:{reason.line}" if reason.line else printable(path)
    return Override(path, {}, [Remark(where, "", str(reason))])


# --- what it says


def parse(text: str, path: str, allowed: frozenset[str]) -> Override:
    """What a file of that path and content says."""
    try:
        tables, lines = understood(text)
    except Refused as reason:
        return refused(path, reason)
    return Reading(path, lines, allowed).read(tables)


def understood(text: str) -> tuple[dict[str, Any], dict[Path, int]]:
    """The tables and the line of each key.  Raises `Refused`."""
    from itkwsgi.ini.locate import locate
    from itkwsgi.ini.toml_reader import loads, positioned

    refuse_long_keys(text)
    try:
        return loads(text), locate(text)
    except ImportError:
        raise Refused("is not read: Python before 3.11 needs the package tomli for that") from None
    except RecursionError:
        raise Refused("is not read: it is nested too deeply") from None
    except MemoryError:
        raise Refused("is not read: there is not enough memory for it") from None
    except ValueError as error:  # what the readers raise is one; so is a number of thousands of digits
        message, line = positioned(str(error), text)
        raise Refused(f"is not read: not valid TOML: {message}", line) from None


def refuse_long_keys(text: str) -> None:
    """Before anything is made of it.  Raises `Refused`."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.count(".") > MOST_DOTS:
            raise Refused(f"is not read: more than {MOST_DOTS} dots in one line", number)


class Reading:
    """One file that is valid TOML."""

    def __init__(self, path: str, lines: dict[Path, int], allowed: frozenset[str]) -> None:
        self.path, self.name = path, printable(path)
        self.allowed = allowed
        self.lines = lines
        self.said: Table = {}
        self.remarks: list[Remark] = []

    def read(self, tables: dict[str, Any]) -> Override:
        """Take what applies; the rest are remarks."""
        for name, table in tables.items():
            if name == "admin_value":
                self.remark((name,), name, "has no effect here: only the administrator fixes values")
            elif name != "value":
                hint = " (settings belong below [value])" if name in BY_NAME else ""
                self.remark((name,), quoted(name), f"has no effect: nothing of that name is known here{hint}")
            elif not isinstance(table, dict):
                self.remark((name,), name, f"{shown(table)} stands where a table must (write [value])")
            else:
                for key, raw in table.items():
                    self.take(key, raw)
        return Override(self.path, self.said, self.remarks)

    def take(self, name: str, raw: object) -> None:
        """One setting."""
        reason = self.refusal(name)
        if reason:
            self.remark(("value", name), name if name in BY_NAME else quoted(name), reason)
            return
        try:
            value = BY_NAME[name].parse(raw, os.path.dirname(self.path))
        except Wrong as wrong:
            for fault in wrong.faults:
                hint = f" ({fault.hint})" if fault.hint else ""
                self.remark(("value", name, *fault.steps), name, fault.message + hint)
            return
        self.said[name] = Said(value, False, self.where(("value", name)))

    def refusal(self, name: str) -> str:
        """Why it may not be set here, "" when it may."""
        if name not in BY_NAME:
            near = closest(name, BY_NAME) if len(self.remarks) < MOST_REMARKS else ""
            return "unknown setting" + (f" (did you mean {near}?)" if near else "")
        if BY_NAME[name].mode == SYSTEM:
            return "has no effect here: only the administrator may set it"
        return "" if name in self.allowed else "has no effect here: allow_override does not grant it"

    def where(self, steps: tuple[Any, ...]) -> str:
        """file:line of that, or of the nearest thing around it."""
        while steps and steps not in self.lines:
            steps = steps[:-1]
        return f"{self.name}:{self.lines[steps]}" if steps else self.name

    def remark(self, steps: tuple[Any, ...], name: str, message: str) -> None:
        """Say it, unless too much is said already."""
        if len(self.remarks) < MOST_REMARKS:
            self.remarks.append(Remark(self.where(steps), name, message))
        elif len(self.remarks) == MOST_REMARKS:
            self.remarks.append(Remark(self.name, "", "more in it has no effect"))
