"""How the server stops: fronts drain, then pools, then zygotes end everything below them, then the log, then we.

A row of phases; each ends when the processes it waits for are gone, or its time is over and they are killed.  At the
end nothing that this server ever started is alive, or it is named (what hangs in the kernel cannot be killed).
"""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

from itkwsgi.linux import orphans
from itkwsgi.supervisor.notes import tell_operator
from itkwsgi.supervisor.rows import CRASHED
from itkwsgi.wire import control

if TYPE_CHECKING:
    from itkwsgi.supervisor.daemon import Supervisor
    from itkwsgi.supervisor.rows import Pool

FRONT_GRACE = 1.0  # beyond graceful_timeout, which fronts keep themselves
ZYGOTE_SECONDS = 8.0
LOG_SECONDS = 3.0
LAST_SECONDS = 2.0
ORDERS_SECONDS = 0.02

RUNNING, FRONTS, POOLS, ZYGOTES, LOG, DONE = range(6)


class Stopping:
    """The phases of a stop; `advance` is called whenever something ended or time passed."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor = supervisor
        self.phase = RUNNING
        self.graceful = True
        self.status = 0
        self.deadline = 0.0

    @property
    def begun(self) -> bool:
        return self.phase != RUNNING

    def begin(self, *, graceful: bool, status: int = 0) -> None:
        """TERM drains; INT, also while draining, does not wait for requests."""
        if not graceful:
            self.graceful = False
        if self.begun:
            self.hurry()
            return
        self.status = status
        self.supervisor.pools.closed = True
        self.enter(FRONTS)

    def hurry(self) -> None:
        """A second signal: what is waited for is killed."""
        if not self.graceful and self.phase in (FRONTS, POOLS):
            self.deadline = time.monotonic()
            self.advance()

    def enter(self, phase: int) -> None:
        """Begin a phase and set its end."""
        self.phase = phase
        seconds = (self.begin_fronts, self.begin_pools, self.begin_zygotes, self.begin_log)[phase - 1]()
        self.deadline = time.monotonic() + seconds
        self.supervisor.timers.after(seconds, self.advance)
        self.advance()

    def advance(self) -> None:
        """Go on when this phase is over."""
        if self.phase in (RUNNING, DONE):
            return
        left = self.waited_for()
        if left and time.monotonic() < self.deadline:
            return
        if self.phase != POOLS:  # those are the zygotes' children, and end with them in the next phase
            for pid in left:
                os.kill(pid, signal.SIGKILL)
        if self.phase == LOG:
            self.finish()
        else:
            self.enter(self.phase + 1)

    def waited_for(self) -> list[int]:
        """The pids this phase waits for."""
        supervisor = self.supervisor
        if self.phase == POOLS:
            return [pool.pid for pool in supervisor.pools.pools.values() if pool.pid and pool.state != CRASHED]
        kind = {FRONTS: "front", ZYGOTES: "zygote", LOG: "log"}[self.phase]
        return [role.pid for role in supervisor.roster.of_kind(kind)]

    def begin_fronts(self) -> float:
        """Fronts close their listeners and finish what they have."""
        supervisor = self.supervisor
        if not self.graceful:
            return 0.0
        for role in supervisor.roster.of_kind("front"):
            supervisor.keeper.tell(role.pid, control.STOP, 0)
        return supervisor.config.server.graceful_timeout + FRONT_GRACE

    def begin_pools(self) -> float:
        """No visitor is left but those of other web servers: pools drain."""
        if not self.graceful:  # they end with their zygotes
            return 0.0
        self.tell_pools(list(self.supervisor.pools.pools.values()))
        return self.supervisor.config.server.graceful_timeout

    def tell_pools(self, pools: list[Pool]) -> None:
        """A channel holds some 280 orders: those that do not fit are given a little later."""
        if self.phase != POOLS:
            return
        keeper, left = self.supervisor.keeper, []
        for pool in pools:
            if keeper.may_order(pool):
                keeper.order(pool, control.TERMINATE)
            else:
                left.append(pool)
        if left:
            self.supervisor.timers.after(ORDERS_SECONDS, lambda: self.tell_pools(left))

    def begin_zygotes(self) -> float:
        """A zygote whose channel closes ends every descendant, then itself."""
        for role in self.supervisor.roster.of_kind("zygote"):
            if role.channel.fileno() >= 0:
                self.supervisor.hang_up(role)
        return ZYGOTE_SECONDS

    def begin_log(self) -> float:
        """The log writes what is still in its pipes."""
        self.supervisor.note("stopped")
        self.supervisor.log.close()
        return LOG_SECONDS

    def finish(self) -> None:
        """Whatever was re-parented to us meanwhile goes too; files of a running server are removed."""
        self.phase = DONE
        try:
            left = orphans.end_all_children(LAST_SECONDS)
        except OSError as error:
            tell_operator(f"itkwsgi: what is left of the sites cannot be looked for: {error.strerror}")
            left = []
        if left:
            tell_operator(f"itkwsgi: these hang in the kernel and could not be ended: {left}")
        self.supervisor.keeper.remove_sockets()
        if self.supervisor.keeper.cgroups is not None:
            self.supervisor.keeper.cgroups.close()
        self.supervisor.exit_status = self.status
