"""What its child took from the finished environ to this call: nanoseconds and page faults; then memory_limit.

It is imported in the pool, where it puts a clock behind the last thing a child does before it turns to the settings.
Only a module's global is exchanged: a class that was changed would lose what the interpreter cached of it.
"""

from __future__ import annotations

import resource
import time
import typing

import itkwsgi.runtime.child

if typing.TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

child: typing.Any = itkwsgi.runtime.child
build = child.build_environ


def faults() -> int:
    """Return the page faults of this process that needed no disk: mostly memory that was copied for it."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def build_and_start(*args: typing.Any, **kwargs: typing.Any) -> dict[str, typing.Any]:
    """Build the environ and start the clock."""
    environ: dict[str, typing.Any] = build(*args, **kwargs)
    environ["bench.faults"] = faults()
    environ["bench.start"] = time.perf_counter_ns()
    return environ


child.build_environ = build_and_start


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Stop the clock first of all."""
    took = time.perf_counter_ns() - environ["bench.start"]
    faulted = faults() - environ["bench.faults"]
    body = b"%d %d %d" % (took, faulted, environ["itkwsgi.settings"]["memory_limit"])
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
