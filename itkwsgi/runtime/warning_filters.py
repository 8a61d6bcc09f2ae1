"""Filters of Python's warnings from text, as after ``python -W``.  Loaded only where there are any."""

from __future__ import annotations

import builtins
import importlib
import re
import warnings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def add(text: str) -> None:
    """action:message:category:module:line; raises ValueError for a category that is no warning's class.

    Message and module are literal texts, a message from its beginning, a module whole (the warnings module of Python's
    library, "Describing Warning Filters").
    """
    action, message, category, module, line = [*text.split(":"), "", "", "", ""][:5]
    warnings.filterwarnings(
        action,  # type: ignore[arg-type]
        message=re.escape(message),
        category=category_of(category),
        module=re.escape(module) + r"\Z" if module else "",
        lineno=int(line or 0),
    )


def category_of(name: str) -> Any:
    """A warning's class by its name; one that is not built in, with its module."""
    if not name:
        return Warning
    module_name, _, class_name = name.rpartition(".")
    try:
        module = importlib.import_module(module_name) if module_name else builtins
        found = getattr(module, class_name)
    except (ImportError, AttributeError):
        raise ValueError(f"there is no {name}") from None
    if not (isinstance(found, type) and issubclass(found, Warning)):
        raise ValueError(f"{name} is no class of warnings")
    return found
