"""Configurations as the loader would make them, and the other processes as pairs of sockets."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
from pathlib import Path

import pytest

from itkwsgi.config.model import Config, PoolSocket
from itkwsgi.linux import process_status
from itkwsgi.supervisor import places as places_module
from itkwsgi.supervisor.roles import Role
from tests.support.bench import Bench
from tests.support.configured import LISTEN, make_server
from tests.support.daemon import wait_until
from tests.support.running import PATIENCE, ended, forked, nobody_left


@pytest.fixture
def base():
    """A directory of ours with a short path, whose parents are safe: sockets are bound below it."""
    with tempfile.TemporaryDirectory() as made:
        os.chmod(made, 0o755)
        yield Path(made)


@pytest.fixture
def configured(base):
    """Make a configuration of these vhosts; keys are those of [server]."""

    def make(*vhosts, environments=(), listens=(LISTEN,), **server):
        named = {each.name: each for each in environments}
        return Config(f"{base}/itk.toml", make_server(base, **server), named, vhosts, (), tuple(listens))

    return make


@pytest.fixture
def where(configured):
    """The server's directories, made."""
    return places_module.prepare(configured(), privileged=False)


class Peer:
    """A role of which only the channel and a process that sleeps are real."""

    def __init__(self, kind, key):
        self.pid = forked(signal.pause)
        # Until then it uses processor time, which looks as if it were at work.
        wait_until(lambda: process_status.read(self.pid).state == "S", what="its sleep")
        ours, self.end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        self.end.settimeout(PATIENCE)
        self.role = Role(kind, key, self.pid, ours)
        self.reaped = False

    def ended(self):
        """Its wait status, once it ended: negative for a signal."""
        self.reaped = True
        return ended(self.pid)

    def close(self):
        self.role.channel.close()
        self.end.close()
        if not self.reaped:
            os.kill(self.pid, signal.SIGKILL)
            self.ended()


@pytest.fixture
def peer():
    """Make roles that do nothing; all are ended."""
    made = []

    def make(kind, key="", *, ready=True):
        made.append(Peer(kind, key))
        made[-1].role.ready = ready
        return made[-1]

    with nobody_left():
        yield make
        for each in made:
            each.close()


@pytest.fixture
def bench(configured, where, peer):
    """Make a keeper for these vhosts."""
    made = []

    def make(*vhosts, **server):
        made.append(Bench(configured(*vhosts, **server), where, peer))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def external(base):
    return PoolSocket(f"{base}/external.sock", os.getuid(), os.getgid(), 0o600)
