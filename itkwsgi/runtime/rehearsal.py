"""Runs the path of a request a few times before the first fork, with an app that does nothing.

CPython specialises code as it runs (PEP 659) and fills caches on the way; in a one-shot child that would be done again
and again, each time on pages copied for it.  Done once in the zygote, every pool and child inherits the result.
"""

from __future__ import annotations

import _signal
import math
import mmap
import os
import resource
import time
from _socket import AF_UNIX, SOCK_STREAM, socket, socketpair

from itkwsgi.runtime.board import FOREVER, Board
from itkwsgi.runtime.child import Child
from itkwsgi.runtime.finish import flush, wait_for_threads
from itkwsgi.runtime.governing import Governing
from itkwsgi.runtime.limits import set_timer
from itkwsgi.runtime.loaded import Loaded
from itkwsgi.runtime.slots import Slots
from itkwsgi.runtime.usual import Usual
from itkwsgi.wire import fastcgi

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from itkwsgi.linux.title import ProcessTitle

TIMES = 20  # code is specialised after a handful of runs
PARAMS = (
    (b"REQUEST_METHOD", b"GET"),
    (b"SCRIPT_NAME", b""),
    (b"PATH_INFO", b"/rehearsal/x"),
    (b"QUERY_STRING", b""),
    (b"SERVER_NAME", b"rehearsal.invalid"),
    (b"SERVER_PORT", b"80"),
    (b"HTTP_HOST", b"rehearsal.invalid"),
    (b"HTTP_ACCEPT", b"*/*"),
)


NOWHERE = "/nonexistent"
# What of settings a request can meet, and what changes nothing in this process.
SETTINGS: dict[str, object] = {
    "site": {"max_execution_time": (None, True, "")},
    "holding": {},
    "directories": [[NOWHERE, {"default_socket_timeout": (None, False, "")}]],
    "locations": [["/rehearsal", {"default_socket_timeout": (None, True, "")}]],
    "override": ["timezone"],
    "public": NOWHERE,
    "root": NOWHERE,
    "filters": {},
    "domain": None,
    "untraced": None,
}


class Listener:
    """Stands in for a listener: nothing is bound here that somebody could connect to."""

    def __init__(self) -> None:
        self.visitors: list[int] = []

    def _accept(self) -> tuple[int, str]:
        return self.visitors.pop(), ""


class Stage:
    """What a child sees of its pool."""

    external = None
    prepended = None
    changes = ()

    def __init__(self, title: ProcessTitle) -> None:
        self.title = title
        self.title_start = b"itkwsgi: child rehearsal "
        self.plan: dict[str, Any] = {
            "name": "rehearsal",
            "mount": "",
            "requests_per_child": 1,
            "peer_uid": os.getuid(),
            "app": "rehearsal",
            "root": NOWHERE,
            "tmp_dir": None,
            "env": {},
            "settings": SETTINGS,
            "confine": {"child_seccomp": None},
        }
        governing = Governing(self.plan)
        self.scopes, self.scope, self.in_force = governing.scopes, governing.scope, governing.in_force
        self.settings, self.time = governing.settings, governing.time
        self.board = Board(1)
        self.board.must_check(FOREVER, 0.0)  # so that it is not time to look for edits
        self.usual: Usual | None = None
        self.loaded = Loaded()
        self.app: Callable[..., Any] = do_nothing
        self.pid = os.getpid()
        self.slots = Slots(1)
        self.listener = Listener()


def do_nothing(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """The smallest app that goes the whole way."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "1")])
    return [b"x"]


def rehearse(title: ProcessTitle) -> None:
    """Serve requests over pairs of sockets.  Leaves some other title: the caller sets its own afterwards."""
    stage = Stage(title)
    child = Child(stage)  # type: ignore[arg-type]
    request = fastcgi.encode_request_head(PARAMS) + fastcgi.encode_stdin(b"")
    before = _signal.signal(_signal.SIGUSR1, _signal.SIG_IGN)  # which a child sends to its pool
    try:
        for usual in (None, Usual((NOWHERE,), 1.0, None, (0, 0))) * TIMES:
            stage.usual = usual
            ours, theirs = socketpair(AF_UNIX, SOCK_STREAM)
            ours.sendall(request)
            stage.listener.visitors.append(theirs.detach())
            sock = child.accept()
            child.serve(sock)
            wait_for_threads(0.0)
            flush()
            ours.close()
            sock.close()
        resolve_symbols()
    finally:
        _signal.signal(_signal.SIGUSR1, before)


def resolve_symbols() -> None:
    """Call once what only a child calls: the dynamic linker looks each function up at its first call.

    None of them has an effect here: this process leads its session, and the socket is bound to nothing.
    """
    _signal.pthread_sigmask(_signal.SIG_BLOCK, ())
    os.getppid()
    resolve_clocks_and_limits()
    unbound = socket(AF_UNIX, SOCK_STREAM)
    unbound.setblocking(False)
    for call in (lambda: os.setpgid(0, 0), unbound._accept):  # type: ignore[attr-defined]
        try:
            call()
        except OSError:
            continue
    unbound.close()


def resolve_clocks_and_limits() -> None:
    """Each limit is set to what it is."""
    set_timer(0.0)
    math.ceil(time.process_time() + time.monotonic())
    for number in (resource.RLIMIT_CPU, resource.RLIMIT_DATA):
        resource.setrlimit(number, resource.getrlimit(number))
    os.access(NOWHERE, os.F_OK)
    mmap.mmap(-1, 1).close()
