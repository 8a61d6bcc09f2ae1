"""The usual request: of a site without settings of its own for parts of it, and without files of its own.

Most sites are like that, and for them all there is to do is known beforehand.  A child copies each page of memory that
it touches, and every function it calls is two or three of them: so one function does it all, with what the pool laid
out for it in one place.  Whatever is not as usual (a body, an own file that appeared, a time to look for edits) goes
the long way, which is `runtime.requests`.
"""

from __future__ import annotations

import math
import resource
from _signal import ITIMER_PROF, setitimer  # type: ignore[attr-defined]
from os import F_OK, access
from resource import RLIMIT_CPU, setrlimit
from time import monotonic

from itkwsgi.ini.override_file import NAME
from itkwsgi.ini.rlimits import HARD_TIMEOUT
from itkwsgi.runtime.board import CHECKED, EACH, LABEL
from itkwsgi.runtime.limits import lower

TYPE_CHECKING = False
if TYPE_CHECKING:
    from itkwsgi.runtime.connection import Connection
    from itkwsgi.runtime.limits import ProcessorTime
    from itkwsgi.runtime.pool import Pool


class Usual:
    """``files``: none of them may be there.  ``every``: revalidate, None for never.  ``seconds`` of processor time,
    None for no limit, and what that is for setrlimit(2)."""

    __slots__ = ("every", "files", "limits", "seconds")

    def __init__(
        self, files: tuple[str, ...], every: float | None, seconds: float | None, limits: tuple[int, int]
    ) -> None:
        self.files, self.every, self.seconds, self.limits = files, every, seconds, limits


def usual_of(pool: Pool) -> Usual | None:
    """What is usual in that pool; None when each request must go the long way."""
    scopes, scope, at_hand = pool.scopes, pool.scope, pool.scope.at_hand
    lasting = pool.plan["requests_per_child"] != 1
    if lasting or scopes.by_path or scope.key[1] or pool.changes or at_hand.is_special or pool.external is not None:
        return None
    files = tuple([f"{directory}/{NAME}" for directory in scopes.own_chain]) if scopes.allowed else ()
    every = at_hand.revalidate if pool.loaded.files else None
    return Usual(files, every, at_hand.max_execution_time, limits_of(at_hand.max_execution_time, at_hand.time_is_fixed))


def limits_of(seconds: float | None, fixed: bool) -> tuple[int, int]:
    """The soft and the hard limit of a fresh process: it has used nothing yet."""
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    if seconds is None:
        return hard, hard
    end = lower(math.ceil(seconds + HARD_TIMEOUT), hard)
    return end, end if fixed else hard


def begin_as_usual(pool: Pool, slot: int, connection: Connection, label: bytes) -> bool:
    """In a child: prepare for the app.  False when this request is another, and nothing was done."""
    usual = pool.usual
    if usual is None or connection.authorizer or not connection.body_ended:
        return False
    for file in usual.files:
        if access(file, F_OK):
            return False
    board = pool.board
    if usual.every is not None:
        last, changed, _ = CHECKED.unpack_from(board.memory, board.checked_at)
        if changed or monotonic() >= last + usual.every:
            return False
    at = slot * EACH
    board.memory[at : at + LABEL] = label[:LABEL].ljust(LABEL, b"\0")
    board.reports.close()  # as Board.post_no_more
    if usual.seconds is not None:
        pool.time.seconds = usual.seconds
        setitimer(ITIMER_PROF, usual.seconds)
        setrlimit(RLIMIT_CPU, usual.limits)
    return True


def arm(time: ProcessorTime, seconds: float, limits: tuple[int, int]) -> None:
    """The same in the long way: max_execution_time of a fresh process."""
    time.seconds = seconds
    setitimer(ITIMER_PROF, seconds)
    setrlimit(RLIMIT_CPU, limits)
