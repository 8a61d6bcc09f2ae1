"""A configured site as root holds it, the pool process that may belong to it, and what a table of them needs done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from itkwsgi.supervisor.restart import Backoff

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from itkwsgi.config.model import Vhost

ORDERED = "ordered"
IMPORTING = "importing"
SERVING = "serving"
BROKEN = "broken"
LEAVING = "leaving"
CRASHED = "crashed"


class Ports(Protocol):
    """What the table needs done; the supervisor does it, a test records it."""

    def now(self) -> float: ...
    def after(self, seconds: float, callback: Callable[[], None]) -> None: ...
    def can_spawn(self, row: Row) -> bool: ...
    def spawn(self, pool: Pool, channel: socket.socket) -> bool: ...
    def order(self, pool: Pool, do: str) -> None: ...
    def watch_channel(self, pool: Pool) -> None: ...
    def watch_visitors(self, pool: Pool) -> None: ...
    def forget(self, sock: socket.socket) -> None: ...
    def slept(self, pool: Pool) -> None: ...
    def listen(self, row: Row) -> socket.socket: ...
    def unlisten(self, row: Row) -> None: ...
    def tell(self, front: int, kind: int, index: int) -> None: ...
    def note(self, text: str) -> None: ...
    def cpu_seconds(self, pid: int) -> float: ...


class Pool:
    """One pool process, from the order on."""

    __slots__ = (
        "channel",
        "cpu",
        "hanging",
        "idle_since",
        "listener",
        "pid",
        "row",
        "sampled",
        "serial",
        "started",
        "state",
    )

    def __init__(self, row: Row, serial: int, listener: socket.socket, now: float) -> None:
        self.row = row
        self.serial = serial
        self.listener: socket.socket | None = listener
        self.channel: socket.socket | None = None
        self.state = ORDERED
        self.pid = 0
        self.started = now
        self.idle_since: float | None = None
        self.sampled = now
        self.cpu = 0.0
        self.hanging = False


class Row:
    """A configured site.  Asleep it is this and nothing more."""

    __slots__ = ("backoff", "current", "external", "not_before", "queued", "vhost", "waiting")

    def __init__(self, vhost: Vhost) -> None:
        self.vhost = vhost
        self.current: Pool | None = None
        self.external: socket.socket | None = None
        self.waiting: set[int] = set()  # fronts to be told
        self.queued = False
        self.not_before = 0.0
        self.backoff: Backoff | None = None
