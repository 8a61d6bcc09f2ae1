"""What the loop listens to."""

import socket

import pytest

from itkwsgi.supervisor.watch import Watch


@pytest.fixture
def watch():
    made = Watch()
    yield made
    made.selector.close()


@pytest.fixture
def pairs():
    made = [socket.socketpair() for _ in range(2)]
    yield made
    for ours, theirs in made:
        ours.close()
        theirs.close()


def one_round(watch, seconds):
    watch.handle(watch.wait(seconds))


def test_a_handler_is_called_when_there_is_something_to_read(watch, pairs):
    (first, first_end), (second, _) = pairs
    called = []
    watch.add(first, lambda: called.append("first"))
    watch.add(second.fileno(), lambda: called.append("second"))
    one_round(watch, 0)
    assert called == []
    first_end.send(b"!")
    one_round(watch, 1)
    assert called == ["first"]


def test_what_is_forgotten_is_not_called(watch, pairs):
    (first, first_end), _ = pairs
    watch.add(first, lambda: 1 / 0)
    assert watch.has(first)
    watch.forget(first)
    assert not watch.has(first)
    first_end.send(b"!")
    one_round(watch, 0)


def test_forgetting_again_or_what_was_closed_is_no_error(watch, pairs):
    (first, _), (second, _) = pairs
    watch.add(first, lambda: None)
    watch.forget(first)
    watch.forget(first)
    watch.forget(second)
    first.close()
    watch.forget(first)
    assert not watch.has(first)


def test_a_handler_may_forget_another_of_the_same_round(watch, pairs):
    (first, first_end), (second, second_end) = pairs
    called = []

    def handler(own, other):
        called.append(own)
        watch.forget(other)
        other.close()

    watch.add(first, lambda: handler(first, second))
    watch.add(second, lambda: handler(second, first))
    for end in (first_end, second_end):
        end.send(b"!")
    one_round(watch, 1)
    assert len(called) == 1
    one_round(watch, 0)
    assert len(called) == 2


def test_a_handler_may_watch_something_new(watch, pairs):
    (first, first_end), (second, second_end) = pairs
    called = []

    def begin():
        first.recv(1)
        watch.add(second, lambda: called.append("second"))

    watch.add(first, begin)
    first_end.send(b"!")
    second_end.send(b"!")
    one_round(watch, 1)
    one_round(watch, 1)
    assert called == ["second"]
