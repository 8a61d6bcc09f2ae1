"""What open_basedir and disable ask for: of the kernel, of the disk, and of the rest of the site.

What cannot be had stops that site from starting: a protection that was asked for and is not there is never a warning.

The interpreter of a site's own is executed as the site, and puts up its own walls as the first thing it does.  So with
them nobody but root may be able to change what is executed; a link that the site can change is not followed a second
time: the binary at its end is executed by its own path, away from any pyvenv.cfg, which could name another library.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from itkwsgi.config.machine import Machine
from itkwsgi.config.model import Ids, Problem, Said
from itkwsgi.config.reach import ENTER, READ, WRITE, refusal
from itkwsgi.config.reading import Section
from itkwsgi.config.settings import steps_of
from itkwsgi.config.walk import steps, untrusted
from itkwsgi.ini.locate import Path
from itkwsgi.ini.registry import BY_NAME
from itkwsgi.ini.tighter import is_within
from itkwsgi.linux.abilities import OPEN_BASEDIR_NEEDS, UNTRACED_NEEDS, Abilities

WALLS = ("open_basedir", "disable")
# Readable in spite of any open_basedir.
_LIBRARIES = ("/lib", "/usr/lib", "/usr/local/lib")


@dataclass(frozen=True, slots=True)
class Confined:
    """A site, as far as its walls are concerned.

    ``root`` and ``app`` (a file) are "" when there is none to be had; ``interpreter``: (key, path) of one of its own;
    ``granted``: directories that it gets beside open_basedir.  ``held``: what each of its pools holds from the start.
    ``areas``: its directories and locations, each with what it says itself; ``at``: where in the [[vhost]] that stands.
    """

    section: Section
    settings: dict[str, Said]
    machine: Machine
    ids: Ids | None
    root: str
    app: str
    interpreter: tuple[str, str] | None
    granted: tuple[str, ...]
    held: tuple[dict[str, Said], ...] = ()
    areas: tuple[Confined, ...] = ()
    at: Path = ()

    @property
    def every(self) -> tuple[Confined, ...]:
        """The site as a whole, and each area of it."""
        return self, *self.areas

    @property
    def walls(self) -> dict[str, Said]:
        """Those of the two settings that forbid anything."""
        return {name: self.settings[name] for name in WALLS if name in self.settings and self.settings[name].value}

    def fault(self, name: str, message: str, hint: str = "", index: int | None = None) -> Problem:
        """A problem with a setting that is said, or with one element of it."""
        said = (*self.at, *steps_of(name, self.settings[name]))
        return self.section.fault_in(said if index is None else (*said, index), message, hint)


# --- whatever the disk looks like


def errors(site: Confined) -> Iterator[Problem]:
    """Landlock and seccomp take no_new_privs, and a setuid program would be a way out."""
    walls = [f"{name} at {said.where}" for each in site.every for name, said in each.walls.items()]
    if walls and not site.section.values["no_new_privs"]:
        others = " and ".join(walls)
        yield site.section.fault("no_new_privs", f"false does not go together with {others}")


def notes(site: Confined) -> Iterator[Problem]:
    """What is done otherwise than a reader might think."""
    for each in site.every:
        yield from _beyond(each)
    disable = site.walls.get("disable")
    if disable is not None and "fork" in disable.value and site.section.values["preload"] == "app":
        yield site.fault("disable", 'without fork each child imports the app itself, as with preload = "framework"')


def _beyond(site: Confined) -> Iterator[Problem]:
    """Limits above those of the server's own."""
    for name, most in site.machine.hard_limits.items():
        said = site.settings.get(name)
        if said is not None and said.value is not None and said.value > most:
            unit = BY_NAME[name].kind.unit
            yield site.fault(name, f"{said.value} is beyond the {most} {unit} of the server itself: {most} is used")


def lacking(site: Confined) -> Iterator[Problem]:
    """What this kernel cannot do."""
    for each in site.every:
        for name, said in each.walls.items():
            reason = _lacks(site.machine.abilities, name, said.value)
            if reason:
                yield each.fault(name, f"cannot be had: {reason}")


def _lacks(abilities: Abilities, name: str, value: tuple[str, ...]) -> str:
    return _basedir_lacks(abilities) if name == "open_basedir" else _disable_lacks(abilities, value)


def _basedir_lacks(abilities: Abilities) -> str:
    return _no_landlock(abilities, OPEN_BASEDIR_NEEDS, "Linux 6.2")


