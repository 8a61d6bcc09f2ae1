"""Which sites are awake, and which files are theirs.

A site that sleeps is a name here and nothing more.  Two pools of one site may live side by side, the old one draining:
each has a pipe and an error log of its own, while access lines go to the file of the youngest.  A front may be slow to
say what a pool answered last, so an access log stays open for `LINGER_SECONDS` after its site fell asleep.
"""

from __future__ import annotations

import os

from itkwsgi.log.sinks import Sink, replace

LINGER_SECONDS = 2.0


class Site:
    """An awake pool's logs; None stands for the server's."""

    __slots__ = ("access", "error", "index", "name", "pipe_open")

    def __init__(self, index: int, name: str, error: int | None, access: int | None) -> None:
        self.index = index
        self.name = name
        self.error: Sink | None = None
        self.access: Sink | None = None
        self.pipe_open = True
        self.use(error, access)

    def use(self, error: int | None, access: int | None) -> None:
        """Write to these files from here on (after a rotation, to new ones).  Takes the descriptors."""
        self.access = replace(self.access, access, f"the access log of {self.name}", takes_notes=False)
        if self.pipe_open:
            self.error = replace(self.error, error, f"the error log of {self.name}")
        elif error is not None:
            os.close(error)

    def pipe_ended(self) -> None:
        """No more lines come out of its pipe."""
        self.pipe_open = False
        if self.error is not None:
            self.error.close()
            self.error = None

    def close_access(self) -> None:
        """No more access lines are written to its own file."""
        if self.access is not None:
            self.access.close()
            self.access = None


class Sites:
    """The youngest pool of each site that is awake, and all names."""

    def __init__(self) -> None:
        self.names: dict[int, str] = {}
        self._awake: dict[int, Site] = {}
        self._leaving: dict[int, float] = {}  # index -> when its access log is closed

    def wake(self, site: Site) -> None:
        """A pool was started; an older one of the same site only drains from here on."""
        self._let_go(site.index)
        self.names[site.index] = site.name
        self._awake[site.index] = site

    def fall_asleep(self, index: int, now: float) -> None:
        """Its pool is gone, or going.  One that is not known has been let go before."""
        if index in self._awake:
            self._leaving.setdefault(index, now + LINGER_SECONDS)

    def awake(self, index: int) -> Site | None:
        """The site, when it has files of its own to speak of."""
        return self._awake.get(index)

    def next_time(self) -> float | None:
        """When `expire` has something to do."""
        return min(self._leaving.values(), default=None)

    def expire(self, now: float) -> None:
        """Let go those whose time is over."""
        for index in [index for index, until in self._leaving.items() if until <= now]:
            self._let_go(index)

    def _let_go(self, index: int) -> None:
        self._leaving.pop(index, None)
        site = self._awake.pop(index, None)
        if site is not None:
            site.close_access()
