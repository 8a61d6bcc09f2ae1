"""One line per answer, in Apache's combined format, with the site's index before it: the log's process picks the file
by it.

What the visitor sent stands in quotes, escaped so that no request can end its quotes or begin a line of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from itkwsgi.front.lines import escape

if TYPE_CHECKING:
    from itkwsgi.front.clock import Clock
    from itkwsgi.front.http1.events import RequestHead
    from itkwsgi.front.lines import LineBatch
    from itkwsgi.front.settings import Site

# Not a registered status: the visitor went away before there was an answer (as in nginx's logs).
GONE = 499
# Escaping makes up to four characters of one; the log cuts lines at 64 kB.
LONGEST_REQUEST = 8 * 1024
LONGEST_FIELD = 3500


class AccessLog:
    """Formats and hands over."""

    __slots__ = ("_batch", "_clock")

    def __init__(self, batch: LineBatch, clock: Clock) -> None:
        self._batch = batch
        self._clock = clock

    def record(self, site: Site | None, address: str, request: RequestHead | str, status: int, size: int) -> None:
        """Note an answer of ``size`` bytes of body.  ``request``: its head, or what came instead of one."""
        if site is not None and not site.log:
            return
        line = combined(address, self._clock.log_time(), request, status, size)
        index = "-" if site is None else site.index
        self._batch.add(f"{index} {line}\n".encode("ascii"))


def combined(address: str, time: str, request: RequestHead | str, status: int, size: int) -> str:
    r"""``%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i"``; the documentation of Apache's mod_log_config."""
    referer = agent = "-"
    if isinstance(request, str):
        first = request or "-"
    else:
        first = f"{request.method} {request.target} HTTP/{request.version[0]}.{request.version[1]}"
        for name, value in request.fields:
            if name == "referer":
                referer = escape(value[:LONGEST_FIELD])
            elif name == "user-agent":
                agent = escape(value[:LONGEST_FIELD])
    first = escape(first[:LONGEST_REQUEST])
    return f'{address or "-"} - - [{time}] "{first}" {status} {size or "-"} "{referer}" "{agent}"'
