"""Which ids there are for the zygotes and their sites: pure.

Two circles.  A zygote's filter (seccomp, and the user namespace with ``id_namespace``) holds the sites' ids and its
own; the zygote itself, before each switch, takes an order for the sites' alone.  The users of the fronts and the log
are in neither, whatever the ranges say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from itkwsgi.config.model import Server

Range = tuple[int, int]  # (lowest, highest), both included


def of_sites(server: Server) -> tuple[list[Range], list[Range]]:
    """The uids and the gids a site may have: the two ranges, and the server's own user for sites that name none."""
    own = server.user_id
    roles = (server.front_ids, server.zygote_ids, server.log_ids)
    uids = [server.uid_range, *((own.uid, own.uid) for own in (own,) if own is not None)]
    gids = [server.gid_range, *((own.gid, own.gid) for own in (own,) if own is not None)]
    return without(uids, {role.uid for role in roles}), without(gids, {role.gid for role in roles})


def of_zygotes(server: Server) -> tuple[list[Range], list[Range]]:
    """The same, and the zygotes' own."""
    uids, gids = of_sites(server)
    own = server.zygote_ids
    return [*uids, (own.uid, own.uid)], [*gids, (own.gid, own.gid)]


def without(ranges: Iterable[Range], ids: Iterable[int]) -> list[Range]:
    """The ranges with those ids, and root's, cut out."""
    left = list(ranges)
    for number in sorted({0, *ids}):
        left = [part for low, high in left for part in cut(low, high, number)]
    return left


def cut(low: int, high: int, number: int) -> list[Range]:
    """One range without one id."""
    if not low <= number <= high:
        return [(low, high)]
    return [(first, last) for first, last in ((low, number - 1), (number + 1, high)) if first <= last]
