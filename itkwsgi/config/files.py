"""Reads itk.toml and what it includes.

As root, each file and the directory it is in must be root's and writable by nobody else, the directories above too
(sticky ones may be passed), on every step of every link: what somebody else could change is not read at all.  A file
must be a regular one (a FIFO would hang the server) of at most 4 MiB.  ``include`` takes names and patterns
relative to the main file: a name must exist, a pattern may match nothing, its matches come sorted, and no file comes
twice.  Files are named in messages as the operator named them.
"""

from __future__ import annotations

import codecs
import glob
import os
import stat
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from itkwsgi.config.machine import Machine
from itkwsgi.config.model import Problem
from itkwsgi.config.values import key_text
from itkwsgi.config.walk import untrusted
from itkwsgi.ini.locate import Path, locate
from itkwsgi.ini.toml_reader import positioned
from itkwsgi.ini.values import Fault

LARGEST_FILE = 4 * 2**20
_ROOT = frozenset((0,))


@dataclass(frozen=True, slots=True)
class Document:
    """A file that was read.  ``name``: as in messages; ``directory``: absolute, where its relative paths start."""

    name: str
    directory: str
    tables: dict[str, Any]
    lines: dict[Path, int]

    def line(self, path: Path) -> int:
        """Of that key, or of the nearest thing around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 0)


@dataclass(frozen=True, slots=True)
class Place:
    """A table in a document; ``title`` is its path without indexes, as messages call it, () at the top."""

    document: Document
    path: Path = ()
    title: tuple[str, ...] = ()

    def problem(self, fault: Fault) -> Problem:
        """The fault with its file, line and key."""
        line = self.document.line((*self.path, *fault.steps))
        return Problem(self.document.name, line, key_text((*self.title, *fault.steps)), fault.message, fault.hint)

    @property
    def where(self) -> str:
        """file:line of the table itself."""
        return f"{self.document.name}:{self.document.line(self.path)}"


class Unreadable(Exception):
    """A file that cannot be used at all."""

    def __init__(self, name: str, message: str, line: int = 0, hint: str = "") -> None:
        super().__init__(message)
        self.problem = Problem(name, line, "", message, hint)


def read_document(name: str, machine: Machine) -> Document:
    """Read one file.  Raises `Unreadable`."""
    if machine.is_root:
        refuse_untrusted(name, machine)
    text = decode(name, read_bytes(name))
    tables, lines = parse(name, text)
    return Document(name, os.path.dirname(os.path.abspath(name)), tables, lines)


def refuse_untrusted(name: str, machine: Machine) -> None:
    """Raises `Unreadable` when somebody but root could change the file, or what stands beside it."""
    path = os.path.abspath(name)
    for checked in (os.path.dirname(path), os.path.dirname(os.path.realpath(path)), path):
        fault = untrusted(checked, _ROOT, machine.sight)
        if fault:
            raise Unreadable(name, f"refused: {fault}", hint="only root may be able to change the configuration")


def read_bytes(name: str) -> bytes:
    """The content of a regular file.  Raises `Unreadable`."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as file:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise Unreadable(name, "is not a regular file")
            data = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise Unreadable(name, f"cannot be read: {error.strerror}") from None
    if len(data) > LARGEST_FILE:
        raise Unreadable(name, f"is larger than {LARGEST_FILE >> 20} MiB")
    return data


def decode(name: str, data: bytes) -> str:
    """UTF-8, a byte order mark before it or not.  Raises `Unreadable` with the line of the first byte that is none."""
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Unreadable(name, "is not UTF-8", line) from None


def parse(name: str, text: str) -> tuple[dict[str, Any], dict[Path, int]]:
    """The tables and the line of each key.  Raises `Unreadable` with the line of the first fault in its syntax."""
    try:
        return tomllib.loads(text), locate(text)
    except RecursionError:
        raise Unreadable(name, "is nested too deeply") from None
    except tomllib.TOMLDecodeError as error:
        message, line = positioned(str(error), text)
        raise Unreadable(name, f"not valid TOML: {message}", line) from None
    except ValueError as error:  # a number of thousands of digits
        raise Unreadable(name, f"not valid TOML: {error}") from None


# --- includes


def included(main: Document, patterns: Iterable[str], machine: Machine) -> Iterator[Document | Problem]:
    """Every file that the main one includes, in the order they count; a `Problem` for each that cannot be read."""
    seen = {os.path.realpath(main.name)}
    for index, pattern in enumerate(patterns):
        names = matches(os.path.dirname(main.name), pattern)
        if not names and not is_pattern(pattern):
            yield Place(main).problem(Fault(f"there is no file {pattern}", steps=("include", index)))
        for name in names:
            real = os.path.realpath(name)
            if real in seen:
                continue
            seen.add(real)
            try:
                yield read_document(name, machine)
            except Unreadable as unreadable:
                yield unreadable.problem


def is_pattern(text: str) -> bool:
    """Has it a wildcard?"""
    return any(char in text for char in "*?[")


def matches(directory: str, pattern: str) -> list[str]:
    """The files of one element of ``include``, sorted; hidden ones only when the pattern says the dot."""
    if is_pattern(pattern):
        return sorted(glob.glob(os.path.join(glob.escape(directory), pattern)))
    name = os.path.join(directory, pattern)
    return [name] if os.path.lexists(name) else []
