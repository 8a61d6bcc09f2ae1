"""What `ps` shows of a process: its title, written over the memory of its own command line.

Theory.  /proc/<pid>/cmdline is a window on the process's stack, from where exec laid the arguments to where they end.
A title can be as long as they were; so who starts a role gives it one argument more, `PADDING`, which the role ignores.
If the last byte of the window is not NUL, the kernel takes the whole for a title and shows it up to its first NUL only
(get_mm_cmdline in fs/proc/base.c): so that byte is marked, and no reader sees a tail of empty arguments.

The place is looked up once; after a fork it is the same.  Everybody on the machine can read a title: no secrets in it.
"""

from __future__ import annotations

import ctypes

from itkwsgi.linux import kernel

PADDING = " " * 160

_MARK = b"."
# A visitor's text (the request) may be in a title, and ends in an administrator's terminal.
_PRINTABLE = bytes(code if code >= 0x20 and code != 0x7F else 0x3F for code in range(256))


class ProcessTitle:
    """Where this process's title is, and how many bytes fit (0 where the kernel does not say)."""

    __slots__ = ("_area", "room")

    def __init__(self) -> None:
        start, end = _argument_area()
        self.room = max(0, end - start - 2)  # the closing NUL and the mark
        area = (ctypes.c_char * (self.room + 2 if self.room else 0)).from_address(start)
        self._area = memoryview(area).cast("B")

    def set(self, text: str | bytes, name: str | None = None) -> None:
        """Show this text, cut to the room, control characters as "?".  Costs a microsecond or two.

        ``name``: the thread's name (comm) as well, ASCII, cut to 15; raises `ValueError` for one that is not.
        """
        self.show(self.compose(text))
        if name is not None:
            kernel.set_name(name.encode("ascii")[: kernel.LONGEST_NAME])

    def compose(self, text: str | bytes) -> bytes:
        """All the bytes of the area for this text, to be shown as often as one likes."""
        raw = text.encode("utf-8", "replace") if isinstance(text, str) else text
        raw = raw.translate(_PRINTABLE)
        if len(raw) > self.room:
            raw = _cut(raw, self.room)
        return raw.ljust(self.room + 1, b"\0") + _MARK if self.room else b""

    def show(self, composed: bytes) -> None:
        """Show what `compose` made.  A child of a pool calls this: it touches as little memory as it can."""
        self._area[:] = composed


def _cut(raw: bytes, room: int) -> bytes:
    """Cut between two characters of UTF-8, not within one."""
    end = room
    while end > 0 and end > room - 4 and raw[end] & 0xC0 == 0x80:
        end -= 1
    return raw[:end]


def _argument_area() -> tuple[int, int]:
    """arg_start and arg_end of proc_pid_stat(5), fields 48 and 49.  The name, field 2, may hold any character."""
    with open("/proc/self/stat", "rb") as file:
        after_name = file.read().rpartition(b") ")[2].split()
    return int(after_name[45]), int(after_name[46])
