"""The floor under "a fresh process per request": fork, the application's own time and _exit, without any server.

A program of its own, for the sites' interpreter (3.9 or later): ``PYTHON floor.py APP.py SECONDS``. It imports the
application, lets it answer once so that lazy work is done, then forks a child for each request, one after the other:
the child calls the application and leaves by os._exit, the parent waits. No socket, no log, no limits, no other
user. It prints one JSON object; ``cpu`` is the CPU time of the parent and all children together, in seconds.
"""

from __future__ import annotations

import gc
import importlib.util
import io
import json
import os
import resource
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from wsgiref.types import WSGIApplication, WSGIEnvironment


def load_application(file: str) -> WSGIApplication:
    """Import a file and return its ``application``."""
    spec = importlib.util.spec_from_file_location("site_app", file)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    application: WSGIApplication = module.application
    return application


def make_environ() -> WSGIEnvironment:
    """Return what PEP 3333 asks for, for GET /."""
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/",
        "QUERY_STRING": "",
        "SERVER_NAME": "flask.bench",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "flask.bench",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": True,
        "wsgi.run_once": True,
    }


def answer(application: WSGIApplication) -> bool:
    """Run one request and tell whether it was answered with 200."""
    seen: list[str] = []

    def start_response(status: str, headers: object, exc_info: object = None) -> Callable[[bytes], object]:
        seen.append(status)
        return len  # stands for the write() callable of PEP 3333, which no sample site uses

    body = application(make_environ(), start_response)
    b"".join(body)
    if hasattr(body, "close"):
        body.close()
    return seen == ["200 OK"]


def answer_in_child(application: WSGIApplication) -> bool:
    """Run one request in a fresh process."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if answer(application) else 1
        finally:
            os._exit(code)
    return os.waitpid(pid, 0)[1] == 0


def cpu_seconds() -> float:
    """Return the CPU time of this process and of the children it has waited for."""
    both = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def measure(application: WSGIApplication, seconds: float) -> dict[str, float]:
    """Fork for so many seconds and return the counts."""
    requests = errors = 0
    cpu, start = cpu_seconds(), time.monotonic()
    while (elapsed := time.monotonic() - start) < seconds:
        errors += not answer_in_child(application)
        requests += 1
    return {"requests": requests, "errors": errors, "seconds": elapsed, "cpu": cpu_seconds() - cpu}


def main(file: str, seconds: str) -> None:
    """Import, warm, measure, print."""
    application = load_application(file)
    answer(application)
    gc.collect()
    gc.freeze()
    print(json.dumps(measure(application, float(seconds))))


if __name__ == "__main__":
    main(*sys.argv[1:3])
