"""Fills in the pool what every child would else do again: routes, templates, lazy imports.

The first request of a process costs three times a later one; here each request is the first of its process.  What a
warm request leaves behind in the pool's memory, every child starts with.  Two kinds: what the frameworks offer without
running any of the site's views, always; and the requests the operator named (``warmup``), with all their effects.
"""

from __future__ import annotations

import io
import sys

from itkwsgi.runtime.environ import build_environ
from itkwsgi.runtime.failures import log, log_error, new_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any


def warm_up(app: Callable[..., Any], paths: Iterable[str], host: str) -> None:
    """Warm frameworks, then request each path once.  What fails is said in the site's log; the site serves anyway."""
    for warmer in (warm_flask, warm_django):
        try:
            warmer(app)
        except Exception as error:
            log_error(f"warming by {warmer.__name__} failed", error, new_id())
    for path in paths:
        try:
            status = request(app, path, host)
        except Exception as error:
            log_error(f"warm-up request {path} failed", error, new_id())
        else:
            if status >= "500":
                log(f"warm-up request {path} was answered {status}")
    release_connections()


def request(app: Callable[..., Any], path: str, host: str) -> str:
    """Run a GET of ``path`` through the app and throw its body away; returns the status."""
    path, _, query = path.partition("?")
    params = {
        b"REQUEST_METHOD": b"GET",
        b"PATH_INFO": path.encode(),
        b"QUERY_STRING": query.encode(),
        b"REQUEST_URI": path.encode(),
        b"SERVER_NAME": host.encode(),
        b"HTTP_HOST": host.encode(),
        b"SERVER_PORT": b"80",
        b"REMOTE_ADDR": b"127.0.0.1",
        b"HTTP_USER_AGENT": b"itkwsgi-warmup",
    }
    statuses: list[str] = []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Callable[[bytes], None]:
        statuses.append(status)
        return lambda data: None

    iterable = app(build_environ(params, io.BytesIO(), sys.stderr), start_response)
    try:
        for _ in iterable:
            continue
    finally:
        if hasattr(iterable, "close"):
            iterable.close()
    return statuses[-1]


def warm_flask(app: Any) -> None:
    """Compile Flask's routes and make its template environment; touches no view."""
    flask = sys.modules.get("flask")
    if flask is None or not isinstance(app, flask.Flask):
        return
    app.url_map.update()
    _ = app.jinja_env  # made on first access


def warm_django(app: Any) -> None:
    """Import Django's URLconf and compile it; touches no view."""
    if "django.core.handlers.wsgi" not in sys.modules:
        return
    from django.conf import settings  # type: ignore[import-not-found,unused-ignore]

    if not settings.configured:
        return
    from django.urls import get_resolver  # type: ignore[import-not-found,unused-ignore]

    resolver = get_resolver()
    _ = resolver.url_patterns
    resolver._populate()


def release_connections() -> None:
    """No child may share a database connection with its pool."""
    if "django.db" in sys.modules:
        sys.modules["django.db"].connections.close_all()
