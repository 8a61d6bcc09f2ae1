"""The end of a child: what was begun in it is brought to its end, what its pool began is left alone.

At its start a child forgets the pool's atexit callbacks and finalizers (else the first child would delete the temporary
directory that the pool made at import).  At its end, with the visitor already let go: threads of the request get
``exit_grace``, then the child's own atexit callbacks run, streams are flushed, and the process ends by os._exit.
"""

from __future__ import annotations

import _thread
import atexit
import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

POLL_SECONDS = 0.005


class PoolsExits:
    """What the pool registered to be done at its end, kept away from its children.

    atexit has no way to put callbacks aside, so a child drops its copy of them; weakref's finalizers are put aside
    once, in the pool, which spares every child the work.
    """

    def __init__(self) -> None:
        self.finalizers: dict[Any, Any] = {}

    def put_aside(self) -> None:
        """In the pool, before it forks."""
        weakref = sys.modules.get("weakref")
        if weakref is not None:
            self.finalizers.update(weakref.finalize._registry)
            weakref.finalize._registry.clear()
            weakref.finalize._registered_with_atexit = False

    def forget(self) -> None:
        """In a fresh child."""
        atexit._clear()

    def run(self) -> None:
        """In the pool, at its end.  The finalizers are run by a callback that weakref registered with atexit."""
        if self.finalizers:
            sys.modules["weakref"].finalize._registry.update(self.finalizers)
        atexit._run_exitfuncs()


def leave(status: int, grace: float) -> None:
    """End this child; never returns.  ``grace``: seconds for threads that still work."""
    try:
        wait_for_threads(grace)
        atexit._run_exitfuncs()
        flush()
    finally:
        os._exit(status)


def wait_for_threads(grace: float) -> None:
    """Wait until the threads that Python code began are gone, by whatever module, or the grace is over.

    Threads of native libraries alone are not waited for: those never end by themselves.
    """
    if not _thread._count():
        return
    deadline = time.monotonic() + grace
    while _thread._count() and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)


def flush() -> None:
    """Write out what print() buffered.  A log that is gone cannot be told so."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            continue
