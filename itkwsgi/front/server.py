"""The front as a whole: what its connections share, its listeners, the sweep over deadlines, and the drain at its end.

One coarse timer looks over all connections, and runs only while there are any.  Connections are bounded by the
descriptors this process may have, less what pools and bodies need: when a new one is one too many, the one that waits
longest for a request makes room, so the kernel's EMFILE is never met with an accept loop that cannot accept.
"""

from __future__ import annotations

import resource
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from itkwsgi import __version__
from itkwsgi.front.access import AccessLog
from itkwsgi.front.admission import Addresses, Admission
from itkwsgi.front.bodies import Spool
from itkwsgi.front.clock import Clock
from itkwsgi.front.connection import ClientConnection
from itkwsgi.front.http1.parser import Limits
from itkwsgi.front.lines import LineBatch, Notes
from itkwsgi.front.poller import Poller
from itkwsgi.front.pools import Pools
from itkwsgi.front.router import Router
from itkwsgi.front.waker import Waker

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from itkwsgi.front.settings import Listener, Settings

SWEEP_SECONDS = 0.5
BACKLOG = 511
# When draining: how long a connection that is kept alive may still send a request that was on its way.
DRAIN_IDLE_SECONDS = 1.0
# And how long until those are counted that the kernel had accepted for us just before.
DRAIN_FIRST_LOOK_SECONDS = 0.05
# Descriptors that are neither a client's nor a pool's: listeners, logs, the loop's, spooled bodies.
RESERVED_DESCRIPTORS = 128
# Whatever the descriptors permit: an idle connection takes some 5 kB.
MOST_CONNECTIONS = 20_000
# Of an answer, this much is taken from a child for a client that does not read; the second while buffer_memory is used
# up.
HIGH_WATER = 1024 * 1024
LOW_WATER = 64 * 1024
# Clients of a full address that get a page; beyond, they are just disconnected.
MOST_TURNED_AWAY = 64


@dataclass(frozen=True, slots=True)
class OpenListener:
    """A listener as a connection sees it.  ``port`` as text, for SERVER_PORT."""

    number: int
    scheme: str
    port: str


def pool_name(site: int) -> str:
    """The socket of a site's pool, in the directory of the pools, which is this process's."""
    return f"{site}.sock"


