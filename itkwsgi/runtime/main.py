"""How a pool begins: forked from a zygote (`run_pool`), or exec'd in an interpreter of the site's own (`run`).

Both come here already as the site's user, with the listener, the channel and the log in their fixed places.
"""

from __future__ import annotations

import os
from _socket import AF_UNIX, SOCK_STREAM, socket

from itkwsgi.linux import by_ctypes
from itkwsgi.linux.title import ProcessTitle
from itkwsgi.runtime import failures
from itkwsgi.runtime.packages import add_site_packages
from itkwsgi.runtime.place import settle
from itkwsgi.runtime.pool import Pool
from itkwsgi.runtime.rehearsal import rehearse
from itkwsgi.wire import orders
from itkwsgi.wire.orders import PoolState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LISTENER_FD = 3
CHANNEL_FD = 4
EXTERNAL_FD = 5
PLAN_FD = 6


def run() -> None:
    """In the site's own interpreter: read the plan, be the pool.  Its site-packages are read as the site's user."""
    with os.fdopen(PLAN_FD, "rb") as file:
        plan = orders.decode(file.read())
    add_site_packages()
    rehearse(ProcessTitle())
    run_pool(plan)


def run_pool(plan: dict[str, Any]) -> None:
    """Be the pool; never returns."""
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
    Pool(plan, listener, CHANNEL_FD, external, title).run()
