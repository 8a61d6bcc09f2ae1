"""The pages that a site's process sends by itself: what it refuses, and what failed.

They never say what went wrong: that is for the log, which is the owner's, and stands there under the page's id.  They
are the front's pages of the same status (front/pages.py), less the server's own line.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{status} {name}</title>
<style>
body{{font:16px/1.5 system-ui,sans-serif;max-width:34em;margin:0 auto;padding:14vh 1.5em 3em;overflow-wrap:anywhere;
color:#23262b;background:#f7f6f3}}
h1{{font-size:1.6em;line-height:1.25;letter-spacing:-.01em;margin:0 0 .6em}}
h1 span{{display:block;font-size:1rem;letter-spacing:.05em;margin-bottom:.3em}}
p{{margin:0 0 .6em}}
h1 span,address{{color:#63686f}}
address{{margin-top:2em;font-size:.875em;font-style:normal}}
@media (prefers-color-scheme:dark){{body{{color:#e8e6e1;background:#17191c}}h1 span,address{{color:#9aa0a8}}}}
</style>
<h1><span>{status}</span> {name}</h1>
<p>{text}</p>
<p>Whoever runs this site finds the cause in the log under <code>{id}</code>.</p>
</html>
"""
# RFC 9110 section 15, and what it means in a sentence for visitors.
STATUSES = {
    403: ("Forbidden", "Nothing may run here."),
    408: ("Request Timeout", "What was sent took too long to arrive."),
    413: ("Request Entity Too Large", "What was sent is larger than this site takes."),
    500: ("Internal Server Error", "This site could not answer."),
    504: ("Gateway Timeout", "This site took too long to answer."),
}


class PageApp:
    """Answers everything with the page of one status, which must be among `STATUSES`."""

    def __init__(self, status: int, error_id: str) -> None:
        self.status = status
        self.error_id = error_id

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        name, text = STATUSES[self.status]
        page = PAGE.format(status=self.status, name=name, text=text, id=self.error_id).encode()
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
