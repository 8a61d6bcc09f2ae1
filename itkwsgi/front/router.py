"""Which site answers, by the listener and the host; which part of it and within which limits, by the path.  Pure.

For one listener: the exact name, else the longest ``*.`` pattern (the star is one label or more, and never none), else
that listener's default site, else nobody.  Each step is a look-up in a dict, so ten thousand sites cost what one does;
listeners that serve the same sites share one table.

Prefixes match whole segments of the path in the form in which a site's own process matches them (ini.match): no empty
segments, no "." and "..".  Else a visitor could write a path such that here one place is meant and there another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from itkwsgi.front.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from itkwsgi.front.settings import Limits, Site


class Route(NamedTuple):
    """Which site is meant; what serves this path of it, a part or the site itself; what the front keeps there."""

    site: Site
    pool: Site
    limits: Limits


class Table:
    """The sites of one set of listeners.  Of two sites that claim a name the first has it."""

    __slots__ = ("default", "exact", "wildcards")

    def __init__(self, sites: Iterable[Site]) -> None:
        self.exact: dict[str, Site] = {}
        self.wildcards: dict[str, Site] = {}  # by what follows the star's dot
        self.default: Site | None = None
        for site in sites:
            if site.default and self.default is None:
                self.default = site
            for name in (site.name, *site.aliases):
                self._add(normal(name), site)

    def _add(self, name: str, site: Site) -> None:
        if name.startswith("*."):
            self.wildcards.setdefault(name[2:], site)
        else:
            self.exact.setdefault(name, site)

    def find(self, host: str) -> Site | None:
        """The site for a normal host."""
        return self.exact.get(host) or self._match(host) or self.default

    def _match(self, host: str) -> Site | None:
        """Strip one label after the other: the first hit is the longest pattern."""
        if not self.wildcards:
            return None
        rest = host
        while rest:
            rest = rest.partition(".")[2]
            if rest in self.wildcards:
                return self.wildcards[rest]
        return None


class Router:
    """The tables of all listeners.  Parts of sites are in none: no name leads to them."""

    __slots__ = ("_by_index", "_tables")

    def __init__(self, sites: Sequence[Site], listeners: int) -> None:
        self._by_index = {site.index: site for site in sites}
        shared: dict[tuple[int, ...], Table] = {}
        self._tables: list[Table] = []
        members: list[list[int]] = [[] for _ in range(listeners)]
        for position, site in enumerate(sites):
            for listener in site.listeners if site.part_of is None else ():
                members[listener].append(position)
        for positions in map(tuple, members):
            if positions not in shared:
                shared[positions] = Table(sites[position] for position in positions)
            self._tables.append(shared[positions])

    def find(self, listener: int, host: str) -> Site:
        """The site that answers.  ``host`` without its port, "" for none (HTTP/1.0).

        Raises `Refusal`: 421 for a name nobody answers for (RFC 9110 section 15.5.20), 400 for none at all.
        """
        site = self._tables[listener].find(normal(host))
        if site is not None:
            return site
        if not host:
            raise Refusal(400, "the request names no host, and no site is the default")
        raise Refusal(421, "no site answers for this name here")

    def route(self, listener: int, host: str, path: bytes) -> Route:
        """All of it.  Raises `Refusal` as `find`."""
        site = self.find(listener, host)
        return Route(site, self.part(site, path), self.limits(site, path))

    def part(self, site: Site, path: bytes) -> Site:
        """What serves that path, percent-decoded: a part of the site, or it itself."""
        if not site.parts:
            return site
        place = place_of(path)
        for prefix, index in site.parts:
            if is_below(place, prefix):
                return self._by_index[index]
        return site

    def limits(self, site: Site, path: bytes) -> Limits:
        """What the front keeps for that path."""
        if len(site.limits) > 1:
            place = place_of(path)
            for prefix, limits in site.limits:
                if is_below(place, prefix):
                    return limits
        return site.limits[-1][1]


def place_of(path: bytes) -> bytes:
    """The path's canonical form, with a slash at its end."""
    parts = [part for part in path.split(b"/") if part not in (b"", b".", b"..")]
    return b"/%b/" % b"/".join(parts) if parts else b"/"


def is_below(place: bytes, prefix: bytes) -> bool:
    """Is what `place_of` gave that prefix, or below it?"""
    return place.startswith(prefix + b"/")


def normal(host: str) -> str:
    """Lower case, and without the dot of the root."""
    host = host.lower()
    return host[:-1] if host.endswith(".") else host
