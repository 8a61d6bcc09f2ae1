"""Descriptors that a site sends with its bytes: to take one may take for ever, so none is taken."""

import errno
import socket
import time
from types import SimpleNamespace

import pytest

from itkwsgi.front import pools as module
from itkwsgi.front.pools import Pools
from itkwsgi.linux import fds
from tests.support.bomb import LONG


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    yield ours, theirs
    for sock in (ours, theirs):  # whoever left a bomb in a queue has defused it
        sock.close()


@pytest.fixture
def old_kernel(monkeypatch):
    monkeypatch.setattr(module, "kernel_refuses_descriptors", lambda: False)


@pytest.fixture(autouse=True)
def quick():
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < LONG / 4


def test_what_carries_nothing_is_read_as_ever(pair):
    ours, theirs = pair
    theirs.send(b"one ")
    theirs.send(b"two")
    assert fds.receive_bare(ours, 5) == b"one t"
    assert fds.receive_bare(ours, 100) == b"wo"
    with pytest.raises(BlockingIOError):
        fds.receive_bare(ours, 100)
    theirs.shutdown(socket.SHUT_WR)
    assert fds.receive_bare(ours, 100) == b""
    assert fds.hang_up(ours)


def test_descriptors_are_seen_and_left_where_they_are(pair, bomb):
    ours, theirs = pair
    theirs.send(b"before")
    bomb.give(theirs)
    for _ in range(2):
        assert fds.receive_bare(ours, 100) is None
    assert not fds.hang_up(ours)
    with pytest.raises(BrokenPipeError):
        theirs.send(b"more")
    bomb.defuse()
    ours.close()


@pytest.mark.parametrize("size", [0, 100, 300_000])
def test_what_stands_before_them_does_not_hide_them_from_hanging_up(pair, bomb, size):
    ours, theirs = pair
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    theirs.setblocking(False)
    sent = 0
    while sent < size:
        try:
            sent += theirs.send(b"x" * min(4096, size - sent))
        except BlockingIOError:
            break
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
    bomb.give(theirs)
    assert not fds.hang_up(ours)
    bomb.defuse()
    ours.close()


def test_a_peer_that_is_gone_without_reading_is_hung_up_on(pair):
    ours, theirs = pair
    ours.send(b"unread")
    theirs.close()
    assert fds.hang_up(ours)
    assert ours.fileno() == -1


def test_where_the_kernel_refuses_descriptors_none_arrives(pair, bomb):
    ours, theirs = pair
    if not fds.refuse_descriptors(ours):
        pytest.skip("a kernel before 6.16")
    with pytest.raises(PermissionError):
        bomb.give(theirs)
    theirs.send(b"bytes")
    assert ours.recv(100) == b"bytes"
    ours.close()


def test_a_kernel_that_does_not_know_it_is_no_error():
    def setsockopt(*what):
        raise OSError(errno.ENOPROTOOPT, "Protocol not available")

    assert fds.refuse_descriptors(SimpleNamespace(setsockopt=setsockopt)) is False


def test_any_other_error_is():
    def setsockopt(*what):
        raise OSError(errno.EPERM, "Operation not permitted")

    with pytest.raises(PermissionError):
        fds.refuse_descriptors(SimpleNamespace(setsockopt=setsockopt))


class Front:
    """What `Pools` needs of a front."""

    def __init__(self, place):
        self.place = place
        self.ended = []
        self.left = 0
        self.pools = Pools(
            SimpleNamespace(forget=lambda fd: None, remove=lambda fd: None),
            SimpleNamespace(leave=self.leave),
            SimpleNamespace(end=self.ended.append),
            lambda site: str(place / f"{site}.sock"),
        )

    def leave(self, site):
        self.left += 1


@pytest.fixture
def listener(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a short path
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind("7.sock")
        sock.listen()
        yield sock


SITE = SimpleNamespace(index=7, owner=7)


def test_a_site_that_sends_descriptors_is_ended_and_its_connection_kept(old_kernel, listener, tmp_path, bomb):
    front = Front(tmp_path)
    front.pools.path = lambda site: f"{site}.sock"
    ours = front.pools.connect(7)
    theirs, _ = listener.accept()
    bomb.give(theirs)
    assert front.pools.receive(ours, 100) is None
    front.pools.hang_up(ours, SITE, watched=True)
    assert (front.ended, front.left, front.pools.banned, front.pools.kept) == ([7], 1, {7}, [ours])
    bomb.defuse()
    ours.close()
    theirs.close()


def test_a_byte_out_of_band_is_one_like_any_other(old_kernel, listener, tmp_path):
    """poll(2) shows it, and so the front would look for it without end."""
    front = Front(tmp_path)
    front.pools.path = lambda site: f"{site}.sock"
    ours = front.pools.connect(7)
    theirs, _ = listener.accept()
    theirs.send(b"!", socket.MSG_OOB)
    assert front.pools.receive(ours, 100) == b"!"
    ours.close()
    theirs.close()


def test_a_site_that_sends_none_is_not(old_kernel, listener, tmp_path):
    front = Front(tmp_path)
    front.pools.path = lambda site: f"{site}.sock"
    ours = front.pools.connect(7)
    theirs, _ = listener.accept()
    theirs.send(b"answer")
    assert front.pools.receive(ours, 100) == b"answer"
    front.pools.hang_up(ours, SITE, watched=True)
    assert (front.ended, front.left, front.pools.kept, ours.fileno()) == ([], 1, [], -1)
    theirs.close()
