"""Which paths of a site take a pool of their own.

What cannot be taken back (`tighter.PROFILE`) is in force in a pool from before the import; a child can go on from there
to what is stricter, and to nothing else.  So where the administrator says for a directory or a location what is no
tightening of what its pool holds, these paths are a **part** of the site: the same site and app, in another pool.

What is said for every request of a site holds in its own pool.  Whatever a site's own files say makes no part.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from itkwsgi.config.model import Said
from itkwsgi.ini.merge import merge
from itkwsgi.ini.tighter import PROFILE, is_within, tightens

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from itkwsgi.config.coverage import Coverage
    from itkwsgi.config.model import Vhost

Held: TypeAlias = dict[str, Said]  # what holds in a pool


def held_by_site(coverage: Coverage) -> Held:
    """What holds in a site's own pool.  Of a location "/", which comes with the request, only what must not wait."""
    held = merge(coverage.settings, [area.settings for area in coverage.directories_at("")]).settings
    everywhere = coverage.said_at("")
    return {**held, **{name: everywhere[name] for name in PROFILE if name in everywhere}}


@dataclass(frozen=True, slots=True)
class Part:
    """What holds in its pool, and which settings of that made it one."""

    holding: Held
    because_of: tuple[str, ...]


def split(coverage: Coverage, held: Held) -> dict[str, Part]:
    """The prefixes that are parts; an outer one before an inner one."""
    found: dict[str, Part] = {}
    for prefix in coverage.edges():
        outer = max((part for part in found if is_within(prefix, part)), key=len, default=None)
        before = held if outer is None else found[outer].holding
        here = coverage.said_at(prefix)
        looser = tuple(name for name in PROFILE if not tightens(name, here.get(name), before.get(name)))
        if looser:
            found[prefix] = Part(here, looser)
    return found


def with_parts(resolved: Sequence[tuple[Vhost, dict[str, Part]]]) -> Iterator[Vhost]:
    """The sites, each given with what `split` found, and then their parts; each has its position as index."""
    index = len(resolved)
    for site, _ in resolved:
        yield site
    for site, parts in resolved:
        for prefix, part in parts.items():
            yield replace(site, index=index, default=False, part_of=site.index, prefix=prefix, holding=part.holding)
            index += 1