def _disable_lacks(abilities: Abilities, words: tuple[str, ...]) -> str:
    if not abilities.seccomp:
        return "this kernel has no seccomp filters for this processor"
    return _no_landlock(abilities, UNTRACED_NEEDS, "Linux 5.19") if "ptrace" in words else ""


def _no_landlock(abilities: Abilities, needed: int, since: str) -> str:
    if not abilities.landlock:
        return f"this kernel has no Landlock ({since} and later, with landlock among its lsm=)"
    if abilities.landlock < needed:
        return f"this kernel has Landlock {abilities.landlock}, and it takes {needed} ({since})"
    return ""


# --- on the disk


def problems(site: Confined) -> Iterator[Problem]:
    """What the site could not start with."""
    for each in site.every:
        yield from _unusable_entries(each)
    for held in site.held:
        yield from _outside(site, held.get("open_basedir"))
    yield from _unusable_tmp_dir(site)
    fault = interpreter_fault(site)
    if fault and site.interpreter:
        names = " and ".join(dict.fromkeys(name for each in site.every for name in each.walls))
        yield site.section.fault(
            site.interpreter[0], f"{fault}: with {names} nobody but root may change what is executed"
        )


def _unusable_entries(site: Confined) -> Iterator[Problem]:
    """Of open_basedir: each must be there, and the user must get there."""
    said = site.walls.get("open_basedir")
    for index, path in enumerate(said.value if said is not None else ()):
        want = ENTER if _is_directory(site, path) else 0
        reason = refusal(path, site.ids, want, sight=site.machine.sight)
        if reason:
            yield site.fault("open_basedir", reason, index=index)


def _outside(site: Confined, basedir: Said | None) -> Iterator[Problem]:
    """The site itself must lie within; judged by where links lead, as the kernel does."""
    entries = [real_path(site, path) for path in (basedir.value if basedir is not None else ())]
    if basedir is None or not entries or "" in entries:
        return
    inside = [*entries, *(real_path(site, path) for path in site.granted), *_LIBRARIES]
    for key, path in (("root", site.root), ("app", site.app)):
        real = real_path(site, path) if path else ""
        if real and not any(is_within(real, directory) for directory in inside if directory):
            message = f"{path} is outside open_basedir at {basedir.where}: the site could not start"
            yield site.section.fault(key, message)
            return


def _unusable_tmp_dir(site: Confined) -> Iterator[Problem]:
    said = site.settings.get("tmp_dir")
    if said is not None and said.value is not None:
        reason = refusal(said.value, site.ids, READ | WRITE | ENTER, "directory", site.machine.sight)
        if reason:
            yield site.fault("tmp_dir", reason)


def _is_directory(site: Confined, path: str) -> bool:
    try:
        return any(visit.last and stat.S_ISDIR(visit.info.st_mode) for visit in steps(path, site.machine.sight))
    except OSError:  # whatever it is, `refusal` says it
        return False


def real_path(site: Confined, path: str) -> str:
    """Where the path leads in the end; "" when it leads nowhere."""
    try:
        return next((visit.path for visit in steps(path, site.machine.sight) if visit.last), "")
    except OSError:
        return ""


# --- the interpreter


def interpreter_fault(site: Confined) -> str:
    """Says who could change what is executed, behind walls; "" when nobody can, or when there is none of its own."""
    real = _binary(site)
    if not real:
        return ""
    return next(filter(None, (_changeable(site, path) for path in (real, *_configurations(real)))), "")


def binary(site: Confined) -> str | None:
    """What to execute for the interpreter; None for the interpreter as it is named."""
    real = _binary(site)
    if not real or site.interpreter is None or interpreter_fault(site):
        return None
    named = site.interpreter[1]
    safe = not any(_changeable(site, path) for path in (named, *_configurations(named)))
    return None if safe else real


def _binary(site: Confined) -> str:
    """The end of the chain of links; "" without walls, or when there is nothing."""
    walled = any(each.walls for each in site.every)
    return real_path(site, site.interpreter[1]) if site.interpreter and walled else ""


def _configurations(interpreter: str) -> Iterator[str]:
    """Where an interpreter looks for the file that names its library (PEP 405)."""
    directory = os.path.dirname(interpreter)
    for place in (directory, os.path.dirname(directory)):
        yield os.path.join(place, "pyvenv.cfg")


def _changeable(site: Confined, path: str) -> str:
    return untrusted(path, site.machine.trusted, site.machine.sight)
