"""The control channel, against a supervisor's end of it."""

import socket

import pytest
import uvloop

from itkwsgi.front.waker import Waker
from itkwsgi.wire import control

GENERATION = 7


class Sleeper:
    def __init__(self):
        self.heard = []

    def pool_is_awake(self):
        self.heard.append("awake")

    def pool_is_refused(self, *, later):
        self.heard.append("later" if later else "refused")


class End:
    """A waker on a loop, and the supervisor's end of its channel."""

    def __init__(self):
        self.loop = uvloop.new_event_loop()
        self.supervisor, channel = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.supervisor.setblocking(False)
        self.events = []
        self.waker = Waker(
            channel,
            self.loop,
            GENERATION,
            on_stop=lambda: self.events.append("stop"),
            on_orphaned=lambda: self.events.append("orphaned"),
        )

    def turn(self):
        self.loop.call_later(0.02, self.loop.stop)
        self.loop.run_forever()

    def said(self):
        """What the supervisor was told."""
        messages = []
        try:
            while data := self.supervisor.recv(64):
                messages.append(control.unpack(data, control.FRONT_MAY_SAY))
        except BlockingIOError:
            return messages
        return messages

    def tell(self, kind, index=0, generation=GENERATION):
        self.supervisor.send(control.pack(kind, index, generation))
        self.turn()

    def close(self):
        self.waker.close()
        self.supervisor.close()
        self.loop.close()


@pytest.fixture
def end():
    one = End()
    yield one
    one.close()


def test_ready(end):
    end.waker.ready()
    assert end.said() == [(control.READY, 0, GENERATION)]


@pytest.mark.parametrize(
    ("kind", "heard"), [(control.AWAKE, "awake"), (control.REFUSED, "refused"), (control.LATER, "later")]
)
def test_many_sleepers_one_wake(end, kind, heard):
    sleepers = [Sleeper() for _ in range(5)]
    for sleeper in sleepers:
        end.waker.wait(3, sleeper)
    assert end.said() == [(control.WAKE, 3, GENERATION)]
    end.tell(kind, 3)
    assert [sleeper.heard for sleeper in sleepers] == [[heard]] * 5
    end.tell(kind, 3)
    assert sleepers[0].heard == [heard]


def test_sites_are_apart(end):
    a, b = Sleeper(), Sleeper()
    end.waker.wait(0, a)
    end.waker.wait(1, b)
    end.tell(control.AWAKE, 1)
    assert (a.heard, b.heard) == ([], ["awake"])


def test_who_forgot_hears_nothing_and_is_not_asked_for_again(end):
    gone, later = Sleeper(), Sleeper()
    end.waker.wait(0, gone)
    end.waker.forget(0, gone)
    end.waker.forget(5, gone)
    end.waker.wait(0, later)
    assert len(end.said()) == 1
    end.tell(control.AWAKE, 0)
    assert (gone.heard, later.heard) == ([], ["awake"])


def test_who_waits_again_asks_again(end):
    class Insomniac(Sleeper):
        def pool_is_awake(self):
            super().pool_is_awake()
            if len(self.heard) < 2:
                end.waker.wait(0, self)

    sleeper = Insomniac()
    end.waker.wait(0, sleeper)
    end.tell(control.AWAKE, 0)
    end.tell(control.AWAKE, 0)
    assert sleeper.heard == ["awake", "awake"]
    assert len(end.said()) == 2


def test_another_generation_is_not_meant(end):
    sleeper = Sleeper()
    end.waker.wait(0, sleeper)
    end.tell(control.AWAKE, 0, GENERATION - 1)
    assert sleeper.heard == []


def test_stop_and_the_end(end):
    end.tell(control.STOP)
    assert end.events == ["stop"]
    end.supervisor.close()
    end.turn()
    assert end.events == ["stop", "orphaned"]


def test_saying_something_to_nobody_is_no_error(end):
    end.supervisor.close()
    end.waker.wait(0, Sleeper())
    end.turn()
    assert end.events == ["orphaned"]


def test_a_full_channel_is_filled_later(end):
    for index in range(2000):
        end.waker.wait(index, Sleeper())
    messages = end.said()
    assert len(messages) < 2000
    for _ in range(100):
        end.turn()
        messages += end.said()
        if len(messages) == 2000:
            break
    assert [message.index for message in messages] == list(range(2000))
