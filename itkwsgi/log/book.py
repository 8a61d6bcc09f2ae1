"""Who is written where: the server's two files, the sites' own, and what to say when one of them takes no more.

While a file cannot be written its lines are lost and counted; the operator's stderr gets one line about it.  When
writing works again, a line in the same error log (for an access log: the server's error log) says how many were lost.
The count outlives the descriptor: a rotation, or a site that falls asleep and wakes.
"""

from __future__ import annotations

import time

from itkwsgi.log.lines import error_lines, escape, split_access, stamp
from itkwsgi.log.sinks import Sink, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from itkwsgi.log.sites import Site, Sites

OWN_NAME = "itkwsgi log"
COMPLAINT_SECONDS = 60.0


class Book:
    """Writes lines to the files they belong to.  ``clock``: as time.time, for the stamps."""

    def __init__(self, sites: Sites, stderr: Sink | None, clock: Callable[[], float] = time.time) -> None:
        self.sites = sites
        self.error: Sink | None = None
        self.access: Sink | None = None
        self._stderr = stderr
        self._clock = clock
        self._lost: dict[str, tuple[int, str]] = {}  # of which file how many, nobody was told yet, and why
        self._complained: dict[str, float] = {}  # about which file, when

    def use(self, error: int | None, access: int | None) -> None:
        """The server's own files from here on; without an error log its lines go to stderr, access lines nowhere."""
        self.error = replace(self.error, error, "the error log")
        self.access = replace(self.access, access, "the access log", takes_notes=False)

    def write_site(self, site: Site, lines: list[bytes]) -> int:
        """Error lines of a site; how many bytes they made."""
        return self._write_errors(site.error or self.error, site.name, lines)

    def write_notes(self, name: str, lines: list[bytes]) -> int:
        """Lines of the server's own parts; how many bytes they made."""
        return self._write_errors(self.error, f"itkwsgi {name}", lines)

    def write_access(self, lines: list[bytes]) -> int:
        """A front's access lines; how many bytes they made.  Each file gets its own in one batch."""
        batches: dict[Sink, list[str]] = {}
        for line in escape(b"\n".join(lines)).split("\n"):
            sink, text = self._place(*split_access(line))
            if sink is not None:
                batches.setdefault(sink, []).append(text)
        size = 0
        for sink, texts in batches.items():
            data = ("\n".join(texts) + "\n").encode()
            size += len(data)
            self._put(sink, data)
        return size

    def _place(self, index: int | None, text: str) -> tuple[Sink | None, str]:
        """The file of an access line, and how it stands there."""
        if index is None:
            return self.access, f"- {text}"
        site = self.sites.awake(index)
        if site is not None and site.access is not None:
            return site.access, text
        return self.access, f"{self.sites.names.get(index, '-')} {text}"

    def _write_errors(self, sink: Sink | None, name: str, lines: list[bytes]) -> int:
        data = error_lines(lines, name, stamp(self._clock()))
        self._put(sink or self._stderr, data)
        return len(data)

    def _put(self, sink: Sink | None, data: bytes) -> None:
        if sink is None:
            return
        lost = sink.write(data)
        if lost:
            before = self._lost[sink.what][0] if sink.what in self._lost else 0
            self._lost[sink.what] = before + lost, sink.reason
            self._complain(sink)
        elif sink.what in self._lost:
            self._tell_lost(sink)

    def _tell_lost(self, sink: Sink) -> None:
        """It can be written again.  When the telling fails it is tried after the next line."""
        target = sink if sink.takes_notes else self.error or self._stderr
        count, reason = self._lost[sink.what]
        lines, were = ("line", "was") if count == 1 else ("lines", "were")
        text = f"{count} {lines} of {sink.what} {were} lost: {reason}"
        if target is None or not target.write(self._note(text)):
            del self._lost[sink.what]

    def _complain(self, sink: Sink) -> None:
        """Tell the operator's terminal, now and then."""
        now = self._clock()
        last = self._complained.get(sink.what)
        if self._stderr is None or sink is self._stderr or (last is not None and abs(now - last) < COMPLAINT_SECONDS):
            return
        self._complained[sink.what] = now
        self._stderr.write(self._note(f"{sink.what} cannot be written, lines are lost: {sink.reason}"))

    def _note(self, text: str) -> bytes:
        return error_lines([text.encode()], OWN_NAME, stamp(self._clock()))
