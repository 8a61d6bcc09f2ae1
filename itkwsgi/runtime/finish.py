"""The end of a child: what was begun in it is brought to its end, what its pool began is left alone.

At its start a child forgets the pool's atexit callbacks and finalizers (else the first child would delete the temporary
directory that the pool made at import).  At its end, with the visitor already let go: threads of the request get
``exit_grace``, then the child's own atexit callbacks run, streams are flushed, and the process ends by os._exit.
"""

from __future__ import annotations

import atexit
import os
import sys
import time

POLL_SECONDS = 0.005


def forget_parents_exits() -> None:
    """In a fresh child: drop the callbacks that belong to the pool."""
    atexit._clear()
    weakref = sys.modules.get("weakref")
    if weakref is not None:
        weakref.finalize._registry.clear()
        weakref.finalize._registered_with_atexit = False


def leave(status: int, grace: float) -> None:
    """End this child; never returns.  ``grace``: seconds for threads that still work."""
    try:
        wait_for_threads(grace)
        atexit._run_exitfuncs()
        flush()
    finally:
        os._exit(status)


def wait_for_threads(grace: float) -> None:
    """Wait until this is the only thread, native ones counted, or the grace is over."""
    deadline = time.monotonic() + grace
    while len(os.listdir("/proc/self/task")) > 1 and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)


def flush() -> None:
    """Write out what print() buffered.  A log that is gone cannot be told so."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            continue
