"""Why a request gets a page of the front's instead of a site's answer."""

from __future__ import annotations

from itkwsgi.errors import ItkwsgiError


class Refusal(ItkwsgiError):
    """``status`` is the page's, ``cause`` one line for the log; the page does not show it.

    Which site it concerns is known where it is caught.
    """

    def __init__(self, status: int, cause: str) -> None:
        super().__init__(f"{status} {cause}")
        self.status = status
        self.cause = cause