class Front:
    """Shared by all connections.  ``on_drained``: called once, when a drain is over."""

    def __init__(
        self,
        settings: Settings,
        loop: asyncio.AbstractEventLoop,
        channel: socket.socket,
        *,
        on_drained: Callable[[], None],
        on_orphaned: Callable[[], None],
        pool_path: Callable[[int], str] = pool_name,
        notes: Notes | None = None,
    ) -> None:
        self.settings = settings
        self.loop = loop
        self.now = loop.time
        self.limits = Limits(
            settings.limit_request_line, settings.limit_request_fields, settings.limit_request_field_size
        )
        self.server_field, self.software = server_names(settings.server_tokens)
        self.clock = Clock()
        self.notes = Notes() if notes is None else notes
        self._lines = LineBatch(settings.access_fd, loop, self.notes)
        self.access = AccessLog(self._lines, self.clock)
        self.router = Router(settings.sites, len(settings.listeners))
        self.spool = Spool(settings.spool_dir, settings.share(settings.spool_max))
        self.waker = Waker(channel, loop, settings.generation, on_stop=self.drain, on_orphaned=on_orphaned)
        self.admission = Admission(settings)
        self.poller = Poller(loop)
        self.pools = Pools(self.poller, self.admission, self.waker, pool_path)
        self.addresses = Addresses(settings.share(settings.max_connections_per_address))
        self.high_water = HIGH_WATER
        self.draining = False
        self._drain_looked_at = False
        self.waiting: dict[ClientConnection, None] = {}  # for a head, the longest first
        self.connections: dict[ClientConnection, bool] = {}  # and whether its address was counted
        self._turned_away = 0
        self._most_connections = most_connections(self.admission.capacity)
        self._servers: list[asyncio.Server] = []
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._on_drained: Callable[[], None] | None = on_drained

    # --- listening

    async def listen(self) -> None:
        """Accept on every inherited listener, then say so to the supervisor.  Raises OSError."""
        for number, listener in enumerate(self.settings.listeners):
            await self._listen_on(number, listener)
        self.waker.ready()

    async def _listen_on(self, number: int, listener: Listener) -> None:
        sock = socket.socket(fileno=listener.fd)
        sock.setblocking(False)
        facts = OpenListener(number, listener.scheme, listener.port)
        create = self.loop.create_unix_server if sock.family == socket.AF_UNIX else self.loop.create_server
        self._servers.append(await create(lambda: ClientConnection(self, facts), sock=sock, backlog=BACKLOG))

    # --- connections

    def opened(self, connection: ClientConnection) -> None:
        """A new connection: one of many, or one too many."""
        counted = self.addresses.enter(connection.address)
        self.connections[connection] = counted
        self.waiting[connection] = None
        if self._sweep_timer is None:
            self._sweep_timer = self.loop.call_later(SWEEP_SECONDS, self._sweep)
        if self.draining:
            connection.deadline = self.now() + DRAIN_IDLE_SECONDS
        if len(self.connections) > self._most_connections:
            longest = next(iter(self.waiting))
            del self.waiting[longest]
            longest.abort()
        elif not counted:
            self._turn_away(connection)

    def _turn_away(self, connection: ClientConnection) -> None:
        self._turned_away += 1
        if self._turned_away > MOST_TURNED_AWAY:
            connection.abort()
        else:
            connection.turn_away()

    def closed(self, connection: ClientConnection) -> None:
        """That connection is gone."""
        self.waiting.pop(connection, None)
        if self.connections.pop(connection):
            self.addresses.leave(connection.address)
        else:
            self._turned_away -= 1
        if self._drain_looked_at:
            self._look_at_drain()

    # --- time

    def _sweep(self) -> None:
        """Look at every deadline, and at the memory that slow readers take."""
        self._sweep_timer = None
        if not self.connections:
            return
        now = self.now()
        unsent = 0
        for connection in list(self.connections):
            unsent += connection.unsent
            if now >= connection.deadline:
                connection.overdue(now)
        self._bound_buffers(unsent)
        self._sweep_timer = self.loop.call_later(SWEEP_SECONDS, self._sweep)

    def _bound_buffers(self, unsent: int) -> None:
        """buffer_memory: beyond it slow readers slow their children, until half of it is free again."""
        room = self.settings.share(self.settings.buffer_memory)
        if self.high_water == HIGH_WATER and unsent > room:
            self.high_water = LOW_WATER
        elif self.high_water == LOW_WATER and unsent < room // 2:
            self.high_water = HIGH_WATER
        else:
            return
        for connection in self.connections:
            connection.limit_buffer(self.high_water)

    # --- the end

    def drain(self) -> None:
        """Accept nothing more, finish what is begun, for graceful_timeout at most; then ``on_drained``."""
        if self.draining:
            return
        self.draining = True
        for server in self._servers:
            server.close()
        soon = self.now() + DRAIN_IDLE_SECONDS
        for connection in self.waiting:
            if connection.is_idle:
                connection.deadline = min(connection.deadline, soon)
        self.loop.call_later(DRAIN_FIRST_LOOK_SECONDS, self._look_at_drain)
        self.loop.call_later(self.settings.graceful_timeout, self._time_is_up)

    def _look_at_drain(self) -> None:
        self._drain_looked_at = True
        if not self.connections:
            self._drained()

    def _time_is_up(self) -> None:
        for connection in list(self.connections):
            connection.abort()

    def _drained(self) -> None:
        done, self._on_drained = self._on_drained, None
        if done is not None:
            done()

    def close(self) -> None:
        """Write the last access lines and let go of everything."""
        for server in self._servers:
            server.close()
        for connection in list(self.connections):
            connection.abort()
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        self._lines.close()
        self.waker.close()
        self.poller.close()


def server_names(tokens: str) -> tuple[str | None, str]:
    """The Server field (None: none) and SERVER_SOFTWARE for a value of server_tokens."""
    if tokens == "full":
        return f"itkwsgi/{__version__}", f"itkwsgi/{__version__}"
    return (None if tokens == "off" else "itkwsgi"), "itkwsgi"


def most_connections(slots: int) -> int:
    """How many clients this process has descriptors for, when every slot needs one and a spooled body another."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(MOST_CONNECTIONS, max(16, soft - RESERVED_DESCRIPTORS - 2 * slots))
