"""The pools as root knows them: which sleep, which run, and what to do when one is wanted, leaves or dies.

    asleep --WAKE--> ordered --switched--> importing --serving/broken--> serving --leaving--> asleep
                        |                      |                            |
                     not switched:          died: its visitors           died: its listener is kept,
                     refuse those who wait  see 500, back-off            the next visitor restarts it

A pool that leaves is let go at once (its name is free for the next one) and drains by itself.  What a pool says moves
only its own row.  Nothing here waits: not for an import, not for a process to end.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from typing import TYPE_CHECKING

from itkwsgi.errors import OperatorError
from itkwsgi.supervisor import sockets
from itkwsgi.supervisor.restart import Backoff
from itkwsgi.supervisor.rows import BROKEN, CRASHED, IMPORTING, LEAVING, ORDERED, SERVING, Pool, Ports, Row
from itkwsgi.wire import control
from itkwsgi.wire.control import PoolState

if TYPE_CHECKING:
    from itkwsgi.config.model import Vhost

# An import that used less CPU than this in HANG_SECONDS hangs, and stops counting among those that run.
HANG_SECONDS = 2.0
HANG_CPU_SECONDS = 0.01


class PoolTable:
    """All rows, and the processes that belong to them."""

    def __init__(self, vhosts: tuple[Vhost, ...], ports: Ports, *, max_imports: int, max_pools: int) -> None:
        self.rows = [Row(vhost) for vhost in vhosts]
        self.ports = ports
        self.max_imports = max_imports
        self.max_pools = max_pools
        self.pools: dict[int, Pool] = {}  # by serial: current ones and those that drain
        self.queue: deque[Row] = deque()
        self.serial = 0

    # --- wanted

    def wake(self, front: int, index: int) -> None:
        """A front wants this pool's socket to answer."""
        if index >= len(self.rows):
            self.ports.tell(front, control.REFUSED, index)
            return
        row = self.rows[index]
        self.let_go_if_shut(row)
        pool = row.current
        if pool is not None and pool.state not in (ORDERED, CRASHED):
            self.ports.tell(front, control.AWAKE, index)
        elif pool is None and not self.may_start(row):
            self.ports.tell(front, control.REFUSED if row.vhost.problems else control.LATER, index)
        else:
            row.waiting.add(front)
            self.want(row)

    def let_go_if_shut(self, row: Row) -> None:
        """A pool that retired but has not yet said so is no longer this row's."""
        pool = row.current
        if pool is not None and pool.listener is not None and sockets.is_shut(pool.listener):
            self.let_go(pool)

    def may_start(self, row: Row) -> bool:
        """Not a site whose configuration is broken, nor one that just died at its start."""
        return not row.vhost.problems and self.ports.now() >= row.not_before

    def want(self, row: Row) -> None:
        """Start it, or have it start as soon as fewer imports run."""
        if row.queued or (row.current is not None and row.current.state != CRASHED):
            return
        row.queued = True
        self.queue.append(row)
        self.ports.after(row.vhost.startup_timeout, lambda: self.waited_too_long(row))
        self.start_queued()

    def waited_too_long(self, row: Row) -> None:
        """Its zygote is away, or imports of others took all the time there was."""
        if row.queued:
            self.queue.remove(row)
            row.queued = False
            self.refuse(row, control.LATER)

    def start_queued(self) -> None:
        """Start as many as may import at once."""
        for _ in range(len(self.queue)):
            row = self.queue.popleft()
            if not self.ports.can_spawn(row) or self.imports_running() >= self.max_imports:
                self.queue.append(row)
                continue
            row.queued = False
            self.make_room()
            self.start(row)

    def imports_running(self) -> int:
        """Those that hang (dead NFS) do not count, or one site could keep others from waking."""
        return sum(1 for pool in self.pools.values() if pool.state in (ORDERED, IMPORTING) and not self.hangs(pool))

    def hangs(self, pool: Pool) -> bool:
        """Did it use no CPU for `HANG_SECONDS`?"""
        now = self.ports.now()
        if now - pool.sampled >= HANG_SECONDS:
            used = self.ports.cpu_seconds(pool.pid) if pool.pid else 0.0
            pool.hanging = used - pool.cpu < HANG_CPU_SECONDS
            pool.sampled, pool.cpu = now, used
        return pool.hanging

    def make_room(self) -> None:
        """max_pools: the longest idle retires first, else the oldest."""
        awake = [row.current for row in self.rows if row.current is not None and row.current.state in (SERVING, BROKEN)]
        if len(awake) < self.max_pools:
            return
        idle = [pool for pool in awake if pool.idle_since is not None]
        if idle:
            leaving = min(idle, key=lambda pool: pool.idle_since or 0.0)
        else:
            leaving = min(awake, key=lambda pool: pool.started)
        self.ports.order(leaving, control.TERMINATE)

    # --- starting

    def start(self, row: Row) -> None:
        """Make the socket and have the zygote fork."""
        try:
            listener = self.listener_for(row)
        except (OSError, OperatorError) as error:
            self.ports.note(f"{row.vhost.name}: no socket for its pool: {error}")
            self.refuse(row)
            return
        self.serial += 1
        pool = Pool(row, self.serial, listener, self.ports.now())
        row.current = self.pools[pool.serial] = pool
        pool.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pool.channel.setblocking(False)
        with theirs:
            if not self.ports.spawn(pool, theirs):
                self.ended(pool.serial, None)
                return
        self.ports.watch_channel(pool)
        self.ports.after(row.vhost.startup_timeout, lambda: self.startup_is_over(pool))
        self.ports.after(HANG_SECONDS * 1.5, self.start_queued)

    def listener_for(self, row: Row) -> socket.socket:
        """A new one, or that of a pool that crashed, with the visitors in its queue."""
        crashed = row.current
        if crashed is not None and crashed.listener is not None:
            listener, crashed.listener = crashed.listener, None
            self.pools.pop(crashed.serial, None)
            self.ports.forget(listener)
            return listener
        return self.ports.listen(row)

    def startup_is_over(self, pool: Pool) -> None:
        """startup_timeout: an import that is still not done is ended."""
        if pool.state in (ORDERED, IMPORTING) and pool.serial in self.pools:
            vhost = pool.row.vhost
            self.ports.note(
                f"{vhost.name}: no answer in {vhost.startup_timeout:g} s (startup_timeout), {pool.pid} is ended"
            )
            self.ports.order(pool, control.KILL)

    # --- what a pool or its zygote says

    def spawned(self, serial: int, pid: int) -> None:
        """The zygote forked it."""
        if serial in self.pools:
            self.pools[serial].pid = pid

    def says(self, pool: Pool, state: bytes) -> None:
        """A pool said something of itself.  Anything unlisted ends it."""
        if state == PoolState.SWITCHED:
            self.switched(pool)
        elif state in (PoolState.SERVING, PoolState.BROKEN):
            pool.state = SERVING if state == PoolState.SERVING else BROKEN
            self.start_queued()
        elif state == PoolState.LEAVING:
            self.let_go(pool)
        elif state in (PoolState.IDLE, PoolState.ACTIVE):
            pool.idle_since = self.ports.now() if state == PoolState.IDLE else None
        else:
            self.ports.note(f"{pool.row.vhost.name}: its pool {pool.pid} sent nonsense and is ended")
            self.ports.order(pool, control.KILL)

    def switched(self, pool: Pool) -> None:
        """It runs as the site's user: whoever waits may connect, and waits for the import in the socket's queue."""
        if pool.state != ORDERED:
            return
        pool.state = IMPORTING
        for front in pool.row.waiting:
            self.ports.tell(front, control.AWAKE, pool.row.vhost.index)
        pool.row.waiting.clear()

    def let_go(self, pool: Pool) -> None:
        """It retired: the site sleeps from now on, while that pool serves those it has."""
        pool.state = LEAVING
        if pool.row.current is pool:
            pool.row.current = None
            self.ports.unlisten(pool.row)
        self.close_listener(pool)

    def ended(self, serial: int, status: int | None) -> None:
        """The pool's process is gone, with everything it started; ``status`` None: it never came to be."""
        pool = self.pools.get(serial)
        if pool is None:
            return
        self.close_channel(pool)
        self.ports.slept(pool)
        if pool.row.current is pool and pool.listener is not None and not sockets.is_shut(pool.listener):
            self.died(pool, status)
        else:
            self.let_go(pool)
            del self.pools[serial]
        self.start_queued()

    def died(self, pool: Pool, status: int | None) -> None:
        """It ended without leaving."""
        row = pool.row
        self.ports.note(f"{row.vhost.name}: its pool {pool.pid} {how_it_ended(status)} while {pool.state}")
        row.backoff = row.backoff or Backoff()
        pause = row.backoff.failed(self.ports.now())
        if pool.state in (SERVING, BROKEN):
            pool.state = CRASHED
            self.ports.after(pause, lambda: self.ports.watch_visitors(pool) if row.current is pool else None)
            return
        row.not_before = self.ports.now() + pause
        self.let_go(pool)
        del self.pools[pool.serial]
        self.refuse(row)

    def refuse(self, row: Row, kind: int = control.REFUSED) -> None:
        """Those who wait for it get an error page now."""
        for front in row.waiting:
            self.ports.tell(front, kind, row.vhost.index)
        row.waiting.clear()

    def visitors(self, pool: Pool) -> None:
        """Somebody waits at the listener of a pool that crashed."""
        self.want(pool.row)

    # --- from outside

    def end_overdue(self, index: int) -> None:
        """A front's END: what hangs there is ended as a whole."""
        pool = self.rows[index].current if index < len(self.rows) else None
        if pool is not None:
            self.ports.note(f"{pool.row.vhost.name}: its pool {pool.pid} is overdue and is ended")
            self.ports.order(pool, control.KILL)

    def zygote_gone(self, serials: list[int]) -> None:
        """Its pools died with it."""
        for serial in serials:
            self.ended(serial, None)

    def close_listener(self, pool: Pool) -> None:
        self.close(pool.listener)
        pool.listener = None

    def close_channel(self, pool: Pool) -> None:
        self.close(pool.channel)
        pool.channel = None

    def close(self, sock: socket.socket | None) -> None:
        if sock is not None:
            self.ports.forget(sock)
            sock.close()


def how_it_ended(status: int | None) -> str:
    """A wait status in words."""
    if status is None:
        return "went with its zygote, or could not be forked"
    if os.WIFSIGNALED(status):
        return f"was ended by signal {os.WTERMSIG(status)}"
    return f"exited with status {os.WEXITSTATUS(status)}"
