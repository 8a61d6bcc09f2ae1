"""The time of day as text, made once per second: the Date field (RFC 9110 section 5.6.7) and the access log's time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from werkzeug.http import http_date

if TYPE_CHECKING:
    from collections.abc import Callable

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Clock:
    """Wall clock.  Timeouts never ask it: they go by the loop's monotonic time."""

    __slots__ = ("_date", "_log_time", "_now", "_second")

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._second = -1
        self._date = ""
        self._log_time = ""

    def date(self) -> str:
        """Now, as an HTTP date."""
        self._turn()
        return self._date

    def log_time(self) -> str:
        """Now, as in the common log format: ``10/Oct/2000:13:55:36 -0700``, local time."""
        self._turn()
        return self._log_time

    def _turn(self) -> None:
        second = int(self._now())
        if second != self._second:
            self._second = second
            self._date = http_date(second)
            self._log_time = log_time(second)


def log_time(second: int) -> str:
    """The common log format's time; month names are English in any locale."""
    local = time.localtime(second)
    sign, minutes = ("-", -local.tm_gmtoff // 60) if local.tm_gmtoff < 0 else ("+", local.tm_gmtoff // 60)
    return (
        f"{local.tm_mday:02}/{MONTHS[local.tm_mon - 1]}/{local.tm_year:04}"
        f":{local.tm_hour:02}:{local.tm_min:02}:{local.tm_sec:02} {sign}{minutes // 60:02}{minutes % 60:02}"
    )
