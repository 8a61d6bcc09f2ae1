"""The roles that run, and how each is told something."""

import os
import signal

import pytest

from itkwsgi.linux import fds
from itkwsgi.supervisor.roster import Roster
from itkwsgi.wire import control, orders


@pytest.fixture
def roster(peer):
    """A roster, its notes and a way to add a role to it."""
    notes = []
    made = Roster(notes.append)
    made.notes = notes

    def add(*args, **kwargs):
        one = peer(*args, **kwargs)
        made.roles[one.pid] = one.role
        return one

    made.add = add
    return made


def test_roles_by_kind_and_key(roster):
    front, bare, flask = roster.add("front", "0"), roster.add("zygote", ""), roster.add("zygote", "flask", ready=False)
    assert roster.of_kind("front") == [front.role]
    assert roster.of_kind("zygote") == [bare.role, flask.role]
    assert roster.zygote("") is bare.role
    assert roster.zygote("flask") is None
    assert roster.zygote("other") is None
    assert not roster.all_ready()
    flask.role.ready = True
    assert roster.zygote("flask") is flask.role
    assert roster.all_ready()
    assert [str(one.role) for one in (front, bare, flask)] == ["front 0", "zygote", "zygote flask"]


def test_a_front_is_told(roster):
    front = roster.add("front", "0")
    roster.tell_front(front.pid, control.AWAKE, 3, 1)
    assert control.unpack(front.end.recv(100)) == (control.AWAKE, 3, 1)
    assert roster.notes == []


def test_a_front_that_is_gone_is_nobody(roster):
    roster.tell_front(os.getpid(), control.AWAKE, 3, 1)
    assert roster.notes == []


def test_a_front_that_takes_nothing_is_ended(roster):
    front = roster.add("front", "0")
    for _ in range(100000):
        roster.tell_front(front.pid, control.AWAKE, 3, 1)
        if roster.notes:
            break
    assert roster.notes == [f"front 0 ({front.pid}) takes no messages (Resource temporarily unavailable); it is ended"]
    assert front.ended() == -signal.SIGKILL


def test_a_zygote_gets_orders_and_descriptors(roster):
    zygote = roster.add("zygote")
    reader, writer = os.pipe()
    assert roster.tell_zygote(zygote.role, {"do": orders.SPAWN, "plan": {"serial": 1}}, [writer])
    data, received = fds.receive_message(zygote.end, orders.MAX_ORDER, 4)
    assert orders.decode_order(data) == {"do": orders.SPAWN, "plan": {"serial": 1}}
    for fd in (writer, *received):
        os.close(fd)
    assert len(received) == 1
    assert os.read(reader, 1) == b""  # nobody else had it
    os.close(reader)


def test_a_zygote_that_takes_no_order_is_ended(roster):
    zygote = roster.add("zygote", "flask")
    zygote.end.close()
    assert not roster.tell_zygote(zygote.role, {"do": orders.KILL, "serial": 1})
    assert roster.notes == [f"zygote flask ({zygote.pid}) takes no orders (Broken pipe); it is ended"]
    assert zygote.ended() == -signal.SIGKILL
