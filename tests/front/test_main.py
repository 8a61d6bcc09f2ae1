"""The process: started as the supervisor starts it."""

import http.client
import json
import os
import socket
import subprocess
import sys

import pytest

from itkwsgi.front.__main__ import IGNORED, ORPHANED_STATUS
from itkwsgi.wire import control


class Process:
    def __init__(self, place, settings):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.supervisor, channel = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.supervisor.settimeout(20)
        memory = os.memfd_create("settings")
        os.write(memory, json.dumps(settings(self.port)).encode())
        os.lseek(memory, 0, os.SEEK_SET)
        self.access, access = os.pipe()
        places = {3: channel.fileno(), 4: memory, 5: self.listener.fileno(), 9: access}
        self.process = subprocess.Popen(
            [sys.executable, "-c", STARTER, json.dumps(places)],
            cwd=place,
            env={},
            pass_fds=list(places.values()),
            stderr=subprocess.PIPE,
        )
        channel.close()
        os.close(memory)
        os.close(access)

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        self.process.stderr.close()
        self.listener.close()
        self.supervisor.close()
        os.close(self.access)


# Puts the descriptors where they belong and becomes the front.
STARTER = """
import json, os, sys
places = {int(target): os.dup(os.dup(source)) for target, source in json.loads(sys.argv[1]).items()}
places = {target: os.dup2(source, 100 + target) for target, source in places.items()}
for target, source in places.items():
    os.dup2(source, target)
os.execv(sys.executable, [sys.executable, "-I", "-m", "itkwsgi.front", " " * 100])
"""


@pytest.fixture
def settings(make_site_row, place):
    def make(port):
        return {
            "generation": 1,
            "fronts": 1,
            "listeners": [{"fd": 5, "text": f"127.0.0.1:{port}", "scheme": "http"}],
            "sites": [make_site_row(0, "a.example", broken="on purpose")],
            "keepalive_timeout": 5.0,
            "header_timeout": 20.0,
            "body_timeout": 20.0,
            "body_min_rate": 500,
            "limit_request_line": 8190,
            "limit_request_fields": 100,
            "limit_request_field_size": 8190,
            "max_clients": 256,
            "max_connections_per_address": 256,
            "server_tokens": "prod",
            "spool_dir": place,
            "spool_max": 1 << 30,
            "graceful_timeout": 30.0,
            "access_fd": 9,
        }

    return make


@pytest.fixture
def process(place, settings):
    one = Process(place, settings)
    yield one
    one.end()


def ask(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/", headers={"Host": "a.example", "Connection": "close"})
    status = connection.getresponse().status
    connection.close()
    return status


def ready(process):
    message = control.unpack(process.supervisor.recv(64))
    assert (message.kind, message.generation) == (control.READY, 1)


def test_a_whole_life(process):
    ready(process)
    assert ask(process.port) == 500
    with open(f"/proc/{process.process.pid}/cmdline", "rb") as file:
        assert file.read().startswith(b"itkwsgi: front")
    process.supervisor.send(control.pack(control.STOP, 0, 1))
    assert process.process.wait(10) == 0
    assert os.read(process.access, 1000).startswith(b"0 127.0.0.1 - - ")
    assert b"on purpose" in process.process.stderr.read()


def test_without_a_supervisor_it_ends_at_once(process):
    ready(process)
    process.supervisor.close()
    assert process.process.wait(5) == ORPHANED_STATUS


def test_signals_are_not_for_it(process):
    ready(process)
    for number in IGNORED:
        for _ in range(20):
            process.process.send_signal(number)
    assert ask(process.port) == 500
    assert process.process.poll() is None


def test_nonsense_from_the_supervisor_ends_it(process):
    ready(process)
    process.supervisor.send(b"nonsense")
    assert process.process.wait(5) == 70
    assert b"Bug" in process.process.stderr.read()


def test_settings_of_another_version_are_not_served(place, settings):
    one = Process(place, lambda port: {**settings(port), "new": 1})
    assert one.process.wait(10) == 1
    assert b"Settings has no new" in one.process.stderr.read()
    one.end()
