"""Which settings are in force in this process, and how it comes from some to others.

A pool begins with what root did before (``holding``) and the interpreter's own defaults, and brings about its scope,
but for what cannot be taken back: that waits for each child, since the next request may be in another scope.  A child
brings about the difference between its pool's scope and that of its request.
"""

from __future__ import annotations

from itkwsgi.ini.registry import BY_NAME
from itkwsgi.ini.tighter import PROFILE
from itkwsgi.runtime.confine import ConfineError
from itkwsgi.runtime.effects import EFFECTS, WALLS, Surroundings, same
from itkwsgi.runtime.failures import log
from itkwsgi.runtime.scopes import table_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from itkwsgi.ini.merge import Said, Table
    from itkwsgi.runtime.effects import Effect
    from itkwsgi.runtime.scopes import Scope

    Step = tuple[str, Effect, Any, "Said | None"]

# As an interpreter starts, where that is not the default.
AS_STARTED: dict[str, Any] = {"timezone": None, "default_socket_timeout": None}
# What root and the zygote's fork bring about of what holds in a pool.
BY_ROOT = frozenset((*PROFILE, "umask", "tmp_dir"))
# Of the profile, what moves both ways as long as nothing is fixed.
SOFT = frozenset(("memory_limit", "max_open_files", "max_file_size"))


class InForce:
    """``settings``: by name, what was said of it, for all that were said.  ``final``: something was done for good."""

    __slots__ = ("around", "final", "settings")

    def __init__(self, plan: dict[str, Any]) -> None:
        self.around = Surroundings(plan)
        holding = table_of(plan["settings"]["holding"])
        self.settings: Table = {name: said for name, said in holding.items() if name in BY_ROOT}
        self.final = False

    def start(self, scope: Scope, without: Iterable[str] = ()) -> None:
        """In a pool, before anything of the site is imported.  ``without``: names that are left to its children."""
        for name, value in AS_STARTED.items():
            said = scope.settings.get(name)
            if name not in self.settings and (BY_NAME[name].default if said is None else said.value) != value:
                self.bring(name, said)
        left = {*without, *PROFILE} - SOFT
        for name, _, _, said in self.changes(scope):
            # Soft limits of the administrator's are in force by what holds in this pool, which may be that of a part.
            if name not in left and (name not in SOFT or name in scope.told):
                self.bring(name, said)
        scope.changes = None  # there are fewer now

    def changes(self, scope: Scope) -> tuple[Step, ...]:
        """What to do to come there: what differs and does something when it is set, in the order to do it."""
        if scope.changes is None:
            here, there = self.settings, scope.settings
            names = here.keys() | there.keys()
            scope.changes = tuple(
                (name, effect, BY_NAME[name].default if said is None else said.value, said)
                for name, effect in EFFECTS.items()
                for said in (there.get(name),)
                if name in names and not same(name, here.get(name), said, BY_NAME[name].default)
            )
        return scope.changes

    def enter(self, scope: Scope) -> None:
        """In a child, for a request.  Raises `ConfineError` for a wall that cannot be had."""
        if scope.outer is not None and scope.outer != self.settings.get("open_basedir"):
            self.bring("open_basedir", scope.outer)
        for name, effect, value, said in scope.changes or self.changes(scope):
            try:
                if effect(self.around, name, value, said is not None and said.fixed):
                    self.final = True
            except (ValueError, OSError) as error:
                self.failed(name, said, error)
            except ConfineError:
                self.final = True  # a part of it may be up
                raise
            self.note(name, said)

    def leave(self, settings: Table) -> None:
        """After a request, when another may follow: back to what was in force before."""
        for name in EFFECTS:
            if not same(name, self.settings.get(name), settings.get(name), BY_NAME[name].default):
                self.bring(name, settings.get(name))

    def bring(self, name: str, said: Said | None) -> None:
        """Bring one about; what cannot be had is `failed`."""
        try:
            self.set(name, said)
        except (ValueError, OSError) as error:
            self.failed(name, said, error)

    def failed(self, name: str, said: Said | None, error: Exception) -> None:
        """What this machine cannot do is said in the log, and the request goes on.  A wall: raises `ConfineError`."""
        if name in WALLS:
            self.final = True  # a part of it may be up
            raise ConfineError(f"{name} cannot be had: {error}") from error
        where = f" at {said.where}" if said is not None else ""
        log(f"{name}{where} has no effect: {error}")

    def set(self, name: str, said: Said | None) -> None:
        """The same, but raises ValueError or OSError."""
        value, fixed = (BY_NAME[name].default, False) if said is None else (said.value, said.fixed)
        effect = EFFECTS.get(name)
        if effect is not None and effect(self.around, name, value, fixed):
            self.final = True
        self.note(name, said)

    def note(self, name: str, said: Said | None) -> None:
        """It is in force."""
        if said is None:
            self.settings.pop(name, None)
        else:
            self.settings[name] = said


def is_soft(name: str, said: Said | None) -> bool:
    """Is it a limit that moves both ways?"""
    return name in SOFT and (said is None or not said.fixed)
