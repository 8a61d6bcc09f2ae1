"""Errors by whose fault they are.  Each knows how it ends: an exit code for the operator, a status for the visitor.

Imported by every role, the sites' interpreters (3.9 and later) included: the standard library only.
"""

from __future__ import annotations


class ItkwsgiError(Exception):
    """The root of the family; never raised itself."""


class OperatorError(ItkwsgiError):
    """The operator's: a configuration or a machine that cannot be served.  Says what, where and what to do."""

    exit_code = 1


class ClientError(ItkwsgiError):
    """The visitor's: a request that no site may see.

    ``status`` is the HTTP status of the answer, ``reason`` one line for the log and the page.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"{status} {reason}")
        self.status = status
        self.reason = reason


class AppError(ItkwsgiError):
    """A site's: its code failed, or spoke nonsense.  Counts against that site alone."""

    status = 500


class SettingLocked(AppError):
    """Code of a site set what it may not: an administrator fixed it, or its mode is not ALL."""


class TimeLimitExceeded(AppError):
    """A request used up its max_execution_time.  Raised in the request itself, which has 2 s left to end decently."""


class Bug(ItkwsgiError):
    """Ours: a state that cannot be.  The process that meets it ends."""

    exit_code = 70
