"""The settings of a site as its pool is told of them: the "settings" of its plan.

Tables of the administrator's, in the order they are merged in, and what a child needs to put up walls of its own for a
directory or a location, or for a file of the site's that narrows open_basedir: finished seccomp programs, and the table
for Landlock without the directories.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from itkwsgi.linux import landlock, rulesets
from itkwsgi.linux.abilities import OPEN_BASEDIR_NEEDS, UNTRACED_NEEDS
from itkwsgi.linux.filters import PTRACE, site_filter
from itkwsgi.supervisor.confinement import RUN, by_itself, temporary

if TYPE_CHECKING:
    from collections.abc import Iterable

    from itkwsgi.config.model import Area, Config, Said, Vhost

    Told = dict[str, list[object]]  # by name: value, whether it is fixed, and where it was said


def pool_settings(vhost: Vhost, config: Config, *, tmp_dir: str | None, abi: int | None = None) -> dict[str, object]:
    """The "settings" of this site's plan, in types that marshal knows.

    ``tmp_dir``: the site's own.  ``abi``: the version of Landlock, asked of the kernel when not said.
    "override" None: none of the site's own files is read.  "untraced": the domain in which disable = ["ptrace"] of an
    area puts a child beside its filter.
    """
    version = landlock.abi() if abi is None else abi
    later = later_words(vhost)
    return {
        "site": told(vhost.settings),
        "holding": told(vhost.holding),
        "directories": areas(vhost.directories),
        "locations": areas(vhost.locations),
        "override": list(vhost.allow_override) or None,
        "public": vhost.public or "",
        "root": vhost.root,
        "prefix": vhost.prefix,
        "filters": {word: site_filter({word}) for word in later},
        "domain": domain(vhost, config, tmp_dir, version),
        "untraced": rulesets.domain_table(version) if PTRACE in later and version >= UNTRACED_NEEDS else None,
    }


def told(settings: dict[str, Said]) -> Told:
    """A table."""
    return {name: [said.value, said.fixed, said.where] for name, said in settings.items()}


def areas(found: Iterable[Area]) -> list[list[object]]:
    """Directories or locations, short to long."""
    return [[area.path, told(area.settings)] for area in found]


def later_words(vhost: Vhost) -> list[str]:
    """Of ``disable``, what only some requests are to lose."""
    said = [area.settings.get("disable") for area in (*vhost.directories, *vhost.locations)]
    words = {word for each in said if each is not None for word in each.value}
    return sorted(words - set(vhost.setting("disable")))


def domain(vhost: Vhost, config: Config, tmp_dir: str | None, abi: int) -> dict[str, object] | None:
    """What open_basedir grants by itself; None when this kernel cannot keep it."""
    if abi < OPEN_BASEDIR_NEEDS:
        return None
    rules = [*temporary(vhost, tmp_dir), *by_itself(vhost, config)]
    return {**rulesets.files_table(abi, rules), "interpreter": RUN}
