"""How many pools there may be, and the end of those that do not end by themselves.

``max_pools`` are awake, a few of each site drain beside them.  A pool is the site's code and need not do as it is told,
so whoever was told to go is looked at again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from itkwsgi.supervisor.rows import BROKEN, CRASHED, LEAVING, SERVING
from itkwsgi.wire import control

if TYPE_CHECKING:
    from itkwsgi.supervisor.pools import PoolTable
    from itkwsgi.supervisor.rows import Pool

# A pool that was asked to make room retires at once; one that has not by then is ended.
RETIRE_SECONDS = 10.0
# A pool whose end was ordered is gone in no time, unless it hangs in the kernel or its zygote does.
END_SECONDS = 5.0
# Pools of one site that drain at once: a site that says it leaves, and stays, would fill the machine.
MOST_LEAVING = 8


class Bounds:
    """Ends pools of a table."""

    def __init__(self, table: PoolTable, max_pools: int) -> None:
        self.table = table
        self.ports = table.ports
        self.max_pools = max_pools

    def make_room(self, current: list[Pool]) -> None:
        """max_pools: the longest idle of the sites' current pools retires first, else the oldest."""
        awake = [pool for pool in current if pool.state in (SERVING, BROKEN) and not pool.asked_to_leave]
        if len(awake) < self.max_pools:
            return
        leaving = first_to_leave(awake)
        leaving.asked_to_leave = True
        self.ports.order(leaving, control.TERMINATE)
        self.ports.after(RETIRE_SECONDS, lambda: self.must_have_left(leaving))

    def must_have_left(self, pool: Pool) -> None:
        """It was asked to retire."""
        self.table.let_go_if_shut(pool.row)
        if pool.row.current is pool and pool.state != CRASHED:
            self.end(pool, f"did not retire in {RETIRE_SECONDS:g} s")

    def end_oldest_leaving(self, pools: list[Pool]) -> None:
        """``pools``: a site's, the oldest first."""
        leaving = [pool for pool in pools if pool.state == LEAVING and not pool.doomed]
        if len(leaving) > MOST_LEAVING:
            self.end(leaving[0], f"drains, and {MOST_LEAVING} younger ones too")

    def end(self, pool: Pool, why: str) -> None:
        """Order the end of a pool and of everything below it, once."""
        if pool.doomed:
            return
        pool.doomed = True
        self.ports.note(f"{pool.row.vhost.name}: its pool {pool.pid} {why} and is ended")
        self.ports.order(pool, control.KILL)
        self.ports.after(END_SECONDS, lambda: self.must_have_ended(pool))

    def must_have_ended(self, pool: Pool) -> None:
        """SIGKILL does not reach what hangs in the kernel: the site must not hang with it."""
        if pool.serial in self.table.pools and pool.state != CRASHED:
            self.ports.stuck(pool)
            self.table.give_up(pool)


def first_to_leave(pools: list[Pool]) -> Pool:
    """Of pools that are awake: the longest idle, else the oldest."""
    idle = [pool for pool in pools if pool.idle_since is not None]
    if idle:
        return min(idle, key=lambda pool: pool.idle_since or 0.0)
    return min(pools, key=lambda pool: pool.started)
