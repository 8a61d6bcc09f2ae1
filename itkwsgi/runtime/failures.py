"""What the visitor and the site's owner are told when the site failed: a plain page with an id, the cause under it in
the log.

The page never says what went wrong: that is for the log, which is the owner's.  It is the front's page of that status
(front/pages.py), less the server's own line.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>500 Internal Server Error</title>
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
<h1><span>500</span> Internal Server Error</h1>
<p>This site could not answer.</p>
<p>Whoever runs this site finds the cause in the log under <code>{id}</code>.</p>
</html>
"""


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


def log_error(what: str, error: BaseException, error_id: str) -> None:
    """A traceback into the site's log, headed by what failed and the id on the visitor's page."""
    import traceback  # only here: few processes need it, and all would carry it

    lines = traceback.format_exception(type(error), error, error.__traceback__)
    log(f"{what} [{error_id}]\n{''.join(lines)}")


class FailedApp:
    """Stands in for an app that could not be imported: every answer is 500, with the id of the traceback in the log."""

    def __init__(self, error_id: str) -> None:
        self.error_id = error_id

    def __call__(self, environ: dict[str, Any], start_response) -> list[bytes]:  # type: ignore[no-untyped-def]
        return failure_page(self.error_id, start_response)


def failure_page(error_id: str, start_response) -> list[bytes]:  # type: ignore[no-untyped-def]
    """Answer 500 with that id."""
    page = PAGE.format(id=error_id).encode()
    start_response(
        "500 Internal Server Error",
        [
            ("Content-Type", "text/html; charset=utf-8"),
            ("Content-Length", str(len(page))),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
        ],
        sys.exc_info(),
    )
    return [page]
