"""Error pages: one small document, complete in itself, readable on a phone, light or dark as the visitor has it.

Everything that comes from a request or a configuration goes through markupsafe, and the charset is said (a page whose
charset is guessed can be made to run script).  A page that concerns a site bears an id: what went wrong stands under it
in the log, never on the page.

A failure that a site's own process notices gets the same page (`wire.page`).
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import NamedTuple

from markupsafe import Markup
from werkzeug.exceptions import default_exceptions
from werkzeug.http import HTTP_STATUS_CODES

from itkwsgi.wire import page

RETRY_AFTER_SECONDS = "2"
# Which methods a resource takes only its app knows; the server as a whole takes these (RFC 9110 section 15.5.6).
ALLOW = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"

PAGE = Markup(page.PAGE)
WITH_ID = Markup(page.WITH_ID)
DETAIL = Markup("<p>{}</p>\n")
SIGNATURE = Markup("<address>{}</address>\n")

# Where werkzeug has no words, or those of a proxy.
TEXTS = {
    **page.TEXTS,
    421: "This server has no site of that name.",
    502: "This site did not answer properly.",
    503: "This site is too busy at the moment. Please try again shortly.",
    507: "There is no room for what was sent.",
}


class Page(NamedTuple):
    """A page ready for a framer."""

    status: int
    reason: str
    fields: list[tuple[str, str]]
    body: bytes


def new_id() -> str:
    """An id for a page and its line in the log: twelve hexadecimal digits, letters and 0-9 among them."""
    while True:
        text = os.urandom(6).hex()
        if not text.isalpha() and not text.isdigit():
            return text


def reason_phrase(status: int) -> str:
    """The name of a status (RFC 9110 section 15)."""
    return HTTP_STATUS_CODES.get(status, "Error")


@lru_cache
def explanation(status: int) -> str:
    """What a status means, in a sentence for visitors."""
    if status in TEXTS:
        return TEXTS[status]
    known = default_exceptions.get(status)
    return Markup(known.description).striptags() if known and known.description else reason_phrase(status)


def make_page(status: int, *, error_id: str = "", detail: str = "", signature: str = "") -> Page:
    """Make the page of a status; empty parts are left out.

    ``detail``: a sentence for the visitor.  ``signature``: the server's own line, as server_signature grants it.
    """
    name = reason_phrase(status)
    more = Markup("").join(
        part.format(text) for part, text in ((DETAIL, detail), (WITH_ID, error_id), (SIGNATURE, signature)) if text
    )
    body = PAGE.format(status=status, name=name, text=explanation(status), more=more)
    fields = [
        ("Content-Type", "text/html; charset=utf-8"),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
    ]
    if status == 503:
        fields.append(("Retry-After", RETRY_AFTER_SECONDS))
    elif status == 405:
        fields.append(("Allow", ALLOW))
    return Page(status, name, fields, body.encode("utf-8", "replace"))
