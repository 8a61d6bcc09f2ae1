"""The front as a whole: draining, too many connections, memory, several listeners."""

import os
import resource
import subprocess
import sys
import threading
import time

import pytest

from itkwsgi.front import server as module
from itkwsgi.wire import control


def test_ready_is_said_once(front):
    assert front.supervisor.count(control.READY) == 1


def test_draining_finishes_what_is_begun(front, client, pool):
    release = threading.Event()

    def wait(connection):
        release.wait(10)
        connection.answer(b"whole")

    pool.behave = wait
    client.get()
    idle = front.connect()
    assert idle.ask(host="b.example").status == 200
    front.supervisor.tell(control.STOP)
    assert idle.at_end()
    with pytest.raises(OSError, match="refused"):
        front.connect()
    assert not front.drained.is_set()
    release.set()
    answer = client.read()
    assert (answer.body, answer["connection"]) == (b"whole", "close")
    client.close()
    assert front.drained.wait(5)


def test_a_request_that_was_on_its_way_when_draining_began_is_served(front, client):
    assert client.ask().status == 200
    front.supervisor.tell(control.STOP)
    front.in_loop(lambda: None)
    answer = client.ask()
    assert (answer.status, answer["connection"]) == (200, "close")
    assert client.at_end()
    assert front.drained.wait(5)


def test_a_connection_that_is_accepted_while_draining_begins_is_served(front):
    client = front.in_loop(lambda: (front.connect(), front.supervisor.tell(control.STOP))[0])
    try:
        client.get()
        answer = client.read()
    except (ConnectionError, EOFError):
        return  # the listener was closed first; in a server another front's is open
    assert (answer.status, answer["connection"]) == (200, "close")
    assert front.drained.wait(5)


def test_draining_with_nothing_to_do_is_done_at_once(front):
    front.supervisor.tell(control.STOP)
    assert front.drained.wait(1)


def test_draining_ends_with_graceful_timeout(start_front, patiently):
    front = start_front(graceful_timeout=0.3)
    front.add_pool().behave = lambda connection: connection.hung_up()
    client = front.connect()
    client.get()
    patiently(lambda: front.pools[0].requests)
    front.supervisor.tell(control.STOP)
    begun = time.monotonic()
    assert front.drained.wait(5)
    assert time.monotonic() - begun > 0.2


def test_a_supervisor_that_is_gone_is_told(front):
    front.supervisor.close()
    assert front.orphaned.wait(5)


def test_one_connection_too_many_of_an_address_gets_a_page(start_front, patiently):
    front = start_front(max_connections_per_address=2)
    front.add_pool()
    clients = [front.connect() for _ in range(2)]
    assert [client.ask().status for client in clients] == [200, 200]
    refused = front.connect()
    refused.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
    answer = refused.read()
    assert (answer.status, answer["retry-after"], answer["connection"]) == (503, "2", "close")
    assert refused.at_end()
    refused.close()
    assert front.connect_unix().ask().status == 200  # counted nowhere
    clients[0].close()
    patiently(lambda: front.in_loop(lambda: len(front.front.connections)) == 2)
    assert front.connect().ask().status == 200


def test_many_too_many_are_just_disconnected(start_front, monkeypatch):
    monkeypatch.setattr(module, "MOST_TURNED_AWAY", 1)
    front = start_front(max_connections_per_address=1)
    clients = [front.connect() for _ in range(3)]
    assert clients[1].read().status == 503
    assert clients[2].rest() == b""


def test_when_descriptors_are_short_the_longest_waiting_makes_room(front, patiently):
    front.in_loop(lambda: setattr(front.front, "_most_connections", 3))
    clients = []
    for _ in range(3):
        clients.append(front.connect())
        assert clients[-1].ask().status == 200
    release = threading.Event()

    def wait(connection):
        release.wait(5)
        connection.answer(b"kept")

    front.pools[0].behave = wait
    clients[0].get()  # the oldest, and at work
    patiently(lambda: front.pools[0].open == 1)
    newest = front.connect()
    assert newest.ask(host="b.example").status == 200
    assert clients[1].rest() == b""
    assert clients[2].ask(host="b.example").status == 200
    release.set()
    assert clients[0].read().body == b"kept"


CROWD = """
import socket, sys, time
crowd = [socket.create_connection(("127.0.0.1", int(sys.argv[1]))) for _ in range(40)]
time.sleep(1.0)
"""


def test_without_descriptors_nothing_spins_and_it_heals(front, client):
    assert client.ask().status == 200
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    crowd = subprocess.Popen([sys.executable, "-c", CROWD, str(front.port)])
    used = max(map(int, os.listdir("/proc/self/fd")))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 10, before[1]))
    try:
        cpu = time.process_time()
        assert crowd.wait(10) == 0
        assert time.process_time() - cpu < 0.5
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert front.in_loop(lambda: len(front.front.connections)) < 20
    assert front.connect().ask().status == 200


@pytest.mark.parametrize(
    ("limit", "slots", "most"), [(1024, 256, 384), (1024, 1000, 16), (1 << 20, 256, module.MOST_CONNECTIONS)]
)
def test_descriptors_leave_room_for_pools(monkeypatch, limit, slots, most):
    monkeypatch.setattr(module.resource, "getrlimit", lambda _: (limit, limit))
    assert module.most_connections(slots) == most


def test_buffer_memory_bounds_what_slow_readers_take(start_front, patiently):
    front = start_front(buffer_memory=1_000_000)
    front.add_pool().behave = lambda connection: connection.answer(b"x" * 900_000)
    first = [front.connect_unix() for _ in range(2)]
    for client in first:
        client.get()
    patiently(lambda: front.in_loop(lambda: front.front.high_water) == module.LOW_WATER)
    late = front.connect_unix()
    late.get()
    time.sleep(0.3)
    unsent = sorted(front.in_loop(lambda: [one.unsent for one in front.front.connections]))
    assert unsent[0] < 200_000
    for client in (*first, late):
        assert len(client.read().body) == 900_000
    patiently(lambda: front.in_loop(lambda: front.front.high_water) == module.HIGH_WATER)


def test_sites_answer_on_their_listeners_alone(start_front, make_site_row):
    front = start_front(
        sites=[make_site_row(0, "a.example", listeners=[0]), make_site_row(1, "b.example", listeners=[1], default=True)]
    )
    front.add_pool(0)
    front.add_pool(1)
    assert [front.connect().ask(host=host).status for host in ("a.example", "b.example")] == [200, 421]
    assert front.connect_unix().ask(host="a.example").status == 200
    assert len(front.pools[1].requests) == 1


@pytest.mark.parametrize("cut", [True, False])
def test_connections_that_are_reset_at_once_leave_nothing(front, cut, patiently):
    for _ in range(50):
        client = front.connect()
        if cut:
            client.send("GET / HTTP/1.1\r\nHo")
        client.reset()
    assert front.connect().ask().status == 200
    patiently(lambda: front.in_loop(lambda: len(front.front.connections)) == 1)
    assert front.in_loop(lambda: len(front.front.waiting)) == 1
