"""What the visitor and the site's owner are told when the site failed: a page with an id, the cause in the log.

With display_errors, which is for development, the page itself shows the traceback.  log_errors and error_log say
whether and where else it is written: error_log is a file of the site's own, opened as the site's user.
"""

from __future__ import annotations

import os
import sys
import time

from itkwsgi.runtime.pages import PageApp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from itkwsgi.runtime.settings import Settings


def new_id() -> str:
    """An id for a page and the log: twelve hexadecimal digits, at least one of them 0-9."""
    while True:
        text = os.urandom(6).hex()
        if not text.isalpha():
            return text


def log(text: str) -> None:
    """One message into the site's log, in one write."""
    sys.stderr.flush()
    os.write(2, (text.rstrip("\n") + "\n").encode("utf-8", "backslashreplace"))


def log_error(what: str, error: BaseException, error_id: str, settings: Settings | None = None) -> None:
    """A traceback into the site's log, headed by what failed and the id on the visitor's page.

    ``settings``: log_errors and error_log of the request; without them it is logged.
    """
    if settings is not None and not settings["log_errors"]:
        return
    import traceback  # only here: few processes need it, and all would carry it

    lines = traceback.format_exception(type(error), error, error.__traceback__)
    text = f"{what} [{error_id}]\n{''.join(lines)}"
    log(text)
    if settings is not None and settings["error_log"] is not None:
        append_to(settings["error_log"], f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} {text}")


def append_to(path: str, text: str) -> None:
    """Append to a file of the site's, as it is; one that cannot be written is said in the site's log.

    No link is followed at its end, and nothing is waited for (a FIFO).  In one write, so that what several processes
    append does not mix.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        fd = os.open(path, flags, 0o640)
        try:
            os.write(fd, text.encode("utf-8", "backslashreplace"))
        finally:
            os.close(fd)
    except OSError as error:
        log(f"error_log = {path!r} cannot be written: {error.strerror}")


class FailedApp:
    """Stands in for an app that failed, at its import or in a request: every answer is 500, with the id of the
    traceback in the log; or, with display_errors, the traceback."""

    def __init__(self, error_id: str, error: BaseException | None = None) -> None:
        self.error_id = error_id
        self.error = error

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        settings = environ.get("itkwsgi.settings")
        if self.error is not None and settings is not None and settings["display_errors"]:
            from itkwsgi.runtime.trace_page import answer_traceback

            return answer_traceback(self.error, self.error_id, environ, start_response)
        return PageApp(500, self.error_id)(environ, start_response)
