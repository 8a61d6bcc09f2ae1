"""Says on which line each key of a TOML document stands, which tomllib does not.

A scanner, not a parser: it is given only what the reader has accepted, so it looks for nothing but the ends of things,
and leaves decoding of quoted keys to it.  A path is a tuple of keys and, below arrays, indexes from 0:
``("vhost", 0, "pool_socket", "mode")``.  The set of paths equals that of every table, key and array element of the
parsed document; the tests hold it to that.  A table has the line of its own header where it has one, else of its
first mention.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    Step = str | int
    Path = tuple[Step, ...]
else:
    Path = tuple[object, ...]  # as far as Python 3.9 can say it

_BLANK = re.compile(r"[ \t]*")
_VOID = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")  # also between the elements of an array
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_QUOTED_KEY = re.compile(r""""(?:\\.|[^"\\\n])*"|'[^'\n]*'""")
# A multi-line string may have two more quotes right before the three that end it.
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}(?!")'
    r"|'''.*?'{3,5}(?!')"
    r"|" + _QUOTED_KEY.pattern,
    re.DOTALL,
)
_SCALAR = re.compile(r"[^,\]}#\n]+")


def locate(text: str) -> dict[Path, int]:
    """Map each path of a valid TOML document to its line, counted from 1."""
    scanner = _Scanner(text)
    scanner.document()
    return scanner.lines


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[Path, int] = {}
        self.sizes: dict[Path, int] = {}  # of the arrays of tables
        self.line = 1
        self.counted = 0  # newlines before here are in self.line

    def document(self) -> None:
        """Statement by statement to the end."""
        table: Path = ()
        self.skip(_VOID)
        while self.at < len(self.text):
            if self.text[self.at] == "[":
                table = self.header()
            else:
                self.pair(table)
            self.skip(_VOID)

    def header(self) -> Path:
        """``[a.b]`` or ``[[a.b]]``; returns the path of the table that follows."""
        brackets = 2 if self.text.startswith("[[", self.at) else 1
        line = self.line_here()
        self.at += brackets
        *parents, name = self.key()
        self.at += brackets
        path: Path = ()
        for part in parents:
            path = self.last_table((*path, part), line)
        path = (*path, name)
        if brackets == 1:
            self.lines[path] = line
            return path
        self.lines.setdefault(path, line)
        index = self.sizes.get(path, 0)
        self.sizes[path] = index + 1
        self.lines[(*path, index)] = line
        return (*path, index)

    def last_table(self, path: Path, line: int) -> Path:
        """The table a header's parent means: of an array of tables, its last one."""
        self.lines.setdefault(path, line)
        return (*path, self.sizes[path] - 1) if path in self.sizes else path

    def pair(self, table: Path) -> None:
        """``a.b = value`` at the top or in an inline table."""
        line = self.line_here()
        path = table
        for part in self.key():
            path = (*path, part)
            self.lines.setdefault(path, line)
        self.at += 1  # =
        self.skip(_BLANK)
        self.value(path)

    def key(self) -> list[str]:
        """A key and the dotted ones after it, decoded; leaves the position after it and its blanks."""
        parts = []
        while True:
            self.skip(_BLANK)
            quoted = _QUOTED_KEY.match(self.text, self.at)
            if quoted:
                parts.append(decoded(quoted[0]))
                self.at = quoted.end()
            else:
                parts.append(self.skip(_BARE_KEY))
            self.skip(_BLANK)
            if not self.text.startswith(".", self.at):
                return parts
            self.at += 1

    def value(self, path: Path) -> None:
        """Anything a key or an array can hold."""
        start = self.text[self.at]
        if start == "[":
            self.array(path)
        elif start == "{":
            self.inline_table(path)
        elif start in "\"'":
            self.skip(_STRING)
        else:
            self.skip(_SCALAR)

    def array(self, path: Path) -> None:
        """``[a, b]``, over many lines or one."""
        self.at += 1
        index = 0
        while not self.closes("]"):
            self.lines[(*path, index)] = self.line_here()
            self.value((*path, index))
            index += 1

    def inline_table(self, path: Path) -> None:
        """``{a = 1, b.c = 2}``."""
        self.at += 1
        while not self.closes("}"):
            self.pair(path)

    def closes(self, bracket: str) -> bool:
        """Skip to the next element and say that there is none."""
        self.skip(_VOID)
        if self.text.startswith(",", self.at):
            self.at += 1
            self.skip(_VOID)
        if not self.text.startswith(bracket, self.at):
            return False
        self.at += 1
        return True

    def skip(self, pattern: re.Pattern[str]) -> str:
        """Pass over the pattern; returns its text."""
        match = pattern.match(self.text, self.at)
        if match is None:
            raise ValueError(f"no TOML that tomllib would accept, at character {self.at}")
        self.at = match.end()
        return match[0]

    def line_here(self) -> int:
        """The line of the position, which never moves back."""
        self.line += self.text.count("\n", self.counted, self.at)
        self.counted = self.at
        return self.line


def decoded(quoted: str) -> str:
    """What a quoted key says."""
    from itkwsgi.ini.toml_reader import loads

    return str(loads(f"key = {quoted}")["key"])
