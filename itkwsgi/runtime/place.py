"""The place a site's code wakes up in: directory, environment variables, standard streams; and then its sys.path.

After the switch, before the first import of the site.  Everything is the target user's own: nothing of the server's
environment exists here any more, since every role starts with an empty one.

From `enter_site` on code of the site can run, by whatever is imported (it may have a signal.py) and by .pth files.  So
where children may not fork, which a pool must, it is the children that enter, each when its walls are up.
"""

from __future__ import annotations

import importlib
import os
import sys

from itkwsgi.runtime.packages import add_site_packages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"


def settle(plan: dict[str, Any]) -> None:
    """Make the site's surroundings.  Raises OSError when its root refuses its own user."""
    os.environ.update(variables(plan))
    line_buffered(sys.stdout)
    line_buffered(sys.stderr)
    os.chdir(plan["root"])


def children_enter(plan: dict[str, Any]) -> bool:
    """Is no code of the site to run in its pool itself?"""
    return plan["confine"]["child_seccomp"] is not None


def enter_site(plan: dict[str, Any]) -> None:
    """Put the site's modules on sys.path, and its packages if it has an interpreter of its own."""
    if plan["interpreter"]:
        add_site_packages()
        os.environ["HOME"] = variables(plan)["HOME"]  # that left none
    sys.path.insert(0, plan["root"])
    importlib.invalidate_caches()


def variables(plan: dict[str, Any]) -> dict[str, str]:
    """The process environment: the account's, a UTF-8 locale, the site's tmp, then what the operator set."""
    account = plan["account"]
    found = {
        "HOME": account["home"] or plan["root"],
        "USER": account["name"] or str(plan["uid"]),
        "LOGNAME": account["name"] or str(plan["uid"]),
        "SHELL": account["shell"] or "/bin/sh",
        "PATH": DEFAULT_PATH,
        "LANG": "C.UTF-8",
        "PWD": plan["root"],
    }
    if plan["tmp_dir"]:
        found["TMPDIR"] = plan["tmp_dir"]
    found.update(plan["env"])
    return found


def line_buffered(stream: object) -> None:
    """print() shows in the log at once, whatever characters it has."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
