"""Runs the path of a request a few times before the first fork, with an app that does nothing.

CPython specialises code as it runs (PEP 659) and fills caches on the way; in a one-shot child that would be done again
and again, each time on pages copied for it.  Done once in the zygote, every pool and child inherits the result.
"""

from __future__ import annotations

from _socket import AF_UNIX, SOCK_STREAM, socketpair

from itkwsgi.runtime.child import Child
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
    (b"PATH_INFO", b"/"),
    (b"QUERY_STRING", b""),
    (b"SERVER_NAME", b"rehearsal.invalid"),
    (b"SERVER_PORT", b"80"),
    (b"HTTP_HOST", b"rehearsal.invalid"),
    (b"HTTP_ACCEPT", b"*/*"),
)


class Stage:
    """What a child sees of its pool."""

    external = None

    def __init__(self, title: ProcessTitle) -> None:
        self.title = title
        self.plan = {"name": "rehearsal", "mount": "", "requests_per_child": 1, "peer_uid": 0}
        self.app: Callable[..., Any] = do_nothing


def do_nothing(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """The smallest app that goes the whole way."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "1")])
    return [b"x"]


def rehearse(title: ProcessTitle) -> None:
    """Serve requests over a pair of sockets.  Leaves some other title: the caller sets its own afterwards."""
    child = Child(Stage(title))  # type: ignore[arg-type]
    request = fastcgi.encode_request_head(PARAMS) + fastcgi.encode_stdin(b"")
    for _ in range(TIMES):
        ours, theirs = socketpair(AF_UNIX, SOCK_STREAM)
        ours.sendall(request)
        child.is_front(theirs)
        child.serve(theirs)
        ours.close()
        theirs.close()
