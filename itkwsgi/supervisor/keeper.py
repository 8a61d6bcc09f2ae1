"""What the pool table needs done: sockets, orders to zygotes, logs, and the two kinds of visitors root may notice.

Root looks whether somebody waits at a listener (poll); it never accepts.  From a pool it reads one byte at a time.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from itkwsgi.errors import OperatorError
from itkwsgi.supervisor import places, sockets
from itkwsgi.supervisor.plan import pool_plan, zygote_key
from itkwsgi.supervisor.pools import PoolTable
from itkwsgi.wire import control

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from itkwsgi.config.model import Config, Vhost
    from itkwsgi.supervisor.loglink import LogLink
    from itkwsgi.supervisor.places import Places
    from itkwsgi.supervisor.roster import Roster
    from itkwsgi.supervisor.rows import Pool, Row
    from itkwsgi.supervisor.timers import Timers
    from itkwsgi.supervisor.watch import Watch

# A pool_socket's visitor for a site that may not start now is looked at again after this.
AGAIN_SECONDS = 1.0


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

    def forget(self, sock: socket.socket) -> None:
        self.watch.forget(sock)

    # --- pools

    def can_spawn(self, row: Row) -> bool:
        return self.roster.zygote(zygote_key(row.vhost)) is not None

    def spawn(self, pool: Pool, channel: socket.socket) -> bool:
        """Have the zygote fork a pool; False when that could not be ordered."""
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
        handed = [pool.listener.fileno(), channel.fileno(), log]
        if pool.row.external is not None:
            self.forget(pool.row.external)
            handed.append(pool.row.external.fileno())
        try:
            return self.roster.tell_zygote(zygote, {"do": control.SPAWN, "plan": plan}, handed)
        finally:
            os.close(log)

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
            data = pool.channel.recv(2)
        except ConnectionResetError:
            data = b""
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
        """A pool is gone: its pipe with it, and its pool_socket is watched again."""
        row = pool.row
        if row.current is pool or row.current is None:
            self.log.remove(log_key(row.vhost), {"do": "asleep", "index": row.vhost.index})
            self.watch_external(row)

    def cpu_seconds(self, pid: int) -> float:
        """CPU time of a process, from /proc/PID/stat (proc(5)); 0 when it is gone."""
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return 0.0
        return (int(fields[11]) + int(fields[12])) / float(os.sysconf("SC_CLK_TCK"))

    # --- sockets

    def listen(self, row: Row) -> socket.socket:
        gid = self.config.server.front_ids.gid if self.privileged else None
        return sockets.bind_pool(self.places.pools, row.vhost.index, gid)

    def unlisten(self, row: Row) -> None:
        path = os.path.join(self.places.pools, sockets.pool_name(row.vhost.index))
        if os.path.lexists(path):
            os.unlink(path)

    def open_externals(self) -> None:
        """Bind every pool_socket.  Raises `OperatorError`."""
        for row in self.table.rows:
            wanted = row.vhost.pool_socket
            if wanted is not None and not row.vhost.problems:
                places.check_parents(wanted.path)
                row.external = sockets.bind_external(wanted)
                self.watch_external(row)

    def watch_external(self, row: Row) -> None:
        external = row.external
        if external is not None and not self.watch.has(external):
            self.watch.add(external, lambda: self.external_visitor(row))

    def external_visitor(self, row: Row) -> None:
        """Another web server's request for a sleeping site."""
        if row.external is not None:
            self.forget(row.external)
        if self.table.may_start(row):
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
                os.unlink(row.vhost.pool_socket.path)

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


def log_key(vhost: Vhost) -> str:
    """A site's pipe among the log's sources."""
    return f"site {vhost.index}"


def site_log_files(vhost: Vhost) -> list[int]:
    """A site's own logs, opened: first errors, then accesses.  Raises `OperatorError`."""
    files: list[int] = []
    try:
        for path in (vhost.error_log, vhost.access_log):
            if path:
                files.append(places.open_log(path))
    except OperatorError:
        for fd in files:
            os.close(fd)
        raise
    return files
