"""Limits of this process, as the kernel keeps them.

A default is the soft limit and leaves the hard one; what is fixed is both, for good (getrlimit(2)).  Processor time is
counted for a process, so the limit of one request starts at what was used up before: a timer raises `TimeLimitExceeded`
in the request when its time is over, and two seconds later the kernel ends the process, by SIGXCPU at the soft limit,
by SIGKILL at the hard one.  (PHP: max_execution_time and hard_timeout.)
"""

from __future__ import annotations

import _signal
import math
import resource
import time

from itkwsgi.errors import TimeLimitExceeded
from itkwsgi.ini.rlimits import HARD_TIMEOUT, RESOURCES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# A process that serves many requests ends when it used up this much of a hard limit, which cannot be set anew.
WORN_SECONDS = 1.0
UNLIMITED = resource.RLIM_INFINITY


def set_limit(name: str, value: int | None, fixed: bool) -> bool:
    """Set a limit, as far as the hard one permits; None lifts it.  Returns whether that cannot be taken back."""
    number = RESOURCES[name]
    hard = resource.getrlimit(number)[1]
    soft = hard if value is None else lower(value, hard)
    resource.setrlimit(number, (soft, soft if fixed else hard))
    return fixed and soft != hard


def room(name: str) -> int | None:
    """How high the limit can be set by this process; None for any."""
    hard = resource.getrlimit(RESOURCES[name])[1]
    return None if hard == UNLIMITED else hard


def lower(value: int, hard: int) -> int:
    """The lower of two limits."""
    return value if hard == UNLIMITED else min(value, hard)


class ProcessorTime:
    """max_execution_time of the request at work.

    ``lasting``: this process serves further requests.  ``usual``: the fixed limit of the site as a whole, None for
    none: one hard limit can serve several requests of that; any other serves its own, and is that process's last.
    """

    __slots__ = ("hard_set", "lasting", "other", "seconds", "usual")

    def __init__(self, lasting: bool, usual: float | None = None) -> None:
        self.lasting = lasting
        self.usual = usual
        self.hard_set = False
        self.other = False
        self.seconds: float | None = None

    def start(self, seconds: float | None, fixed: bool) -> None:
        """Begin to count: None is no limit.  Starts anew when it is called again, as PHP's set_time_limit()."""
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        if seconds is None and self.seconds is None:
            return
        self.seconds = seconds
        set_timer(seconds or 0.0)
        if seconds is None:
            resource.setrlimit(resource.RLIMIT_CPU, (hard, hard))
            return
        end = math.ceil(time.process_time() + seconds + HARD_TIMEOUT)
        if fixed:
            hard = self.hard_limit(seconds, end, hard)
        resource.setrlimit(resource.RLIMIT_CPU, (lower(end, hard), hard))

    def hard_limit(self, seconds: float, end: int, hard: int) -> int:
        """What is fixed, for this request or for all that are like it."""
        if seconds != self.usual or not self.lasting:
            self.other = seconds != self.usual
            return lower(end, hard)
        if not self.hard_set:
            self.hard_set = True
            return lower(end + math.ceil(WORN_SECONDS), hard)
        return hard

    def stop(self) -> None:
        """No exception any more; the kernel's limit stays."""
        if self.seconds is not None:
            set_timer(0.0)

    def exceeded(self, number: int, frame: Any) -> None:
        """The handler of SIGPROF."""
        raise TimeLimitExceeded(f"max_execution_time: {self.seconds:g} s of processor time are used up")

    def worn(self) -> bool:
        """Would the hard limit cut another request short?"""
        return self.other or (self.hard_set and time.process_time() > WORN_SECONDS)


def set_timer(seconds: float) -> None:
    """SIGPROF after so much processor time of this process, 0 for never (setitimer(2))."""
    _signal.setitimer(_signal.ITIMER_PROF, seconds)  # type: ignore[attr-defined]


def half_used() -> bool:
    """Did this process use half of the processor time it may use at all?"""
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    return hard != UNLIMITED and time.process_time() > hard / 2
