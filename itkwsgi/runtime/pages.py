"""The pages that a site's process sends by itself: what it refuses, and what failed.

They never say what went wrong: that is for the log, which is the owner's, and stands there under the page's id.  They
are the front's pages of the same status (`wire.page`), less the server's own line.
"""

from __future__ import annotations

import sys

from itkwsgi.wire.page import PAGE, TEXTS, WITH_ID

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# RFC 9110 section 15, and what it means in a sentence for visitors.
STATUSES = {
    403: ("Forbidden", "Nothing may run here."),
    408: ("Request Timeout", TEXTS[408]),
    413: ("Request Entity Too Large", TEXTS[413]),
    500: ("Internal Server Error", TEXTS[500]),
    504: ("Gateway Timeout", TEXTS[504]),
}


class PageApp:
    """Answers everything with the page of one status, which must be among `STATUSES`."""

    def __init__(self, status: int, error_id: str) -> None:
        self.status = status
        self.error_id = error_id

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        name, text = STATUSES[self.status]
        page = PAGE.format(status=self.status, name=name, text=text, more=WITH_ID.format(self.error_id)).encode()
        return answer_html(f"{self.status} {name}", page, start_response)


def answer_html(status: str, page: bytes, start_response: Callable[..., Any]) -> list[bytes]:
    """A page that nobody keeps."""
    start_response(
        status,
        [
            ("Content-Type", "text/html; charset=utf-8"),
            ("Content-Length", str(len(page))),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
        ],
        sys.exc_info(),
    )
    return [page]
