"""A child that ran nothing sends the front to the next pool: the same request, whole, and not for ever."""

import contextlib
import time

import pytest

from itkwsgi.front.upstream import MOST_WAKES
from itkwsgi.wire import fastcgi


class Renewed:
    """A pool that says AGAIN so many times, and then answers."""

    def __init__(self, times, *, read_first=True):
        self.times = times
        self.read_first = read_first
        self.asked = 0
        self.answered = []

    def __call__(self, connection):
        self.asked += 1
        if self.asked <= self.times:
            if self.read_first:
                connection.read_body()
            connection.raw(fastcgi.encode_end_request(protocol_status=fastcgi.AGAIN))
            return
        body = connection.read_body()
        self.answered.append((connection.params["REQUEST_METHOD"], len(body)))
        connection.answer(str(len(body)).encode())


def post(client, size):
    client.send(b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
    return client.read("POST")


@pytest.mark.parametrize("size", [0, 10, 300_000])
@pytest.mark.parametrize("times", [1, 3])
def test_the_next_pool_gets_all_of_the_request(client, pool, front, size, times):
    pool.behave = renewed = Renewed(times)
    answer = post(client, size) if size else client.ask("/")
    assert (answer.status, answer.text) == (200, str(size))
    assert renewed.answered == [("POST" if size else "GET", size)] and renewed.asked == times + 1
    assert client.ask("/").status == 200


def test_it_may_be_said_before_the_body_was_read(client, pool):
    pool.behave = renewed = Renewed(1, read_first=False)
    assert post(client, 300_000).text == "300000"
    assert renewed.asked == 2


def test_not_for_ever(client, pool, front):
    pool.behave = renewed = Renewed(1000)
    assert client.ask("/").status == 502
    assert renewed.asked == MOST_WAKES + 1
    assert "protocol status 64" in front.notes()


@pytest.mark.parametrize("some", [b"Sta", b"Status: 200 OK\r\n\r\nbegun"])
@pytest.mark.parametrize("apart", [False, True])
def test_not_once_an_answer_has_begun(client, pool, front, some, apart):
    asked = []

    def behave(connection):
        asked.append(connection.read_body())
        connection.raw(fastcgi.encode_stdout(some))
        if apart:
            time.sleep(0.2)
        connection.raw(fastcgi.encode_end_request(protocol_status=fastcgi.AGAIN))

    pool.behave = behave
    client.get()
    with contextlib.suppress(ConnectionResetError):
        client.read()
    assert len(asked) == 1 and "protocol status 64" in front.notes()
