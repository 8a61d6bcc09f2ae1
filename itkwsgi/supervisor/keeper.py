"""What the pool table needs done: sockets, orders to zygotes, logs, and the two kinds of visitors root may notice.

Root looks whether somebody waits at a listener (poll); it never accepts.  From a pool it reads one byte at a time, out
of a pipe: nothing but bytes can come that way.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import time
from typing import TYPE_CHECKING

from itkwsgi.errors import Bug, OperatorError
from itkwsgi.linux import fds
from itkwsgi.supervisor import places, sockets
from itkwsgi.supervisor.plan import pool_plan, zygote_key
from itkwsgi.supervisor.pools import PoolTable
from itkwsgi.wire import control, orders

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from itkwsgi.config.model import Config, Vhost
    from itkwsgi.supervisor.loglink import LogLink
    from itkwsgi.supervisor.places import Places
    from itkwsgi.supervisor.roles import Role
    from itkwsgi.supervisor.roster import Roster
    from itkwsgi.supervisor.rows import Pool, Row
    from itkwsgi.supervisor.timers import Timers
    from itkwsgi.supervisor.watch import Watch

# A pool_socket's visitor for a site that may not start now is looked at again after this.  Nor does one start a site
# more often than that: a pool could leave at once, again and again, with its visitors still waiting.
AGAIN_SECONDS = 1.0
# Descriptors that no new pool may take: what root needs to go on (a role started again, a log opened anew).
KEPT_FREE = 64


class Keeper:
    """The `Ports` of the pool table, and the table itself."""

    generation = 1

    def __init__(
        self,
        config: Config,
        where: Places,
        roster: Roster,
        watch: Watch,
        timers: Timers,
        log: LogLink,
        *,
        privileged: bool,
    ) -> None:
        self.config = config
        self.places = where
        self.roster = roster
        self.watch = watch
        self.timers = timers
        self.log = log
        self.privileged = privileged
        server = config.server
        self.table = PoolTable(config.vhosts, self, max_imports=server.max_imports, max_pools=server.max_pools)

    def now(self) -> float:
        return time.monotonic()

    def after(self, seconds: float, callback: Callable[[], None]) -> None:
        self.timers.after(seconds, callback)

    def note(self, text: str) -> None:
        self.roster.note(text)

    def tell(self, front: int, kind: int, index: int) -> None:
        self.roster.tell_front(front, kind, index, self.generation)

    def forget(self, sock: socket.socket | int) -> None:
        self.watch.forget(sock)

    # --- pools

    def can_spawn(self, row: Row) -> bool:
        """Is its zygote there, and is it its user's turn?  The sites of one user never import in all places at once."""
        if self.roster.zygote(zygote_key(row.vhost)) is None:
            return False
        if not self.privileged:
            return True
        same = sum(1 for pool in self.table.importing if uid_of(pool.row.vhost) == uid_of(row.vhost))
        return same < max(1, self.table.max_imports - 1)

    def spawn(self, pool: Pool, channel: int) -> bool:
        """Have the zygote fork a pool; False when that could not be ordered.

        The plan goes in a memory file that only the fork reads: whatever a zygote once read is in the memory of all the
        pools that it forks, and a plan holds what the operator set in ``env``.
        """
        vhost, zygote = pool.row.vhost, self.roster.zygote(zygote_key(pool.row.vhost))
        if zygote is None or vhost.ids is None or pool.listener is None:
            return False
        try:
            tmp = places.site_tmp(self.places, vhost.name, vhost.ids.uid, vhost.ids.gid, privileged=self.privileged)
            log = self.open_site_log(vhost)
        except (OperatorError, OSError) as error:
            self.note(f"{vhost.name}: {error}")
            return False
        plan = pool_plan(self.config, vhost, pool.serial, privileged=self.privileged, tmp_dir=tmp)
        with contextlib.ExitStack() as handed_over:
            handed_over.callback(os.close, log)
            try:
                memory = fds.memfd_with(orders.encode(plan), "plan")
            except (Bug, OSError) as error:
                self.note(f"{vhost.name}: its plan: {error}")
                return False
            handed_over.callback(os.close, memory)
            handed = [pool.listener.fileno(), channel, log, memory]
            if pool.row.external is not None:
                self.forget(pool.row.external)
                handed.append(pool.row.external.fileno())
            return self.roster.tell_zygote(zygote, {"do": control.SPAWN, "serial": pool.serial}, handed)

    def may_order(self, pool: Pool) -> bool:
        """Is there room for an order to its zygote?  To one that is gone there is nothing to say."""
        zygote = self.roster.zygote(zygote_key(pool.row.vhost))
        return zygote is None or self.roster.has_room(zygote)

    def order(self, pool: Pool, do: str) -> None:
        zygote = self.roster.zygote(zygote_key(pool.row.vhost))
        if zygote is not None:
            self.roster.tell_zygote(zygote, {"do": do, "serial": pool.serial})

    def watch_channel(self, pool: Pool) -> None:
        if pool.channel is not None:
            self.watch.add(pool.channel, lambda: self.hear_pool(pool))

    def hear_pool(self, pool: Pool) -> None:
        """One byte of a pool, or its end, which the zygote's notice explains."""
        if pool.channel is None:
            return
        try:
            data = os.read(pool.channel, 1)
        except BlockingIOError:
            return
        if data:
            self.table.says(pool, data)
        else:
            self.table.close_channel(pool)

    def watch_visitors(self, pool: Pool) -> None:
        """At the listener of a pool that crashed."""
        listener = pool.listener
        if listener is not None:
            self.watch.add(listener, lambda: self.has_visitors(listener, pool))

    def has_visitors(self, listener: socket.socket, pool: Pool) -> None:
        self.forget(listener)
        self.table.visitors(pool)

    def slept(self, pool: Pool) -> None:
        """A pool is gone: its pipe with it."""
        row = pool.row
        if row.current is pool or row.current is None:
            self.log.remove(log_key(row.vhost), {"do": "asleep", "index": row.vhost.index})

    def rest(self, row: Row) -> None:
        """No pool accepts for this site: its pool_socket is watched again."""
        self.watch_external(row)

    def stuck(self, pool: Pool) -> None:
        """It was to be ended and is not: either its zygote hangs, or the pool does, in the kernel.

        A site can bring about the latter.  So what counts is whether the zygote still reads what it is told.
        """
        zygote = self.roster.zygote(zygote_key(pool.row.vhost))
        if zygote is None:
            return
        if self.roster.reads(zygote):
            self.note(f"{pool.row.vhost.name}: its pool {pool.pid} hangs in the kernel and cannot be ended")
        else:
            used = self.cpu_seconds(zygote.pid)
            self.after(AGAIN_SECONDS, lambda: self.end_if_it_hangs(zygote, used))

    def end_if_it_hangs(self, zygote: Role, used: float) -> None:
        """It read nothing before, with so much CPU time used."""
        if not self.roster.reads(zygote) and self.cpu_seconds(zygote.pid) == used:
            self.roster.end(zygote, "reads no orders")

    def cpu_seconds(self, pid: int) -> float:
        """CPU time of a process, from /proc/PID/stat (proc(5)); 0 when it is gone."""
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / float(os.sysconf("SC_CLK_TCK"))

    # --- sockets

    def listen(self, row: Row) -> socket.socket:
        """Raises OSError, also when the descriptors that are left are for other things."""
        gid = self.config.server.front_ids.gid if self.privileged else None
        sock = sockets.bind_pool(self.places.pools, row.vhost.index, gid)
        if sock.fileno() >= resource.getrlimit(resource.RLIMIT_NOFILE)[0] - KEPT_FREE:
            sock.close()
            raise OSError(errno.EMFILE, "too many pools for this server's limit of open files (ulimit -n)")
        return sock

    def unlisten(self, row: Row) -> None:
        remove_socket(os.path.join(self.places.pools, sockets.pool_name(row.vhost.index)))

    def open_externals(self) -> None:
        """Bind every pool_socket.  Raises `OperatorError`."""
        for row in self.table.rows:
            wanted = row.vhost.pool_socket
            if wanted is not None and not row.vhost.problems:
                places.check_parents(wanted.path)
                row.external = sockets.bind_external(wanted)
                self.watch_external(row)

    def watch_external(self, row: Row) -> None:
        if row.external is not None and sockets.is_shut(row.external):
            self.bind_again(row)
        external = row.external
        if external is not None and not self.watch.has(external):
            self.watch.add(external, lambda: self.external_visitor(row))

    def bind_again(self, row: Row) -> None:
        """Its pool shut the pool_socket, which then is ready for ever and lets nobody in."""
        if row.external is None or row.vhost.pool_socket is None:
            return
        try:
            fresh = sockets.bind_external(row.vhost.pool_socket)
        except OperatorError as error:
            self.note(f"{row.vhost.name}: {error}")
            return
        self.forget(row.external)
        row.external.close()
        row.external = fresh

    def external_visitor(self, row: Row) -> None:
        """Another web server's request for a sleeping site."""
        external, now = row.external, self.now()
        if external is None:
            return
        self.forget(external)
        too_soon = now - row.visited < AGAIN_SECONDS
        if self.table.may_start(row) and not too_soon and not sockets.is_shut(external):
            row.visited = now
            self.table.want(row)
        else:
            self.after(AGAIN_SECONDS, lambda: self.watch_external(row))

    def remove_sockets(self) -> None:
        """At the end of the server."""
        for row in self.table.rows:
            self.unlisten(row)
            if row.external is not None and row.vhost.pool_socket is not None:
                self.forget(row.external)
                row.external = None
                remove_socket(row.vhost.pool_socket.path)

    # --- logs

    def open_site_log(self, vhost: Vhost) -> int:
        """The pipe the site writes its log into: the pipe, not the site, decides under which name."""
        order: dict[str, object] = {
            "do": "site",
            "index": vhost.index,
            "name": vhost.name,
            "own_error": bool(vhost.error_log),
            "own_access": bool(vhost.access_log),
        }
        return self.log.pipe(log_key(vhost), order, site_log_files(vhost))

    def reopen_site_logs(self) -> None:
        """After a rotation: for sites that are awake; those of one that sleeps are opened when it wakes."""
        for row in self.table.rows:
            key, vhost = log_key(row.vhost), row.vhost
            if key in self.log.sources and (vhost.error_log or vhost.access_log):
                order = {**self.log.sources[key][0], "do": "reopen"}
                order.pop("name")
                self.log.reopen(key, order, site_log_files(vhost))


def uid_of(vhost: Vhost) -> int | None:
    """None for a site that cannot run."""
    return None if vhost.ids is None else vhost.ids.uid


def log_key(vhost: Vhost) -> str:
    """A site's pipe among the log's sources."""
    return f"site {vhost.index}"


def site_log_files(vhost: Vhost) -> list[int]:
    """A site's own logs, opened: first errors, then accesses.  Raises `OperatorError`."""
    return places.open_logs((vhost.error_log, vhost.access_log))


def remove_socket(path: str) -> None:
    """Remove a socket that may be gone already."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
