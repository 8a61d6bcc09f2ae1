"""How a pool begins: forked from a zygote (`run_pool`), or exec'd in an interpreter of the site's own (`run`).

Both come here already as the site's user, with the listener, the channel and the log in their fixed places.
"""

from __future__ import annotations

import os
import sys
from _socket import AF_UNIX, SOCK_STREAM, socket

from itkwsgi.linux import by_ctypes
from itkwsgi.linux.title import ProcessTitle
from itkwsgi.runtime import failures
from itkwsgi.runtime.bytecode import keep_none_of_young_files
from itkwsgi.runtime.confine import ConfineError, confine
from itkwsgi.runtime.governing import Governing
from itkwsgi.runtime.interpreter import CHANNEL_FD, EXTERNAL_FD, LISTENER_FD, PLAN_FD, execute
from itkwsgi.runtime.place import children_enter, enter_site, settle
from itkwsgi.runtime.pool import Pool
from itkwsgi.runtime.rehearsal import rehearse
from itkwsgi.wire import orders
from itkwsgi.wire.orders import PoolState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

BOOT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "boot.py")


def run() -> None:
    """In the site's own interpreter: read the plan, put up the walls, be the pool."""
    with os.fdopen(PLAN_FD, "rb") as file:
        plan = orders.decode(file.read())
    try:
        confine(plan["confine"])
    except ConfineError as error:
        failures.log(f"could not start as uid {plan['uid']}: {error}")
        os._exit(error.exit_code)
    if plan["binary"]:
        enter_venv(plan["interpreter"])
    rehearse(ProcessTitle())
    run_pool(plan)


def enter_venv(python: str) -> None:
    """Of a confined site, whose interpreter was executed by a name that is root's: have the packages beside its own.

    site.main() looks for pyvenv.cfg above ``sys.executable``; from Python 3.14 on it leaves the prefixes as they are.
    """
    sys.executable = python
    sys.prefix = sys.exec_prefix = os.path.dirname(os.path.dirname(python))


def run_pool(plan: dict[str, Any]) -> None:
    """Be the pool; never returns."""
    governing = Governing(plan)
    optimized(plan, governing)
    title = ProcessTitle()
    title.set(f"itkwsgi: pool {plan['name']}")
    by_ctypes.set_name("itkwsgi-pool")
    by_ctypes.set_subreaper()
    os.set_blocking(CHANNEL_FD, False)
    listener = socket(AF_UNIX, SOCK_STREAM, 0, LISTENER_FD)
    external = socket(AF_UNIX, SOCK_STREAM, 0, EXTERNAL_FD) if plan["external"] else None
    listener.setblocking(external is None)
    os.write(CHANNEL_FD, PoolState.SWITCHED)
    try:
        settle(plan)
    except OSError as error:
        failures.log(f"root = {plan['root']!r} cannot be entered by uid {plan['uid']}: {error.strerror}")
    governing.start(plan)
    keep_none_of_young_files()
    if not children_enter(plan):
        enter_site(plan)
    Pool(plan, listener, CHANNEL_FD, external, title, governing).run()


def optimized(plan: dict[str, Any], governing: Governing) -> None:
    """optimize, which an interpreter learns at its start only: where the site's own file says another, start anew."""
    wanted, interpreter = governing.scope.value("optimize"), plan["interpreter"] or plan["python"]
    if wanted == sys.flags.optimize:
        return
    try:
        execute({**plan, "optimize": wanted, "interpreter": interpreter}, plan["binary"] or interpreter, BOOT)
    except OSError as error:
        failures.log(f"optimize = {wanted} has no effect: {interpreter} cannot be executed: {error.strerror}")
