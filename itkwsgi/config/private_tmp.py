"""A /tmp of a site's own: who can have one, and what would be hidden by it.

/var/tmp is the site's own as well, unless something of the site lies in there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from itkwsgi.config.machine import Machine
from itkwsgi.config.model import Problem
from itkwsgi.config.reading import Section
from itkwsgi.config.walk import steps
from itkwsgi.ini.locate import Path
from itkwsgi.ini.tighter import is_within

Needed = tuple[Path, str]  # where it is said, () for what nobody said, and the path

TMP = "/tmp"
VAR_TMP = "/var/tmp"


def lacking(section: Section, machine: Machine) -> Iterator[Problem]:
    """Why it cannot be had here."""
    abilities = machine.abilities
    reason = ""
    if not machine.is_root:
        reason = "only root can give a site a /tmp of its own"
    elif not abilities.mount_namespaces:
        reason = "cannot be had: this kernel has no mount namespaces, or permits none (user.max_mnt_namespaces)"
    elif not abilities.sys_admin:
        reason = "cannot be had: the server has no CAP_SYS_ADMIN, which mounting takes"
    if reason:
        yield section.fault("private_tmp", reason)


def hidden(section: Section, needed: Iterable[Needed], machine: Machine) -> Iterator[Problem]:
    """What the site needs and would not find."""
    for said, path in _below(TMP, needed, machine):
        yield section.fault_in(said, f"{path} is hidden by private_tmp: the site's /tmp is another")


def shared(section: Section, needed: Iterable[Needed], machine: Machine) -> Iterator[Problem]:
    """Notes on what keeps /var/tmp shared."""
    for said, path in _below(VAR_TMP, needed, machine):
        yield section.fault_in(said, f"{path} is in /var/tmp, which therefore stays shared")


def _below(place: str, needed: Iterable[Needed], machine: Machine) -> Iterator[Needed]:
    """What lies there; of a directory and what is in it, the directory."""
    found: list[str] = []
    for said, path in needed:
        if leads_below(path, place, machine) and not any(is_within(path, other) for other in found):
            found.append(path)
            yield said or ("private_tmp",), path


def leads_below(path: str, place: str, machine: Machine) -> bool:
    """Does the way there, links and all, pass through something below the place?  The place itself will be there."""
    if path != place and is_within(path, place):
        return True
    try:
        return any(visit.path != place and is_within(visit.path, place) for visit in steps(path, machine.sight))
    except OSError:  # not there, which is said elsewhere
        return False
