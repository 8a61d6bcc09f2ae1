"""auto_prepend_file and auto_append_file: Python files of the site that are run around its app, as its user."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def run_file(path: str, name: str, **given: Any) -> None:
    """Run a file with globals of its own, ``given`` among them.  Raises whatever it raises, OSError for none.

    ``name``: its __name__, which is that of the setting: the file can tell as what it is run.
    """
    with open(path, "rb") as file:
        code = compile(file.read(), path, "exec", dont_inherit=True)
    exec(code, {"__name__": name, "__file__": path, "__builtins__": __builtins__, **given})
