"""What ``app`` means: ``package.module:callable``, or a file ``x.py`` / ``x.wsgi`` relative to root, with
``:callable`` or without.

One spelling is both: ``blog.wsgi:application`` may be the module ``blog.wsgi`` (Django's) or the file ``blog.wsgi``
(mod_wsgi's).  It is the file when there is one in root, else the module.  After `resolve` the two cannot be confused:
a file is an absolute path.  Without a callable the runtime takes ``application``, else ``app``.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from itkwsgi.config.values import is_dotted_name
from itkwsgi.ini.values import Wrong, parse_text, shown

_FORMS = 'write "module:callable" or "file.py:callable"'


def parse_app(raw: object) -> str:
    """Checks the form alone; the text stays as it is."""
    text = parse_text(raw)
    target, name = split(text)
    if ":" in text and not is_dotted_name(name):
        raise Wrong(f"{shown(raw)}: {shown(name)} is no name of a callable", _FORMS)
    if target.startswith("~"):
        raise Wrong(f"{shown(raw)}: ~ is not expanded here", "write the whole path")
    if not may_be_file(target) and not is_dotted_name(target):
        raise Wrong(f"{shown(raw)} is neither a module nor a .py or .wsgi file", _FORMS)
    return text


def split(app: str) -> tuple[str, str]:
    """Module or file, and callable ("" when none is named)."""
    target, _, name = app.partition(":")
    return target, name


def may_be_file(target: str) -> bool:
    """Does it look like a file at all?"""
    return "/" in target or target.endswith((".py", ".wsgi"))


def may_be_module(target: str) -> bool:
    """Could it be imported by name?  ``x.py`` could too, but nobody means a module called py."""
    return is_dotted_name(target) and not target.endswith(".py")


def resolve(app: str, root: str, exists: Callable[[str], bool]) -> str:
    """Make a file an absolute path; a module stays as it is.

    Raises `Wrong` when the path has a colon in it, since the first one ends the file's name.
    """
    target, name = split(app)
    if not may_be_file(target):
        return app
    path = os.path.normpath(os.path.join(root, target))
    if may_be_module(target) and not exists(path):
        return app
    if ":" in path:
        raise Wrong(f"{shown(path)} has a colon in it, which would end the file's name", "rename that directory")
    return f"{path}:{name}" if name else path


def file_of(app: str) -> str | None:
    """The file of a resolved app, None for a module."""
    target, _ = split(app)
    return target if target.startswith("/") else None


def directory_of(app: str) -> str | None:
    """The directory of a file named by its whole path: root, when no root is named."""
    target, _ = split(app)
    return os.path.dirname(os.path.normpath(target)) if target.startswith("/") else None


def place_of(app: str, root: str, is_directory: Callable[[str], bool]) -> str:
    """The file of a resolved app, a module's where it would be below root; "" without an app."""
    target, _ = split(app)
    if not target or target.startswith("/"):
        return target
    path = os.path.join(root, *target.split("."))
    return os.path.join(path, "__init__.py") if is_directory(path) else f"{path}.py"
