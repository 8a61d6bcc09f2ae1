"""Who is written where: the server's two files, the sites' own, and what to say when one of them takes no more.

While a file cannot be written its lines are lost and counted; the operator's stderr gets one line about it.  When
writing works again, a line in the same error log (for an access log: the server's error log) says how many were lost.
The count outlives the descriptor: a rotation, or a site that falls asleep and wakes.

No writer (a site, a role of the server's, the visitors that no site is known for) fills more than ``limit`` bytes of a
file: what it writes beyond that is lost and counted in the same way.  Rotation makes room, see `Sink.used`.
"""

from __future__ import annotations

import time

from itkwsgi.log.lines import error_lines, escape, in_units, split_access, stamp
from itkwsgi.log.sinks import Sink, replace
from itkwsgi.log.sources import RATE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from itkwsgi.log.sites import Site, Sites

    Parts = list[tuple[int | str, bytes]]  # by whom, a site's index or a name; whole lines

OWN_NAME = "itkwsgi log"
COMPLAINT_SECONDS = 60.0
SLOW_SECONDS = 3600.0
NOBODY = "requests of no site"  # whose lines those are that a front knows no site for
# One that was full writes again when there is room for more than a few lines: it would fill up, and say so, at once.
FEW_LINES = 64 * 1024


