"""The loop: the control channel first, then one read of each pipe that has something, then what is due.

Ends when the supervisor closes the control channel: then takes what is in the pipes and goes.
"""

from __future__ import annotations

import os
import selectors
import time
from functools import partial

from itkwsgi.linux.fds import receive_message
from itkwsgi.log import control
from itkwsgi.log.book import Book
from itkwsgi.log.sinks import Sink
from itkwsgi.log.sites import Site, Sites
from itkwsgi.log.sources import Source, access_source, line_source, site_source
from itkwsgi.wire.control import MAX_ORDER

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

LAST_SECONDS = 2.0  # for what is in the pipes at the end; the supervisor waits a little longer


class Daemon:
    """The log.  ``channel``: from the supervisor; ``stderr``: the operator's."""

    def __init__(self, channel: socket.socket, stderr: int = 2) -> None:
        channel.setblocking(False)
        self.channel = channel
        self.sites = Sites()
        self.book = Book(self.sites, Sink(stderr, "stderr"))
        self.sources: set[Source] = set()
        self.timed: set[Source] = set()  # those with something due
        self.over = False
        self.selector = selectors.DefaultSelector()
        self.selector.register(channel, selectors.EVENT_READ)

    def run(self) -> None:
        """Until the supervisor is gone.  Raises `Bug` when it speaks nonsense."""
        while not self.over:
            self.step()
        self.drain()

    def step(self) -> None:
        """Wait for something and do it."""
        ready = self.selector.select(self.patience())
        self.hear()
        now = time.monotonic()
        for key, _ in ready:
            if isinstance(key.fileobj, Source):
                key.fileobj.read(now)
                self.settle(key.fileobj)
        self.on_time(now)

    def patience(self) -> float | None:
        """Seconds until something is due."""
        times = [source.next_time() for source in self.timed]
        due = min((at for at in (*times, self.sites.next_time()) if at is not None), default=None)
        return None if due is None else max(0.0, due - time.monotonic())

    def on_time(self, now: float) -> None:
        """What is due."""
        self.sites.expire(now)
        for source in list(self.timed):
            source.on_time(now)
            self.settle(source)

    def settle(self, source: Source) -> None:
        """Watch a source as its state says."""
        watched = source.fd in self.selector.get_map()
        wanted = not source.ended and source.paused_until is None
        if wanted and not watched:
            self.selector.register(source, selectors.EVENT_READ)
        elif watched and not wanted:
            self.selector.unregister(source)
        if source.ended:
            self.sources.discard(source)
            self.timed.discard(source)
            source.close()
        elif source.next_time() is None:
            self.timed.discard(source)
        else:
            self.timed.add(source)

    def drain(self) -> None:
        """Write what is in the pipes, without waiting for more."""
        end = time.monotonic() + LAST_SECONDS
        for source in self.sources:
            source.drain(time.monotonic())
            if time.monotonic() > end:
                break

    # --- orders

    def hear(self) -> None:
        """Carry out what the supervisor says."""
        while not self.over:
            try:
                data, fds = receive_message(self.channel, MAX_ORDER, control.MAX_DESCRIPTORS)
            except BlockingIOError:
                return
            except ConnectionResetError:
                data, fds = b"", []
            if not data:
                self.over = True
                return
            control.obey(data, fds, self)

    def watch(self, source: Source) -> None:
        """Read this pipe from here on."""
        self.sources.add(source)
        self.settle(source)

    def use_files(self, error: int | None, access: int | None, limit: int) -> None:
        """The server's own files, and how much of one file one writer may fill."""
        self.book.use(error, access, limit)

    def learn_names(self, first: int, names: list[str]) -> None:
        """How sites are called that may never wake, yet have visitors that a front refuses."""
        self.sites.names.update(enumerate(names, first))

    def open_site(self, index: int, name: str, pipe: int, error: int | None, access: int | None) -> None:
        """A pool was started."""
        site = Site(index, name, error, access)
        self.sites.wake(site)
        write, give_up = partial(self.book.write_site, site), partial(self.book.tell_given_up, site)
        source = site_source(pipe, write, time.monotonic(), site.pipe_ended, give_up)
        source.slowed = partial(self.book.tell_slow, name, site)
        self.watch(source)

    def reopen_site(self, index: int, error: int | None, access: int | None) -> None:
        """Its logs were rotated.  A site that fell asleep meanwhile needs no files."""
        site = self.sites.awake(index)
        if site is not None:
            site.use(error, access)
            return
        for fd in (error, access):
            if fd is not None:
                os.close(fd)

    def site_asleep(self, index: int) -> None:
        """Its pool is gone; its pipe is read to its end all the same."""
        self.sites.fall_asleep(index, time.monotonic())

    def open_front(self, number: int, pipe: int) -> None:
        """Access lines.  A front that is started again gets a new pipe under its old number."""
        self.watch(access_source(pipe, self.book.write_access))

    def open_notes(self, name: str, pipe: int) -> None:
        """What the server's own parts write on stderr."""
        source = line_source(pipe, partial(self.book.write_notes, name), time.monotonic())
        source.slowed = partial(self.book.tell_slow, f"itkwsgi {name}")
        self.watch(source)
