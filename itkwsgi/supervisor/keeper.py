"""What the pool table needs done: sockets, orders to zygotes, logs, and the two kinds of visitors root may notice.

Root looks whether somebody waits at a listener (poll); it never accepts.  From a pool it reads a number, out of an
eventfd: nothing else can come that way.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import time
from typing import TYPE_CHECKING

from itkwsgi.errors import Bug, OperatorError
from itkwsgi.linux import fds, process_status
from itkwsgi.supervisor import places, sockets
from itkwsgi.supervisor.plan import nice_from_outside, pool_plan, zygote_key
from itkwsgi.supervisor.pools import PoolTable
from itkwsgi.supervisor.private import PrivateZygotes
from itkwsgi.wire import control, orders

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from itkwsgi.config.model import Config, Vhost
    from itkwsgi.supervisor.cgroups import Cgroups
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
        self.private_zygotes: PrivateZygotes | None = None
        self.cgroups: Cgroups | None = None
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
            self.with_private(row, PrivateZygotes.need)
            return False
        if not self.privileged:
            return True
        same = sum(1 for pool in self.table.importing if uid_of(pool.row.vhost) == uid_of(row.vhost))
        return same < max(1, self.table.max_imports - 1)

    def spawn(self, pool: Pool) -> bool:
        """Have the zygote fork a pool; False when that could not be ordered.

        The plan goes in a memory file that only the fork reads: whatever a zygote once read is in the memory of all the
        pools that it forks, and a plan holds what the operator set in ``env``.
        """
        vhost, zygote = pool.row.vhost, self.roster.zygote(zygote_key(pool.row.vhost))
        if zygote is None or vhost.ids is None or pool.listener is None or pool.channel is None:
            return False
        try:
            tmp = places.site_tmp(self.places, vhost.name, vhost.ids.uid, vhost.ids.gid, privileged=self.privileged)
            log = self.open_site_log(vhost)
        except (OperatorError, OSError) as error:
            self.note(f"{vhost.name}: {error}")
            return False
        fresh = pool.row.fresh
        with contextlib.ExitStack() as handed_over:
            handed_over.callback(os.close, log)
            try:
                plan = pool_plan(self.config, vhost, pool.serial, privileged=self.privileged, tmp_dir=tmp, fresh=fresh)
                memory = fds.memfd_with(orders.encode(plan), "plan")
            except (Bug, OperatorError, OSError) as error:
                self.note(f"{vhost.name}: its plan: {error}")
                return False
            handed_over.callback(os.close, memory)
            pool.zygote = zygote.pid
            more = self.more_for(pool, handed_over)
            order = {"do": control.SPAWN, "serial": pool.serial, "more": list(more)}
            handed = [pool.listener.fileno(), pool.channel, log, memory, *more.values()]
            return self.roster.tell_zygote(zygote, order, handed)

    def more_for(self, pool: Pool, handed_over: contextlib.ExitStack) -> dict[str, int]:
        """Descriptors that not every pool has."""
        more = {}
        if pool.row.external is not None:
            self.forget(pool.row.external)
            more["external"] = pool.row.external.fileno()
        group = self.cgroups.open(pool.serial) if self.cgroups is not None else None
        if group is not None:
            handed_over.callback(os.close, group)
            more["cgroup"] = group
        return more

    def with_private(self, row: Row, do: Callable[[PrivateZygotes, Row], None]) -> None:
        """Have something done about the zygote of a site that has one to itself, when the table is at rest."""
        zygotes = self.private_zygotes
        if row.vhost.private_tmp and zygotes is not None:
            self.after(0.0, lambda: do(zygotes, row))

    def may_order(self, pool: Pool) -> bool:
        """Is there room for an order to its zygote?  To one that is gone there is nothing to say."""
        zygote = self.roster.zygote(zygote_key(pool.row.vhost))
        return zygote is None or self.roster.has_room(zygote)

    def order(self, pool: Pool, do: str) -> None:
        if do == control.KILL and self.cgroups is not None:
            self.cgroups.kill(pool.serial)
        zygote = self.roster.zygote(zygote_key(pool.row.vhost))
        if zygote is not None:
            self.roster.tell_zygote(zygote, {"do": do, "serial": pool.serial})

    def watch_channel(self, pool: Pool) -> None:
        if pool.channel is not None:
            self.watch.add(pool.channel, lambda: self.hear_pool(pool))

    def hear_pool(self, pool: Pool) -> None:
        """What a pool said.  Its site shares the file description: that may be empty by now, and blocking."""
        if pool.channel is None:
            return
        said = bytearray(8)
        try:
            os.preadv(pool.channel, [said], -1, os.RWF_NOWAIT)
            words = control.words_of(bytes(said))
        except BlockingIOError:
            return
        except Bug as error:
            self.table.silence(pool, f"sent {error}")
            return
        for word, times in words:
            self.table.says(pool, word, times)

    def watch_visitors(self, pool: Pool) -> None:
        """At the listener of a pool that crashed."""
        listener = pool.listener
        if listener is not None:
            self.watch.add(listener, lambda: self.has_visitors(listener, pool))

    def has_visitors(self, listener: socket.socket, pool: Pool) -> None:
        self.forget(listener)
        self.table.visitors(pool)

    def slept(self, pool: Pool) -> None:
        """A pool is gone: its end of its log with it."""
        row = pool.row
        if self.cgroups is not None:
            self.cgroups.forget(pool.serial)
        if row.current is pool or row.current is None:
            self.log.remove(log_key(row.vhost), {"do": "asleep", "index": row.vhost.index})
        self.with_private(row, PrivateZygotes.release)

    def forked(self, pool: Pool) -> None:
        """A zygote in a user namespace cannot lift the priority of a pool; root can, of a child of that zygote."""
        if self.privileged and nice_from_outside(self.config, pool.row.vhost):
            with contextlib.suppress(OSError):  # it ended already
                if process_status.read(pool.pid).parent == pool.zygote:
                    os.setpriority(os.PRIO_PROCESS, pool.pid, pool.row.vhost.nice)

    def rest(self, row: Row) -> None:
        """No pool accepts for this site: its pool_socket is watched again."""
        self.watch_external(row)
        self.with_private(row, PrivateZygotes.release)

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
        """The socket the site writes its log into: the socket, not the site, decides under which name."""
        order: dict[str, object] = {"do": "site", "index": vhost.index, "name": vhost.name}
        order.update(own_error=bool(vhost.error_log), own_access=bool(vhost.access_log))
        writer = self.log.stream(log_key(vhost), order, site_log_files(vhost))
        if self.log.is_cut_off(log_key(vhost)):
            self.note(f"{vhost.name}: nothing of its stdout and stderr is kept: it sent descriptors there")
        return writer

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
    """A site's socket among the log's sources."""
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
