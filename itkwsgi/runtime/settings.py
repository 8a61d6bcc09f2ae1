"""The settings as a site's code has them: ``environ["itkwsgi.settings"]``, and ``from itkwsgi import settings``.

A mapping of every setting to its value, None for no limit and nothing set.  Code may set those whose mode is ALL and
that nobody fixed, with effect at once; what it sets in a request ends with it, what it sets while it is imported is the
site's own default from then on.  (PHP: ini_get, ini_set, ini_restore, ini_get_all.)
"""

from __future__ import annotations

import os
from _collections_abc import Mapping  # collections.abc, without the package around it

import itkwsgi
from itkwsgi.errors import SettingLocked, TimeLimitExceeded
from itkwsgi.ini.merge import Said
from itkwsgi.ini.registry import BY_NAME
from itkwsgi.ini.rlimits import RESOURCES
from itkwsgi.ini.setting import ALL
from itkwsgi.ini.tighter import ONLY_NARROWED, tightens
from itkwsgi.ini.values import Wrong, closest
from itkwsgi.runtime.confine import ConfineError
from itkwsgi.runtime.limits import room

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from itkwsgi.ini.setting import Setting
    from itkwsgi.runtime.in_force import InForce
    from itkwsgi.runtime.limits import ProcessorTime
    from itkwsgi.runtime.scopes import Scope, Scopes

BY_CODE = "set by code"
BY_DEFAULT = "default"


class Explanation(tuple):  # type: ignore[type-arg]
    """``value, master, mode, origin``, and each of them and more by name, as attribute or by index.

    ``master``: what holds for the site as a whole.  ``origin``: file:line, "default" or "set by code".  ``fixed``: by
    an administrator.  ``enforced``: by the kernel, the runtime, or advisory.  ``unit``: of the value, "" for none.
    """

    fixed: bool
    enforced: str
    unit: str

    def __new__(cls, setting: Setting, value: Any, master: Any, said: Said | None) -> Explanation:
        self = super().__new__(cls, (value, master, setting.mode, BY_DEFAULT if said is None else said.where))
        self.fixed = said is not None and said.fixed
        self.enforced, self.unit = setting.enforced, setting.kind.unit
        return self

    value = property(lambda self: self[0])
    master = property(lambda self: self[1])
    mode = property(lambda self: self[2])
    origin = property(lambda self: self[3])

    def __getitem__(self, index: Any) -> Any:
        return getattr(self, index) if isinstance(index, str) else super().__getitem__(index)

    def __repr__(self) -> str:
        return f"Explanation(value={self[0]!r}, master={self[1]!r}, mode={self[2]!r}, origin={self[3]!r})"


