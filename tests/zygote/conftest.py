"""A zygote in a fork, as an ordinary user, and the supervisor's end of its channel."""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
from pathlib import Path

import pytest

from itkwsgi.linux import fds
from itkwsgi.wire import control, orders
from itkwsgi.zygote import main
from tests.support.running import (
    PATIENCE,
    SMALL_SITE,
    Site,
    become_ordinary,
    become_plain,
    ended,
    forked,
    nobody_left,
    ordinary_ids,
)


class RunningZygote:
    """Started with these settings; ``run`` is what the fork does in the end."""

    def __init__(self, place, run, settings):
        self.place = place
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel.settimeout(PATIENCE)
        memory = fds.memfd_with(orders.encode(settings), "settings")
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        log = os.open(place / "zygote.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        places = {0: null, 1: log, 2: log, orders.CONTROL_FD: theirs.fileno(), orders.SETTINGS_FD: memory}
        self.pid = forked(become_ordinary, lambda: become_plain(places), run)
        theirs.close()
        for fd in (memory, null, log):
            os.close(fd)
        self.sites = []

    def heard(self):
        """Its next notice; None when it is gone."""
        data = self.channel.recv(control.NOTICE_SIZE + 1)
        return control.unpack_notice(data) if data else None

    def log(self):
        return (self.place / "zygote.log").read_text()

    def order(self, do, serial):
        fds.send_message(self.channel, orders.encode({"do": do, "serial": serial}))

    def spawn(self, serial=1, source=SMALL_SITE, **plan):
        """Order a pool; returns its site, when the order is sent."""
        place = self.place / str(serial)
        place.mkdir()
        place.chmod(0o755)
        site = Site(place, source)
        self.sites.append(site)
        whole = site.plan(**{**ordinary_ids(), "serial": serial, **plan})
        memory = fds.memfd_with(orders.encode(whole), "plan")
        handed = [site.listener.fileno(), site.pools_end, site.log_fd, memory]
        fds.send_message(self.channel, orders.encode({"do": orders.SPAWN, "serial": serial, "more": []}), handed)
        os.close(memory)
        site.let_go()
        return site

    def spawned(self, serial=1, source=SMALL_SITE, **plan):
        """A pool that serves; returns its site, which knows its pid."""
        site = self.spawn(serial, source, **plan)
        notice = self.heard()
        assert (notice.kind, notice.serial) == (control.SPAWNED, serial)
        assert [site.said(), site.said()] == [b"S", b"R"], site.log()
        site.pid = notice.pid
        return site

    def close(self):
        """As when the supervisor ends."""
        self.channel.close()
        for site in self.sites:
            site.close()


@pytest.fixture
def place():
    """A directory with a short path that every user may enter: sockets are bound in it."""
    with tempfile.TemporaryDirectory() as made:
        os.chmod(made, 0o755)
        yield Path(made)


@pytest.fixture
def zygote(place):
    """Start one zygote; at the end its channel is closed, and nothing that came from it is left."""
    started = []

    def start(run=main.run, **settings):
        one = RunningZygote(
            place,
            run,
            {
                "name": "system",
                "preload": [],
                "packages": False,
                "privileged": False,
                "uids": [],
                "gids": [],
                **settings,
            },
        )
        started.append(one)
        assert one.heard() == (control.ZYGOTE_READY, 0, 0, 0), one.log()
        return one

    with nobody_left():
        yield start
        for one in started:
            one.close()
            with contextlib.suppress(ChildProcessError, ProcessLookupError):
                ended(one.pid)
