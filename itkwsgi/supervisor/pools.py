"""The pools as root knows them: which sleep, which run, and what to do when one is wanted, leaves or dies.

    asleep --WAKE--> ordered --switched--> importing --serving/broken--> serving --leaving--> asleep
                        |                      |                            |
                     not switched:          died: its visitors           died: its listener is kept, the next
                     refuse those who wait  see 500, back-off            visitor restarts it, but not for ever

A pool that leaves is let go at once (its name is free for the next one) and drains by itself.  What a pool says moves
only its own row, and only forward in the line above.  Nothing here waits: not for an import, not for a process to end;
and nothing is left waiting: who is told to go and does not is ended, who waits is told something in any case.
"""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING

from itkwsgi.errors import OperatorError
from itkwsgi.supervisor import sockets
from itkwsgi.supervisor.bounds import Bounds
from itkwsgi.supervisor.rows import (
    BROKEN,
    CRASHED,
    HANG_SECONDS,
    IMPORTING,
    LEAVING,
    ORDERED,
    SERVING,
    Pool,
    Ports,
    Row,
    how_it_ended,
)
from itkwsgi.wire import control
from itkwsgi.wire.control import PoolState
from itkwsgi.wire.orders import FAULTS

if TYPE_CHECKING:
    import socket

    from itkwsgi.config.model import Vhost

# Visitors of a pool that crashed wait for the next one so long; those of a pool that always crashes wait no more.
LONGEST_PAUSE_OF_QUEUE = 1.0
# Whoever can crash a child can have its site re-made this often; its other visitors get 503 meanwhile.
LONGEST_PAUSE_AFTER_CRASH = 2.0