class Settings(Mapping):  # type: ignore[type-arg]
    """What is in force, and what code makes of it.  ``importing``: no request is at work, the site is imported."""

    SettingLocked = SettingLocked
    TimeLimitExceeded = TimeLimitExceeded

    def __init__(self, scopes: Scopes, scope: Scope, in_force: InForce, time: ProcessorTime) -> None:
        self._scopes = scopes
        self._scope = scope
        self._in_force = in_force
        self._time = time
        self._own: dict[str, Said] = {}
        self.importing = True
        self.is_usual = False  # nothing that an answer would have to ask for

    def enter(self, scope: Scope) -> None:
        """A request begins."""
        self._scope = scope
        self._own = {}
        self.importing = False
        self.is_usual = False

    # --- a mapping

    def __getitem__(self, name: str) -> Any:
        return known(name).python(self._value(name))

    def __iter__(self) -> Iterator[str]:
        return iter(BY_NAME)

    def __len__(self) -> int:
        return len(BY_NAME)

    def said(self, name: str) -> Any:
        """The value where anybody said one, else None: the default does not count."""
        said = self._said(name)
        return None if said is None else said.value

    def __repr__(self) -> str:
        return f"<itkwsgi settings {dict(self.items())!r}>"

    # --- what code does with them

    def set(self, name: str, value: Any) -> Any:
        """Set it, with effect at once; returns the value of before.

        ``value``: as in a file (``"256M"``, ``"30s"``), as this mapping gives it, or None for "none".
        Raises KeyError for no setting, ValueError for no value of it, `SettingLocked` for what code may not set.
        """
        setting = known(name)
        before = self[name]
        self._check(setting)
        said = Said(parsed(setting, value), False, BY_CODE)
        self._check_bounds(name, said)
        self._bring(name, said)
        self._own[name] = said
        self.is_usual = False
        if self.importing:
            self._scopes.code[name] = said
            self._scopes.forget()
        return before

    def restore(self, name: str | None = None) -> None:
        """Back to what it was when the request began; without a name, all of them.

        Raises `SettingLocked` for what cannot be taken back.
        """
        for each in [name] if name is not None else list(self._own):
            known(each)
            if each in self._own:
                said = self._scope.settings.get(each)
                if each in ONLY_NARROWED and not tightens(each, said, self._own[each]):
                    raise SettingLocked(f"{each} was narrowed, and the kernel does not take that back")
                self._bring(each, said)
                del self._own[each]
                if self.importing:
                    del self._scopes.code[each]
                    self._scopes.forget()

    def explain(self, name: str) -> Explanation:
        """Value, master value, mode and origin; raises KeyError for no setting."""
        setting = known(name)
        site = self._scopes.site.get(name)
        master = setting.default if site is None else site.value
        return Explanation(setting, self[name], setting.python(master), self._said(name))

    # --- how

    def _said(self, name: str) -> Said | None:
        return self._own.get(name) or self._scope.settings.get(name)

    def _value(self, name: str) -> Any:
        said = self._said(name)
        return BY_NAME[name].default if said is None else said.value

    def _check(self, setting: Setting) -> None:
        """May code set it at all?"""
        said = self._scope.settings.get(setting.name)
        if said is not None and said.fixed:
            raise SettingLocked(f"{setting.name} is fixed at {said.where}")
        if setting.mode != ALL:
            raise SettingLocked(f"{setting.name} can not be set by code: its mode is {setting.mode}")

    def _check_bounds(self, name: str, said: Said) -> None:
        """And that far?"""
        if name in ONLY_NARROWED and not tightens(name, said, self._said(name)):
            raise SettingLocked(f"{name} can only be narrowed")
        if name in RESOURCES and said.value is not None:
            most = room(name)
            if most is not None and said.value > most:
                raise SettingLocked(f"{name}: {said.value} is beyond {most}, the hard limit of this process")

    def _bring(self, name: str, said: Said | None) -> None:
        if name == "max_execution_time":
            if not self.importing:
                self._time.start(BY_NAME[name].default if said is None else said.value, said is not None and said.fixed)
            return
        try:
            self._in_force.set(name, said)
        except ConfineError as error:
            raise ValueError(f"{name}: {error}") from None


def known(name: str) -> Setting:
    """The setting of that name.  Raises KeyError."""
    setting = BY_NAME.get(name)
    if setting is None:
        near = closest(name, BY_NAME) if isinstance(name, str) else ""
        raise KeyError(f"there is no setting {name!r}" + (f": did you mean {near}?" if near else ""))
    return setting


def parsed(setting: Setting, value: Any) -> Any:
    """What code gave, as the program holds it.  Raises ValueError."""
    if value is None:
        return setting.none
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if isinstance(value, (list, tuple)):
        value = [os.fspath(element) if isinstance(element, os.PathLike) else element for element in value]
    try:
        return setting.parse(value, os.getcwd())
    except Wrong as wrong:
        hint = wrong.faults[0].hint
        raise ValueError(f"{setting.name}: {wrong}" + (f" ({hint})" if hint else "")) from None


def publish(settings: Settings) -> None:
    """Make ``from itkwsgi import settings, SettingLocked, TimeLimitExceeded`` work in this interpreter."""
    package: Any = itkwsgi
    package.settings = settings
    package.SettingLocked = SettingLocked
    package.TimeLimitExceeded = TimeLimitExceeded
