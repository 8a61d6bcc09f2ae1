"""A configured site as root holds it, the pool process that may belong to it, and what a table of them needs done."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

from itkwsgi.supervisor.restart import LONGEST_PAUSE, Backoff

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from itkwsgi.config.model import Vhost

# An import that used less CPU than this in HANG_SECONDS hangs, and stops counting among those that run.
HANG_SECONDS = 2.0
HANG_CPU_SECONDS = 0.01
# What a pool may say: its start, and then idle and active once a second each.
MOST_WORDS = 20
WORDS_PER_SECOND = 4.0

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
    def spawn(self, pool: Pool) -> bool: ...
    def order(self, pool: Pool, do: str) -> None: ...
    def watch_channel(self, pool: Pool) -> None: ...
    def watch_visitors(self, pool: Pool) -> None: ...
    def forget(self, sock: socket.socket | int) -> None: ...
    def forked(self, pool: Pool) -> None: ...
    def slept(self, pool: Pool) -> None: ...
    def rest(self, row: Row) -> None: ...
    def stuck(self, pool: Pool) -> None: ...
    def listen(self, row: Row) -> socket.socket: ...
    def unlisten(self, row: Row) -> None: ...
    def tell(self, front: int, kind: int, index: int) -> None: ...
    def note(self, text: str) -> None: ...
    def cpu_seconds(self, pid: int) -> float: ...


class Pool:
    """One pool process, from the order on.

    ``channel`` is an eventfd(2), in which the pool counts up: see `wire.orders.PoolState`.
    """

    __slots__ = (
        "asked_to_leave",
        "channel",
        "cpu",
        "doomed",
        "hanging",
        "idle_since",
        "listener",
        "pid",
        "row",
        "sampled",
        "serial",
        "started",
        "state",
        "words",
        "zygote",
    )

    def __init__(self, row: Row, serial: int, listener: socket.socket, now: float) -> None:
        self.row = row
        self.serial = serial
        self.listener: socket.socket | None = listener
        self.channel: int | None = None
        self.state = ORDERED
        self.pid = 0
        self.started = now
        self.idle_since: float | None = None
        self.sampled = now
        self.cpu = 0.0
        self.hanging = False
        self.asked_to_leave = False
        self.doomed = False  # its end was ordered
        self.words = 0  # how many it said
        self.zygote = 0  # the pid of the one that was told to fork it

    def hangs(self, ports: Ports) -> bool:
        """Did it use no CPU for `HANG_SECONDS`?"""
        now = ports.now()
        if now - self.sampled >= HANG_SECONDS:
            used = ports.cpu_seconds(self.pid) if self.pid else 0.0
            self.hanging = used - self.cpu < HANG_CPU_SECONDS
            self.sampled, self.cpu = now, used
        return self.hanging

    def talks_without_end(self, now: float, times: int) -> bool:
        """It said another word, so often: too often?"""
        self.words += times
        return self.words > MOST_WORDS + WORDS_PER_SECOND * (now - self.started)


class Row:
    """A configured site.  Asleep it is this and nothing more."""

    __slots__ = (
        "backoff",
        "current",
        "external",
        "fresh",
        "not_before",
        "queued",
        "turns",
        "vhost",
        "visited",
        "waiting",
    )

    def __init__(self, vhost: Vhost) -> None:
        self.vhost = vhost
        self.current: Pool | None = None
        self.external: socket.socket | None = None
        self.waiting: set[int] = set()  # fronts to be told
        self.queued = False
        self.turns = 0  # how often it was queued
        self.visited = 0.0  # when a visitor at `external` started it last
        self.not_before = 0.0
        self.backoff: Backoff | None = None
        self.fresh = False  # each of its pools is to be an interpreter of its own: a process of it crashed

    def back_off(self, now: float, longest: float = LONGEST_PAUSE) -> float:
        """It failed: returns the seconds until it may be tried again, at most so many."""
        self.backoff = self.backoff or Backoff()
        pause = min(self.backoff.failed(now), longest)
        self.not_before = now + pause
        return pause


def how_it_ended(status: int | None) -> str:
    """A wait status in words."""
    if status is None:
        return "went with its zygote, or could not be forked"
    if os.WIFSIGNALED(status):
        return f"was ended by signal {os.WTERMSIG(status)}"
    return f"exited with status {os.WEXITSTATUS(status)}"
