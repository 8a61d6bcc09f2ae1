"""How many at once: requests at work in children, and connections of one address.  Pure counting, no waiting.

A request at work holds a slot from its connection to a pool until that connection is at its end, work after the answer
included.  One site alone, all its parts together, never takes the last slot, so that a site under siege leaves room for
a visitor of another.  Limits hold for all fronts together: each front has its share, and so never has to ask.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from itkwsgi.front.settings import Settings, Site


class Admission:
    """The slots of max_clients, the server's and the sites'."""

    __slots__ = ("_of_site", "_settings", "capacity", "in_use")

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._of_site: dict[int, int] = {}
        self.capacity = settings.share(settings.max_clients)
        self.in_use = 0

    def enter(self, site: Site) -> bool:
        """Take a slot for that site; False when it may not have one now."""
        used = self._of_site.get(site.owner, 0)
        if self.in_use >= self.capacity or used >= self._limit(site):
            return False
        self.in_use += 1
        self._of_site[site.owner] = used + 1
        return True

    def _limit(self, site: Site) -> int:
        all_but_one = max(1, self.capacity - 1)
        if site.max_clients is None:
            return all_but_one
        return min(all_but_one, self._settings.share(site.max_clients))

    def leave(self, site: Site) -> None:
        """Give a slot back."""
        self.in_use -= 1
        used = self._of_site[site.owner] - 1
        if used:
            self._of_site[site.owner] = used
        else:
            del self._of_site[site.owner]

    def describe(self, site: Site) -> str:
        """Who has how much, for the log."""
        used = self._of_site.get(site.owner, 0)
        at_work = f"{self.in_use} of {self.capacity} requests are at work in this front"
        return f"{at_work}, {used} of them this site's, which may have {self._limit(site)}"


class Addresses:
    """Connections per client address; clients of a unix socket ("") have none and are not counted.

    Of IPv6 the first 64 bits count, for whoever has one address has all of that network (RFC 7707 section 2).
    """

    __slots__ = ("_counts", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._counts: dict[str | bytes, int] = {}

    def enter(self, address: str) -> bool:
        """Count a connection; False (and not counted) when that address has its share already."""
        if not address:
            return True
        holder = holder_of(address)
        count = self._counts.get(holder, 0)
        if count >= self.limit:
            return False
        self._counts[holder] = count + 1
        return True

    def leave(self, address: str) -> None:
        """One connection less of those that `enter` let in."""
        holder = holder_of(address)
        count = self._counts.get(holder, 0) - 1
        if count > 0:
            self._counts[holder] = count
        else:
            self._counts.pop(holder, None)


def holder_of(address: str) -> str | bytes:
    """What stands for the client: its IPv4 address, or the network of its IPv6 one."""
    return socket.inet_pton(socket.AF_INET6, address)[:8] if ":" in address else address