class PoolTable:
    """All rows, and the processes that belong to them."""

    def __init__(self, vhosts: tuple[Vhost, ...], ports: Ports, *, max_imports: int, max_pools: int) -> None:
        self.rows = [Row(vhost) for vhost in vhosts]
        self.ports = ports
        self.max_imports = max_imports
        self.bounds = Bounds(self, max_pools)
        self.pools: dict[int, Pool] = {}  # by serial: current ones and those that drain
        self.queue: deque[Row] = deque()
        self.importing: list[Pool] = []  # as of the last look, without those that hang
        self.will_look = False
        self.closed = False  # the server stops: nothing is started any more
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
        elif not (self.is_on_its_way(row) or self.may_start(row)):
            self.ports.tell(front, control.REFUSED if row.vhost.problems else control.LATER, index)
        else:
            row.waiting.add(front)
            self.want(row)

    def let_go_if_shut(self, row: Row) -> None:
        """A pool that retired but has not yet said so is no longer this row's."""
        pool = row.current
        if pool is not None and pool.listener is not None and sockets.is_shut(pool.listener):
            self.let_go(pool)

    def is_on_its_way(self, row: Row) -> bool:
        return row.queued or (row.current is not None and row.current.state == ORDERED)

    def may_start(self, row: Row) -> bool:
        """Not a site whose configuration is broken, nor one that just died; none when the server stops."""
        return not self.closed and not row.vhost.problems and self.ports.now() >= row.not_before

    def want(self, row: Row) -> None:
        """Start it, or have it start as soon as fewer imports run."""
        if self.closed or row.queued or (row.current is not None and row.current.state != CRASHED):
            return
        row.queued = True
        row.turns += 1
        self.queue.append(row)
        turn = row.turns
        self.ports.after(row.vhost.startup_timeout, lambda: self.waited_too_long(row, turn))
        self.start_queued()

    def waited_too_long(self, row: Row, turn: int) -> None:
        """Its zygote is away, or imports of others took all the time there was."""
        if not row.queued or row.turns != turn:
            return
        self.leave_queue(row)
        if row.current is not None:  # it crashed: who waits in its listener's queue is told by the end of that
            self.pools.pop(row.current.serial, None)
            self.let_go(row.current)
        self.refuse(row, control.LATER)
        self.ports.rest(row)

    def leave_queue(self, row: Row) -> None:
        if row.queued:
            self.queue.remove(row)
            row.queued = False

    def start_queued(self) -> None:
        """Start as many as may import at once."""
        self.importing = [pool for pool in self.pools.values() if self.imports(pool)]
        for _ in range(len(self.queue)):
            if len(self.importing) >= self.max_imports:
                break
            row = self.queue.popleft()
            if not self.ports.can_spawn(row):
                self.queue.append(row)
                continue
            row.queued = False
            self.bounds.make_room([each.current for each in self.rows if each.current is not None])
            self.start(row)
        self.look_again()

    def look_again(self) -> None:
        """While somebody waits: the imports that run now may come to hang without a word."""
        if self.queue and not self.will_look:
            self.will_look = True
            self.ports.after(HANG_SECONDS, self.look)

    def look(self) -> None:
        self.will_look = False
        self.start_queued()

    def imports(self, pool: Pool) -> bool:
        """Those that hang (dead NFS) do not count, or one site could keep others from waking."""
        return pool.state in (ORDERED, IMPORTING) and not pool.hangs(self.ports)

    # --- starting

    def start(self, row: Row) -> None:
        """Make the socket and have the zygote fork."""
        try:
            pool = self.new_pool(row)
        except (OSError, OperatorError) as error:
            self.ports.note(f"{row.vhost.name}: no socket for its pool: {error}")
            row.back_off(self.ports.now())
            self.refuse(row)
            self.ports.rest(row)
            return
        if not self.ports.spawn(pool):
            self.gone(pool, None)
            return
        self.importing.append(pool)
        self.ports.watch_channel(pool)
        self.ports.after(row.vhost.startup_timeout, lambda: self.startup_is_over(pool))

    def new_pool(self, row: Row) -> Pool:
        """A pool in the table, with its channel.  Raises OSError and `OperatorError`."""
        channel = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        try:
            listener = self.listener_for(row)
        except BaseException:
            os.close(channel)
            raise
        self.serial += 1
        pool = Pool(row, self.serial, listener, self.ports.now())
        pool.channel = channel
        row.current = self.pools[pool.serial] = pool
        return pool

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
            self.bounds.end(pool, f"gave no answer in {pool.row.vhost.startup_timeout:g} s (startup_timeout)")

    # --- what a pool or its zygote says

    def spawned(self, serial: int, pid: int) -> None:
        """The zygote forked it."""
        if serial in self.pools:
            self.pools[serial].pid = pid
            self.ports.forked(self.pools[serial])

    def says(self, pool: Pool, state: bytes, times: int = 1) -> None:
        """A pool said something of itself.  Anything unlisted ends it, and so does talking without end."""
        if state not in PoolState.ALL:
            self.silence(pool, "sent nonsense")
        elif pool.talks_without_end(self.ports.now(), times):
            self.silence(pool, "talks without end")
        elif state == PoolState.SWITCHED:
            self.switched(pool)
        elif state in (PoolState.SERVING, PoolState.BROKEN):
            self.imported(pool, SERVING if state == PoolState.SERVING else BROKEN)
        elif state == PoolState.LEAVING:
            self.let_go(pool)
        elif state == PoolState.CRASHED:
            self.crashed(pool.row)
        else:
            pool.idle_since = self.ports.now() if state == PoolState.IDLE else None

    def silence(self, pool: Pool, why: str) -> None:
        """Listen to it no more."""
        self.bounds.end(pool, why)
        self.close_channel(pool)

    def switched(self, pool: Pool) -> None:
        """It runs as the site's user: whoever waits may connect, and waits for the import in the socket's queue."""
        if pool.state != ORDERED:
            return
        pool.state = IMPORTING
        for front in pool.row.waiting:
            self.ports.tell(front, control.AWAKE, pool.row.vhost.index)
        pool.row.waiting.clear()

    def imported(self, pool: Pool, state: str) -> None:
        """Its import is over, for good or ill.  One that left out a word has said it with this."""
        self.switched(pool)
        if pool.state == IMPORTING:
            pool.state = state
            self.start_queued()

    def crashed(self, row: Row) -> None:
        """A process of it was ended by a memory fault: whoever provoked that may be feeling his way through the address
        layout, one answer at a time.  From now on each of its pools has a layout of its own."""
        row.fresh = True
        row.back_off(self.ports.now(), LONGEST_PAUSE_AFTER_CRASH)

    def let_go(self, pool: Pool) -> None:
        """It retired: the site sleeps from now on, while that pool serves those it has."""
        pool.state = LEAVING
        row = pool.row
        if row.current is pool:
            row.current = None
            self.ports.unlisten(row)
            self.refuse(row, control.LATER)
            self.ports.rest(row)
        self.close_listener(pool)
        self.bounds.end_oldest_leaving([each for each in self.pools.values() if each.row is row])

    def ended(self, serial: int, status: int | None) -> None:
        """The pool's process is gone, with everything it started; ``status`` None: it never came to be."""
        pool = self.pools.get(serial)
        if pool is not None:
            self.gone(pool, status)
            self.start_queued()

    def gone(self, pool: Pool, status: int | None) -> None:
        """As `ended`, but for those who wait in the queue."""
        self.close_channel(pool)
        self.ports.slept(pool)
        shut = pool.listener is None or sockets.is_shut(pool.listener)
        if pool.row.current is pool and not shut and not self.closed:
            self.died(pool, status)
        else:
            del self.pools[pool.serial]
            self.let_go(pool)

    def died(self, pool: Pool, status: int | None) -> None:
        """It ended without leaving."""
        row = pool.row
        self.ports.note(f"{row.vhost.name}: its pool {pool.pid} {how_it_ended(status)} while {pool.state}")
        row.fresh = row.fresh or (status is not None and os.WIFSIGNALED(status) and os.WTERMSIG(status) in FAULTS)
        pause = row.back_off(self.ports.now())
        if pool.state in (SERVING, BROKEN) and pause <= LONGEST_PAUSE_OF_QUEUE:
            pool.state = CRASHED
            self.ports.after(pause, lambda: self.ports.watch_visitors(pool) if row.current is pool else None)
            self.ports.rest(row)
            return
        self.refuse(row)
        del self.pools[pool.serial]
        self.let_go(pool)

    def give_up(self, pool: Pool) -> None:
        """It cannot be ended: the site goes on without it."""
        if pool.row.current is pool:
            pool.row.back_off(self.ports.now())
            self.refuse(pool.row)
            self.let_go(pool)

    def cannot_start(self, row: Row) -> None:
        """There is no zygote to be had for it."""
        self.leave_queue(row)
        row.back_off(self.ports.now())
        self.refuse(row)
        self.ports.rest(row)

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
        if pool is not None and pool.state != CRASHED:
            self.bounds.end(pool, "is overdue")

    def zygote_gone(self, serials: list[int]) -> None:
        """Its pools died with it; those that had before are known to have."""
        for serial in serials:
            if serial in self.pools and self.pools[serial].state != CRASHED:
                self.ended(serial, None)

    def close_listener(self, pool: Pool) -> None:
        if pool.listener is not None:
            self.ports.forget(pool.listener)
            pool.listener.close()
        pool.listener = None

    def close_channel(self, pool: Pool) -> None:
        if pool.channel is not None:
            self.ports.forget(pool.channel)
            os.close(pool.channel)
        pool.channel = None
