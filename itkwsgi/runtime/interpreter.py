"""Executes an interpreter anew, as the site's user: one of the site's own, one with another layout, or with -O.

It finds the same descriptors in the same places, and its plan in a memory file.
"""

from __future__ import annotations

import os

from itkwsgi.linux import fds
from itkwsgi.linux.title import PADDING
from itkwsgi.wire import orders

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LISTENER_FD = 3
CHANNEL_FD = 4
EXTERNAL_FD = 5  # only with pool_socket
PLAN_FD = 6  # only across exec

FLAGS: dict[int, tuple[str, ...]] = {0: (), 1: ("-O",), 2: ("-OO",)}


def execute(plan: dict[str, Any], interpreter: str, boot: str) -> None:
    """Become that interpreter, as a pool.  Raises OSError when it cannot be executed; never returns otherwise."""
    fd = fds.memfd_with(orders.encode(plan), "plan")
    fds.arrange({PLAN_FD: fd})
    keep = [0, 1, 2, LISTENER_FD, CHANNEL_FD, PLAN_FD] + ([EXTERNAL_FD] if plan["external"] else [])
    fds.close_all_except(keep)
    os.execve(interpreter, [interpreter, *FLAGS[plan["optimize"]], "-I", "-S", boot, "pool", PADDING], {})
