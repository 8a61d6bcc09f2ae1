"""Text lines into a pipe that may be full: the access log, and the notes on stderr.

A front never waits for a log.  Access lines are collected and written every 200 ms or 16 kB; a note is written at once.
What does not fit is dropped and counted, and the count is told as soon as there is room.
"""

from __future__ import annotations

import os
import re
import select
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

FLUSH_SECONDS = 0.2
FLUSH_BYTES = 16 * 1024
MOST_PENDING = 256 * 1024
# A pipe that poll(2) calls writable takes this much without blocking (pipe(7), PIPE_BUF).
LONGEST_NOTE = select.PIPE_BUF

_SPECIAL = re.compile(r"[^ !#-\[\]-~]")  # what may not stand between quotes
_UNPRINTABLE = re.compile(r"[^ -~]")


def escape(text: str) -> str:
    r"""One line of printable ASCII, as Apache's logs have it: ``\"``, ``\\``, ``\n`` and kin, else ``\xhh`` per byte.

    Bytes decoded as latin-1 come out as their bytes, any other character as its UTF-8 bytes.
    """
    return _SPECIAL.sub(_escaped, text) if _SPECIAL.search(text) else text


def one_line(text: str) -> str:
    """The same for a text that stands in no quotes, which may hold quotes and backslashes."""
    return _UNPRINTABLE.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    character = found[0]
    short = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character)
    if short is not None:
        return short
    raw = character.encode("latin-1" if character <= "\xff" else "utf-8", "replace")
    return "".join(f"\\x{byte:02x}" for byte in raw)


class Notes:
    """Single lines on stderr, which is a pipe to the log or the operator's terminal; so it must not be made
    non-blocking."""

    __slots__ = ("_fd", "_poll", "dropped")

    def __init__(self, fd: int = 2) -> None:
        self._fd = fd
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)
        self.dropped = 0

    def say(self, text: str) -> None:
        """Write one line (it is escaped, and cut at 4 kB); dropped when there is no room."""
        if not self._has_room():
            self.dropped += 1
            return
        if self.dropped:
            text = f"{text} ({self.dropped} notes before this one were dropped: the log was full)"
        try:
            os.write(self._fd, one_line(text).encode()[: LONGEST_NOTE - 1] + b"\n")
            self.dropped = 0
        except OSError:  # nobody reads: the log's process is being replaced
            self.dropped += 1

    def _has_room(self) -> bool:
        return any(event & select.POLLOUT for _, event in self._poll.poll(0))


class LineBatch:
    """Lines for a non-blocking pipe.  The descriptor becomes this object's."""

    __slots__ = ("_fd", "_lines", "_loop", "_notes", "_rest", "_size", "_timer", "dropped")

    def __init__(self, fd: int, loop: asyncio.AbstractEventLoop, notes: Notes) -> None:
        os.set_blocking(fd, False)
        self._fd = fd
        self._loop = loop
        self._notes = notes
        self._lines: list[bytes] = []
        self._size = 0
        self._rest = b""  # of lines that were written in part
        self._timer: asyncio.TimerHandle | None = None
        self.dropped = 0

    def add(self, line: bytes) -> None:
        """Take one line, its end included."""
        if self._size + len(self._rest) > MOST_PENDING:
            self.dropped += 1
            return
        self._lines.append(line)
        self._size += len(line)
        if self._size >= FLUSH_BYTES and not self._rest:
            self.flush()
        elif self._timer is None:
            self._timer = self._loop.call_later(FLUSH_SECONDS, self._tick)

    def flush(self) -> None:
        """Write what the pipe takes now."""
        data = self._rest + b"".join(self._lines)
        self._lines.clear()
        self._size = 0
        self._rest = data[self._write(data) :]
        if self.dropped and not self._rest:
            self._notes.say(f"access log: {self.dropped} lines were dropped: the log was full")
            self.dropped = 0

    def _write(self, data: bytes) -> int:
        try:
            return os.write(self._fd, data) if data else 0
        except BlockingIOError:
            return 0
        except OSError:  # nobody reads any more
            self.dropped += data.count(b"\n")
            return len(data)

    def _tick(self) -> None:
        self._timer = None
        self.flush()
        if self._rest:
            self._timer = self._loop.call_later(FLUSH_SECONDS, self._tick)

    def close(self) -> None:
        """Write the last lines, as far as there is room."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.flush()
        os.close(self._fd)
