r"""Bytes to lines, and lines to what stands in a log.  Pure.

An error log line, in the machine's local time (RFC 3339):

    [2026-11-25T12:00:00.123+01:00] [a.example] text

The name is the site's; the server's own parts are named with a space, as no site can be: ``[itkwsgi front 1]``.

Whoever writes into a pipe may write anything, so a line is made harmless: it has one line end, ours; control characters
but tab, what is no UTF-8, and the invisible characters that end lines or turn the direction of writing stand there as
``\x1b`` or ``\u2028``.  A backslash is left alone.  Long lines are cut into pieces that say so: `CUT` at the end of the
one, at the beginning of the next.
"""

from __future__ import annotations

import re
import time

CUT = b"[...]"

# C0 but tab and line feed, DEL, C1; line and paragraph separator; embedding, override and isolate (Unicode, UAX 9).
_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_CONTROLS = bytes(range(9)) + bytes(range(11, 32)) + b"\x7f"


def escape(data: bytes) -> str:
    """Make harmless what somebody wrote; line feeds stay, they are the caller's."""
    if data.isascii() and len(data.translate(None, _CONTROLS)) == len(data):
        return data.decode("ascii")
    return _HIDDEN.sub(_shown, data.decode("utf-8", "backslashreplace"))


def _shown(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


class LineSplitter:
    """Collects bytes into lines of at most ``longest`` bytes, line end not counted."""

    __slots__ = ("_continued", "_pending", "longest")

    def __init__(self, longest: int) -> None:
        self.longest = longest
        self._pending = b""  # of the last line, which has no end yet
        self._continued = False  # its beginning was given out already

    @property
    def pending(self) -> bool:
        """Is there a line that waits for its end?"""
        return bool(self._pending)

    def feed(self, data: bytes) -> list[bytes]:
        """Add what was read; the lines that are complete, without their end (LF, or CR LF), and pieces of long ones."""
        *whole, rest = (self._pending + data).replace(b"\r\n", b"\n").split(b"\n")
        lines: list[bytes] = []
        for line in whole:
            self._pending = line
            self._cut_into(lines)
            if self._pending or not self._continued:
                lines.append(self._mark(self._pending))
            self._continued = False
        self._pending = rest
        self._cut_into(lines)
        return lines

    def flush(self, *, ended: bool) -> list[bytes]:
        """Give out the line that waits.  ``ended``: nothing follows; else it is a piece of a line."""
        rest, self._pending = self._pending, b""
        if not rest:
            return []
        line = self._mark(rest if ended else rest + CUT)
        self._continued = not ended
        return [line]

    def _cut_into(self, lines: list[bytes]) -> None:
        """Move pieces of a pending line that is too long."""
        while len(self._pending) > self.longest:
            at = _character_start(self._pending, self.longest)
            lines.append(self._mark(self._pending[:at] + CUT))
            self._pending = self._pending[at:]
            self._continued = True

    def _mark(self, text: bytes) -> bytes:
        return CUT + text if self._continued else text


def _character_start(text: bytes, at: int) -> int:
    """The place, ``at`` or up to three bytes before it, that splits no character of UTF-8."""
    for place in range(at, max(at - 4, 0), -1):
        if text[place] & 0xC0 != 0x80:
            return place
    return at


def stamp(seconds: float) -> str:
    """A time (as time.time gives it) in RFC 3339, local, to the millisecond."""
    milliseconds = int(seconds * 1000)
    local = time.localtime(milliseconds // 1000)
    zone = time.strftime("%z", local)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', local)}.{milliseconds % 1000:03}{zone[:3]}:{zone[3:]}"


def error_lines(lines: list[bytes], name: str, when: str) -> bytes:
    """What an error log gets for these lines (one or more)."""
    prefix = f"[{when}] [{name}] "
    text = escape(b"\n".join(lines)).replace("\n", "\n" + prefix)
    return f"{prefix}{text}\n".encode()


def split_access(line: str) -> tuple[int | None, str]:
    """A front's line ``INDEX TEXT`` or ``- TEXT``.  What is neither belongs to no site."""
    word, _, text = line.partition(" ")
    if word == "-":
        return None, text
    if word.isascii() and word.isdigit() and len(word) < 10:
        return int(word), text
    return None, line


def in_units(size: int) -> str:
    """A number of bytes as the configuration has it: ``1G``, ``64K``, ``1000``."""
    for power, unit in ((30, "G"), (20, "M"), (10, "K")):
        if size and size % (1 << power) == 0:
            return f"{size >> power}{unit}"
    return str(size)