class Book:
    """Writes lines to the files they belong to.  ``clock``: as time.time, for the stamps."""

    def __init__(self, sites: Sites, stderr: Sink | None, clock: Callable[[], float] = time.time) -> None:
        self.sites = sites
        self.error: Sink | None = None
        self.access: Sink | None = None
        self.limit = 0
        self._stderr = stderr
        self._clock = clock
        self._lost: dict[str, tuple[int, str]] = {}  # of what how many lines, nobody was told yet, and why
        self._full: set[str] = set()  # what is, as was told
        self._told: dict[str, float] = {}  # what, when

    def use(self, error: int | None, access: int | None, limit: int = 0) -> None:
        """The server's own files from here on; without an error log its lines go to stderr, access lines nowhere.
        ``limit``: bytes of one writer in one file, 0 for no limit."""
        self.error = replace(self.error, error, "the error log", shared=True)
        self.access = replace(self.access, access, "the access log", takes_notes=False, shared=True)
        self.limit = limit

    def write_site(self, site: Site, lines: list[bytes]) -> int:
        """Error lines of a site; how many bytes they made, written or not."""
        return self._write_errors(site.error or self.error, site.index, site.name, lines)

    def write_notes(self, name: str, lines: list[bytes]) -> int:
        """Lines of the server's own parts; how many bytes they made, written or not."""
        return self._write_errors(self.error, f"itkwsgi {name}", f"itkwsgi {name}", lines)

    def write_access(self, lines: list[bytes]) -> int:
        """A front's access lines; how many bytes they made.  Each file gets its own in one batch."""
        batches: dict[Sink, Parts] = {}
        size = 0
        for line in escape(b"\n".join(lines)).split("\n"):
            index, text = split_access(line)
            sink, text = self._place(index, text)
            if sink is not None:
                data = f"{text}\n".encode()
                size += len(data)
                writer = NOBODY if index is None or index not in self.sites.names else index
                batches.setdefault(sink, []).append((writer, data))
        for sink, parts in batches.items():
            self._put(sink, parts)
        return size

    def tell_slow(self, name: str, site: Site | None = None) -> None:
        """Somebody writes faster than may be: said in its log, now and then, since it is that which makes it wait."""
        sink = (site.error if site is not None else None) or self.error
        if sink is not None and self._is_due(f"{name} is slow", SLOW_SECONDS):
            text = f"{name} writes more than {in_units(RATE)} a second on its stdout and stderr: it waits for its log"
            sink.write(self._note(text))

    def tell_given_up(self, site: Site) -> None:
        """It sent descriptors to its log: said there, for nothing will follow."""
        sink = site.error or self.error
        if sink is not None:
            sink.write(
                self._note(f"{site.name} sent descriptors to its stdout or stderr: nothing is read from it any more")
            )

    def _place(self, index: int | None, text: str) -> tuple[Sink | None, str]:
        """The file of an access line, and how it stands there."""
        if index is None:
            return self.access, f"- {text}"
        site = self.sites.awake(index)
        if site is not None and site.access is not None:
            return site.access, text
        return self.access, f"{self.sites.names.get(index, '-')} {text}"

    def _write_errors(self, sink: Sink | None, writer: int | str, name: str, lines: list[bytes]) -> int:
        data = error_lines(lines, name, stamp(self._clock()))
        sink = sink or self._stderr
        if sink is not None:
            self._put(sink, [(writer, data)])
        return len(data)

    def _put(self, sink: Sink, parts: Parts) -> None:
        """Write what may be written, and keep account of the rest."""
        fits, refused = self._ration(sink, parts) if self.limit else (b"".join(data for _, data in parts), {})
        if fits:
            lost = sink.write(fits)
            if lost:
                self._lose(sink.what, lost, sink.reason)
                self._complain(sink)
            elif self._lost:
                for what in {sink.what, *(self._called(sink, writer) for writer, _ in parts if writer not in refused)}:
                    self._tell_lost(sink, what)
        for writer, count in refused.items():
            what = self._called(sink, writer)
            self._lose(what, count, "log_max was reached")
            self._tell_full(sink, what)

    def _ration(self, sink: Sink, parts: Parts) -> tuple[bytes, dict[int | str, int]]:
        """What of it is written, and how many lines of whom are not.  Who loses one loses all that follow it."""
        fits: list[bytes] = []
        rooms: dict[int | str, int] = {}
        refused: dict[int | str, int] = {}
        for writer, data in parts:
            room = rooms[writer] if writer in rooms else self._room(sink, writer)
            whole = data if len(data) <= room else data[: data.rfind(b"\n", 0, max(room, 0)) + 1]
            if len(whole) < len(data):
                refused[writer] = refused.get(writer, 0) + data.count(b"\n", len(whole))
                room = 0
            rooms[writer] = max(0, room - len(whole))
            fits.append(whole)
            sink.count(writer, len(whole))
        return b"".join(fits), refused

    def _room(self, sink: Sink, writer: int | str) -> int:
        """Bytes that this writer may still write there."""
        room = self.limit - sink.used(writer)
        if self._called(sink, writer) in self._full and room < min(FEW_LINES, self.limit // 2):
            return 0
        return room

    def _called(self, sink: Sink, writer: int | str) -> str:
        """How people call this writer's part of a file."""
        if not sink.shared:
            return sink.what
        return f"{self.sites.names.get(writer, '-') if isinstance(writer, int) else writer} in {sink.what}"

    def _lose(self, what: str, count: int, reason: str) -> None:
        before = self._lost[what][0] if what in self._lost else 0
        self._lost[what] = before + count, reason

    def _tell_lost(self, sink: Sink, what: str) -> None:
        """It can be written again.  When the telling fails it is tried after the next line."""
        if what not in self._lost:
            return
        target = sink if sink.takes_notes else self.error or self._stderr
        count, reason = self._lost[what]
        lines, were = ("line", "was") if count == 1 else ("lines", "were")
        text = f"{count} {lines} of {what} {were} lost: {reason}"
        if target is None or not target.write(self._note(text)):
            del self._lost[what]
            self._full.discard(what)

    def _tell_full(self, sink: Sink, what: str) -> None:
        """Once: to whoever reads that log, and to the operator."""
        if what in self._full:
            return
        text = (
            f"{what}: log_max ({in_units(self.limit)}) is reached, further lines are lost;"
            " rotate the log and send USR1, or raise log_max"
        )
        operators = self.error or self._stderr
        lost = [
            reader.write(self._note(text))
            for reader in {sink if sink.takes_notes else operators, operators}
            if reader is not None
        ]
        if 0 in lost:
            self._full.add(what)

    def _complain(self, sink: Sink) -> None:
        """Tell the operator's terminal, now and then."""
        if self._stderr is None or sink is self._stderr or not self._is_due(sink.what, COMPLAINT_SECONDS):
            return
        self._stderr.write(self._note(f"{sink.what} cannot be written, lines are lost: {sink.reason}"))

    def _is_due(self, what: str, seconds: float) -> bool:
        """Was it said in the last seconds?  If not, it will be now."""
        now = self._clock()
        last = self._told.get(what)
        if last is not None and abs(now - last) < seconds:
            return False
        self._told[what] = now
        return True

    def _note(self, text: str) -> bytes:
        return error_lines([text.encode()], OWN_NAME, stamp(self._clock()))
