"""Memory: what the server itself holds while every site sleeps, and what a warm site adds.

A process counts for a site when it runs as that site's user, and for the server otherwise; a site that sleeps must
have none. The server's part is named by role, taken from the process titles (``itkwsgi: front ...``). PSS divides
shared pages among those who share them, so a warm site's share shrinks a little with the number of sites: the number
is part of the figure.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from benchmarks.itk import Itkwsgi, Site
from benchmarks.processes import Usage, usage_of_tree

FIRST_USER = 51001
SETTLE = 2.0  # seconds for spares to be forked and idle work to end
TITLE = re.compile(r"itkwsgi: (\w+)")


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of PSS: the server by role while all sites sleep, each warm site, the whole tree's growth per warm site."""

    asleep: dict[str, int]
    sleeping_processes: int
    warm: tuple[int, ...]
    growth: float


def memory_sites(count: int) -> list[Site]:
    """Return so many Flask sites, each with a user of its own."""
    return [Site(f"warm-{number}.bench", FIRST_USER + number) for number in range(count)]


def role_of(title: str) -> str:
    """Return the role a process title names, or its first word."""
    match = TITLE.match(title)
    return match[1] if match else (title.split() or ["?"])[0].rpartition("/")[2]


def by_role(usages: Iterable[Usage], site_users: Collection[int]) -> dict[str, int]:
    """Return the PSS of the server's own processes, summed by role."""
    sums: dict[str, int] = {}
    for usage in usages:
        if usage.uid not in site_users:
            role = role_of(usage.title)
            sums[role] = sums.get(role, 0) + usage.pss
    return sums


def by_site(usages: Iterable[Usage], site_users: Collection[int]) -> dict[int, int]:
    """Return the PSS of each site that has processes, by user: pool, spares and children together."""
    sums: dict[int, int] = {}
    for usage in usages:
        if usage.uid in site_users:
            sums[usage.uid] = sums.get(usage.uid, 0) + usage.pss
    return sums


def compare(before: Sequence[Usage], after: Sequence[Usage], site_users: Collection[int]) -> Memory:
    """Form the figures from the process tree with all sites asleep and with all of them warm."""
    warm = by_site(after, site_users)
    growth = sum(usage.pss for usage in after) - sum(usage.pss for usage in before)
    return Memory(
        asleep=by_role(before, site_users),
        sleeping_processes=sum(usage.uid in site_users for usage in before),
        warm=tuple(sorted(warm.values())),
        growth=growth / max(1, len(warm)),
    )


def measure_memory(server: Itkwsgi, sites: Sequence[Site]) -> Memory:
    """Look at a server that was just started, wake each of these sites with one request, look again."""
    users = {site.user for site in sites}
    time.sleep(SETTLE)
    before = usage_of_tree(server.pid)
    for site in sites:
        server.check(site.host)
    time.sleep(SETTLE)
    return compare(before, usage_of_tree(server.pid), users)
