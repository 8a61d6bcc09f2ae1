"""What `switch.become` needs done to a process, whoever does it.

Two modules fit this: `by_ctypes` for any interpreter, `by_prctl` (python-prctl) for the server's own.  A shared test
holds the two to the same /proc/self/status.  Imported for type checking only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol


class Backend(Protocol):
    """Each function does one thing to the calling thread and raises `OSError` or `ValueError` when it was not done."""

    def keep_caps(self, on: bool, /) -> None:
        """Keep the permitted capabilities when set*id leaves uid 0."""

    def drop_bounding(self) -> None:
        """Empty the bounding set, of whatever this kernel knows.  Needs CAP_SETPCAP."""

    def set_securebits(self) -> None:
        """Set `kernel.SECUREBITS_LOCKED`, keep_caps off.  Needs CAP_SETPCAP."""

    def set_capabilities(self, permitted: frozenset[int], inheritable: frozenset[int], /) -> None:
        """Make exactly these permitted and effective, and exactly those inheritable."""

    def raise_ambient(self, capabilities: Iterable[int], /) -> None:
        """Have these survive exec; they must be permitted and inheritable."""

    def clear_ambient(self) -> None:
        """Have none survive exec."""

    def set_no_new_privs(self) -> None:
        """Have exec grant nothing any more."""

    def set_death_signal(self, number: int, /) -> None:
        """The signal to get when the parent ends; 0 for none."""

    def set_subreaper(self) -> None:
        """Adopt orphaned descendants."""

    def set_dumpable(self, on: bool, /) -> None:
        """Let processes of the same user trace and read this one, or not."""

    def set_name(self, name: str, /) -> None:
        """Name the thread: ASCII, `kernel.LONGEST_NAME` at most, otherwise `ValueError`."""
