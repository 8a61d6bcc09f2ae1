"""The poller, on a loop."""

import socket

import pytest
import uvloop

from itkwsgi.front.poller import HANGUP, READ, WRITE, Poller


class Watched:
    """A poller, and both ends of a connection."""

    def __init__(self):
        self.loop = uvloop.new_event_loop()
        self.poller = Poller(self.loop)
        self.ours, self.theirs = socket.socketpair()
        self.seen = []

    def turn(self):
        self.loop.call_later(0.02, self.loop.stop)
        self.loop.run_forever()
        seen, self.seen = self.seen, []
        return seen

    def note(self, events):
        """Once is enough: what is not dealt with comes again and again."""
        self.seen.append(events)
        self.poller.remove(self.ours.fileno())

    def close(self):
        self.poller.close()
        self.loop.close()
        self.ours.close()
        self.theirs.close()


@pytest.fixture
def watched():
    one = Watched()
    yield one
    one.close()


def test_reading(watched):
    watched.poller.add(watched.ours.fileno(), READ, watched.note)
    assert watched.turn() == []
    watched.theirs.send(b"x")
    assert watched.turn() == [READ]
    assert watched.turn() == []


def test_writing(watched):
    watched.poller.add(watched.ours.fileno(), READ, watched.note)
    watched.poller.change(watched.ours.fileno(), READ | WRITE)
    assert watched.turn() == [WRITE]


def test_the_other_end_closed(watched):
    watched.poller.add(watched.ours.fileno(), READ, watched.note)
    watched.theirs.send(b"x")
    watched.theirs.close()
    assert watched.turn() == [READ | HANGUP]


def test_a_closed_descriptor_is_forgotten_and_its_number_can_be_used_again(watched):
    number = watched.ours.fileno()
    watched.poller.add(number, READ, watched.note)
    watched.theirs.send(b"x")
    watched.poller.forget(number)
    watched.ours.close()
    assert watched.turn() == []
    again, other = socket.socketpair()
    with again, other:
        seen = []
        watched.poller.add(
            again.fileno(), WRITE, lambda events: (seen.append(events), watched.poller.remove(again.fileno()))
        )
        watched.turn()
        assert seen == [WRITE]


def test_one_callback_may_close_another(watched):
    first, second = socket.socketpair()
    seen = []

    def take_both(events):
        seen.append(events)
        for fd in (watched.ours.fileno(), first.fileno()):
            watched.poller.remove(fd)

    with first, second:
        watched.poller.add(watched.ours.fileno(), READ, take_both)
        watched.poller.add(first.fileno(), READ, take_both)
        watched.theirs.send(b"x")
        second.send(b"x")
        watched.turn()
    assert seen == [READ]
