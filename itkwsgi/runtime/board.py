"""What children and their pool tell each other beyond one byte: what is at work, until when, and what was learned.

Memory that all of them share.  For each child a label (method and path, for the log) and three times; a site that
scribbles in there deceives only its own pool.

One place is for reports.  There is no lock: who finds a report there that the pool did not take yet leaves it be.  Two
that write one at once spoil it, which its checksum shows: it is dropped, and the next child reports again.  It is a
mapping of its own, which a child gives up before any code of the site runs in its request: what a report says holds
for requests in other places of the site too, which code behind a location's walls must not reach.
"""

from __future__ import annotations

import mmap
import struct
from binascii import crc32

LABEL = 160  # bytes for method and path
TIMES = struct.Struct("=ddd")  # begun, slow and over, in monotonic seconds; 0 for none
EACH = LABEL + TIMES.size
LONGEST_REPORT = 64 * 1024
REPORT = struct.Struct("=II")  # size and checksum
NOTHING = struct.pack("=I", 0)
NO_TIMES = bytes(TIMES.size)
WATCH = struct.Struct("=d")  # when the pool looks at the times next
CHECKED = struct.Struct(
    "=dBB"
)  # when the site's files were looked at last; whether they changed; whether the pool left
FOREVER = 1e18


def printable(label: bytes) -> str:
    """As it can stand in a line of a log, whatever a visitor put into the path."""
    text = label.decode("utf-8", "replace")
    return "".join(char if char.isprintable() else "?" for char in text)


class Board:
    """For at most ``size`` children."""

    __slots__ = ("checked_at", "memory", "reports", "size", "watch_at")

    def __init__(self, size: int) -> None:
        self.size = size
        self.watch_at = size * EACH
        self.checked_at = self.watch_at + WATCH.size
        self.memory = mmap.mmap(-1, self.checked_at + CHECKED.size)
        self.reports = mmap.mmap(-1, REPORT.size + LONGEST_REPORT)
        self.watch_again(FOREVER)

    # --- what a child is doing

    def label(self, number: int, text: bytes) -> None:
        """In the child: what it works on."""
        at = number * EACH
        self.memory[at : at + LABEL] = text[:LABEL].ljust(LABEL, b"\0")

    def read_label(self, number: int) -> str:
        """In the pool."""
        at = number * EACH
        return printable(self.memory[at : at + LABEL].partition(b"\0")[0])

    def expect(self, number: int, begun: float, slow: float, over: float) -> bool:
        """In the child: be watched.  Returns whether the pool must be woken to hear of it in time."""
        at = number * EACH + LABEL
        self.memory[at : at + TIMES.size] = TIMES.pack(begun, slow, over)
        due = min(time for time in (slow, over, FOREVER) if time)
        looks_at: float = WATCH.unpack_from(self.memory, self.watch_at)[0]
        return due < looks_at

    def unwatch(self, number: int) -> None:
        """It is over, or about to be watched otherwise."""
        at = number * EACH + LABEL
        self.memory[at : at + TIMES.size] = NO_TIMES

    def times(self, number: int) -> tuple[float, float, float]:
        """In the pool: begun, slow, over."""
        return TIMES.unpack_from(self.memory, number * EACH + LABEL)

    def watch_again(self, when: float) -> None:
        """In the pool: that is when it looks next by itself."""
        self.memory[self.watch_at : self.watch_at + WATCH.size] = WATCH.pack(when)

    # --- whether the site's files changed

    def must_check(self, now: float, every: float) -> bool:
        """In a child: is it time to look?  The first that asks is the one who looks."""
        last, changed, left = CHECKED.unpack_from(self.memory, self.checked_at)
        if now < last + every:
            return False
        self.memory[self.checked_at : self.checked_at + CHECKED.size] = CHECKED.pack(now, changed, left)
        return True

    def outdate(self) -> None:
        """In a child: they changed."""
        self.memory[self.checked_at + CHECKED.size - 2] = 1

    @property
    def outdated(self) -> bool:
        """Did a child find that they changed?"""
        return self.memory[self.checked_at + CHECKED.size - 2] != 0

    def leave(self) -> None:
        """In the pool: nobody comes to it any more."""
        self.memory[self.checked_at + CHECKED.size - 1] = 1

    @property
    def left(self) -> bool:
        """Will the front find another pool?"""
        return self.memory[self.checked_at + CHECKED.size - 1] != 0

    # --- what a child learned

    def post(self, report: bytes) -> bool:
        """In the child: leave a report; False when it gave that up, there is one already, or this one is too long."""
        if self.reports.closed or not 0 < len(report) <= LONGEST_REPORT or REPORT.unpack_from(self.reports)[0]:
            return False
        self.reports[REPORT.size : REPORT.size + len(report)] = report
        self.reports[: REPORT.size] = REPORT.pack(len(report), crc32(report))
        return True

    def post_no_more(self) -> None:
        """In the child: code of the site runs from here on."""
        self.reports.close()

    def take(self) -> bytes | None:
        """In the pool: the report that lies there, if one does and is whole."""
        size, checksum = REPORT.unpack_from(self.reports)
        if not size:
            return None
        report = self.reports[REPORT.size : REPORT.size + min(size, LONGEST_REPORT)]
        self.reports[: len(NOTHING)] = NOTHING
        return report if crc32(report) == checksum else None
