"""Brings a pool under its settings before anything of the site is imported."""

from __future__ import annotations

from itkwsgi.ini.merge import Said
from itkwsgi.ini.registry import VARIABLES
from itkwsgi.runtime.failures import log
from itkwsgi.runtime.in_force import InForce
from itkwsgi.runtime.limits import ProcessorTime
from itkwsgi.runtime.loader import file_of
from itkwsgi.runtime.place import children_enter
from itkwsgi.runtime.scopes import Scope, Scopes
from itkwsgi.runtime.settings import Settings, publish

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Governing:
    """``scope``: what holds for the site's app as a whole."""

    __slots__ = ("in_force", "scope", "scopes", "settings", "time")

    def __init__(self, plan: dict[str, Any]) -> None:
        self.scopes = Scopes(plan["settings"], file_of(plan["app"], plan["root"]))
        for variable, name in VARIABLES.items():
            if variable in plan["env"]:
                self.scopes.site.setdefault(name, Said(plan["env"][variable], False, "env"))
        # Who reads its files loads a reader of TOML: where no code of the site may come into the pool, its children do.
        self.scope = self.scopes.of_tables() if children_enter(plan) else first_scope(self.scopes)
        self.in_force = InForce(plan)
        said = self.scope.settings.get("max_execution_time")
        usual = said.value if said is not None and said.fixed else None
        self.time = ProcessorTime(plan["requests_per_child"] != 1, usual)
        self.settings = Settings(self.scopes, self.scope, self.in_force, self.time)

    def start(self, plan: dict[str, Any]) -> None:
        """Bring the scope about, say what of it has no effect, and give the site's code the settings."""
        for remark in self.scope.remarks:
            log(remark)
        self.in_force.start(self.scope, ("include_path",) if children_enter(plan) else ())
        publish(self.settings)


def first_scope(scopes: Scopes) -> Scope:
    """The app's own; where its directories cannot be looked at, that of the administrator's tables alone."""
    try:
        return scopes.of_pool()
    except OSError as error:
        log(f"the site's own files cannot be looked at: {error}")
        return scopes.of_tables()
