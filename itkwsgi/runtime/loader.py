"""Finds the WSGI callable: ``package.module:callable``, or the path of a file with an optional ``:callable``.

Runs as the site's user, in the pool (preload = "app") or in the child.
"""

from __future__ import annotations

import importlib
import os
import sys

from itkwsgi.errors import AppError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

DEFAULT_CALLABLES = ("application", "app")


class NoApplication(AppError):
    """The module is there, the callable is not."""


def load(app: str) -> Callable[..., Any]:
    """Import and return the callable.

    ``app`` as the configuration completed it: a file's path has a slash, a module's name has none (both may end in
    ``.wsgi``).  Raises whatever the import raises, or `NoApplication`.
    """
    target, _, name = app.partition(":")
    module = load_file(target) if "/" in target else importlib.import_module(target)
    return pick(module, name, app)


def file_of(app: str, root: str) -> str:
    """The file of the app, as far as its name tells: that of a module below root, whether it is there or not."""
    target = app.partition(":")[0]
    if "/" in target:
        return target
    path = os.path.join(root, *target.split("."))
    return os.path.join(path, "__init__.py") if os.path.isdir(path) else f"{path}.py"


def load_file(path: str) -> ModuleType:
    """Import a file under its stem, as if its directory were on the path; any ending will do."""
    import importlib.machinery
    import importlib.util

    name = os.path.splitext(os.path.basename(path))[0]
    loader = importlib.machinery.SourceFileLoader(name, path)
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    if spec is None:
        raise NoApplication(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def pick(module: ModuleType, name: str, app: str) -> Callable[..., Any]:
    """The named callable, else ``application``, else ``app``."""
    for candidate in (name,) if name else DEFAULT_CALLABLES:
        value: Any = module
        for part in candidate.split("."):
            value = getattr(value, part, None)
        if callable(value):
            return value  # type: ignore[no-any-return]
    wanted = f"callable {name!r}" if name else "callable 'application' or 'app'"
    raise NoApplication(f"app = {app!r}: {module.__name__} ({module.__file__}) has no {wanted}")
