"""Sources: real pipes and sockets, a clock that is passed in."""

import errno
import os
import socket

import pytest

from itkwsgi.errors import Bug
from itkwsgi.linux import fds
from itkwsgi.log import sources
from itkwsgi.log.lines import CUT
from itkwsgi.log.sources import (
    BURST,
    FLUSH_SECONDS,
    LONGEST_ACCESS_LINE,
    LONGEST_LINE,
    RATE,
    READ_COST,
    BareSource,
    access_source,
    line_source,
    site_source,
)


class Pipe:
    """A pipe with its source, or a socket with it; lines as they were delivered, batch by batch."""

    def __init__(self, kind="notes"):
        ours, theirs = socket.socketpair()
        if kind == "refused":
            fds.refuse_descriptors(ours)
        reader, self.writer = os.pipe() if kind in ("notes", "front") else (ours.detach(), theirs.detach())
        ours.close()
        theirs.close()
        self.batches: list[list[bytes]] = []
        self.written = 0  # what deliver says it made of a batch
        self.closed = False
        self.given_up = 0
        if kind == "front":
            self.source = access_source(reader, self.deliver)
        elif kind == "notes":
            self.source = line_source(reader, self.deliver, 0.0)
        else:
            self.source = site_source(reader, self.deliver, 0.0, self.farewell, self.give_up)

    def give_up(self):
        self.given_up += 1

    def deliver(self, lines):
        self.batches.append(lines)
        return self.written

    def farewell(self):
        self.closed = True

    def write(self, data):
        os.write(self.writer, data)

    def hang_up(self):
        os.close(self.writer)
        self.writer = -1


@pytest.fixture(params=["notes", "refused", "bare"])
def pipe(request):
    """Of the server's own parts; of a site, on a kernel that refuses descriptors, and on one that does not."""
    pipe = Pipe(request.param)
    yield pipe
    if pipe.writer >= 0:
        pipe.hang_up()
    pipe.source.close()


def test_one_read_is_one_batch(pipe):
    pipe.write(b"one\ntwo\n")
    pipe.write(b"three\n")
    assert pipe.source.read(0.0)
    assert pipe.batches == [[b"one", b"two", b"three"]]
    assert not pipe.source.read(0.0)
    assert not pipe.source.ended


def test_the_end_gives_out_the_last_line(pipe):
    pipe.write(b"one\ntwo")
    pipe.source.read(0.0)
    pipe.hang_up()
    assert not pipe.source.read(0.1)
    assert pipe.source.ended
    assert pipe.batches == [[b"one"], [b"two"]]


def test_a_line_without_an_end_waits_a_second(pipe):
    pipe.write(b"working")
    pipe.source.read(5.0)
    assert pipe.source.next_time() == 5.0 + FLUSH_SECONDS
    pipe.write(b" hard")
    pipe.source.read(5.9)
    pipe.source.on_time(5.0 + FLUSH_SECONDS - 0.01)
    assert pipe.batches == []
    pipe.source.on_time(5.0 + FLUSH_SECONDS)
    assert pipe.batches == [[b"working hard" + CUT]]
    assert pipe.source.next_time() is None
    pipe.write(b", done\n")
    pipe.source.read(7.0)
    assert pipe.batches[1:] == [[CUT + b", done"]]


def test_a_new_line_waits_its_own_second(pipe):
    pipe.write(b"one")
    pipe.source.read(5.0)
    pipe.write(b"\ntwo")
    pipe.source.read(5.9)
    assert pipe.source.next_time() == 5.9 + FLUSH_SECONDS


def test_a_front_s_line_waits_for_its_end():
    pipe = Pipe("front")
    pipe.write(b"0 127.0.0.1")
    pipe.source.read(5.0)
    assert pipe.source.next_time() is None
    pipe.write(b" - -\n")
    pipe.source.read(100.0)
    assert pipe.batches == [[b"0 127.0.0.1 - -"]]
    pipe.hang_up()
    pipe.source.close()


@pytest.mark.parametrize(
    ("kind", "longest"),
    [("notes", LONGEST_LINE), ("refused", LONGEST_LINE), ("bare", LONGEST_LINE), ("front", LONGEST_ACCESS_LINE)],
)
def test_how_long_a_line_may_be(kind, longest):
    pipe = Pipe(kind)
    for _ in range(longest // 4096):
        pipe.write(b"x" * 4096)
        pipe.source.read(0.0)
    assert pipe.batches == []
    pipe.write(b"y\n")
    pipe.source.read(0.0)
    assert pipe.batches == [[b"x" * longest + CUT, CUT + b"y"]]
    pipe.hang_up()
    pipe.source.close()


def test_what_is_read_is_paid_for(pipe):
    reads = 0
    while pipe.source.paused_until is None:
        pipe.write(b"x" * 4095 + b"\n")
        pipe.source.read(10.0)
        reads += 1
    assert reads == BURST // 4096
    assert pipe.source.next_time() == pipe.source.paused_until == 10.0 + BURST / 4 / RATE
    pipe.source.on_time(10.01)
    assert pipe.source.paused_until is not None
    pipe.source.on_time(11.0)
    assert pipe.source.paused_until is None


def test_what_is_written_is_paid_for_when_it_is_more(pipe):
    pipe.written = BURST + RATE
    pipe.write(b"\n" * 10)
    pipe.source.read(10.0)
    assert pipe.source.paused_until == 11.0 + BURST / 4 / RATE


def test_single_bytes_cost_more_than_they_are(pipe):
    for _ in range(BURST // READ_COST):
        assert pipe.source.paused_until is None
        pipe.write(b"x")
        pipe.source.read(10.0)
    assert pipe.source.paused_until is not None


def test_a_line_is_not_cut_because_its_rest_was_not_read_yet(pipe):
    pipe.written = BURST + 2 * RATE
    pipe.write(b"one\ntwo")
    pipe.source.read(10.0)
    pipe.write(b" and more\n")
    until = pipe.source.paused_until
    assert until > 10.0 + FLUSH_SECONDS
    pipe.source.on_time(until)
    pipe.source.read(until)
    pipe.source.on_time(until)
    assert pipe.batches == [[b"one"], [b"two and more"]]


def test_drain_takes_all_there_is_and_waits_for_nobody(pipe):
    pipe.written = 100 * RATE
    pipe.write(b"one\n")
    pipe.source.read(10.0)
    pipe.write(b"x" * 4000 + b"\ntwo\nthree")
    pipe.source.drain(10.0)
    assert [line for batch in pipe.batches for line in batch] == [b"one", b"x" * 4000, b"two", b"three"]


@pytest.mark.parametrize("kind", ["refused", "bare"])
def test_closing_says_farewell(kind):
    pipe = Pipe(kind)
    pipe.source.close()
    assert pipe.closed
    pipe.hang_up()


def test_a_pause_is_told(pipe):
    slowed = []
    pipe.source.slowed = lambda: slowed.append(True)
    pipe.write(b"x" * 1000 + b"\n")
    pipe.source.read(0.0)
    assert slowed == []
    pipe.written = BURST
    pipe.write(b"y\n")
    pipe.source.read(0.0)
    assert slowed == [True]
    assert pipe.source.paused_until is not None


def test_a_pipe_that_cannot_be_read_is_at_its_end(monkeypatch):
    pipe = Pipe()
    pipe.write(b"begun")
    pipe.source.read(0.0)

    def read(fd, size):
        raise OSError(errno.EIO, "a page of a spliced file")

    monkeypatch.setattr(sources.os, "read", read)
    assert not pipe.source.read(0.0)
    assert pipe.source.ended
    assert pipe.batches == [[b"begun"]]
    pipe.hang_up()
    pipe.source.close()


# --- what only a socket brings


@pytest.fixture
def bare():
    pipe = Pipe("bare")
    yield pipe
    pipe.hang_up()


def give(bomb, pipe):
    with socket.socket(fileno=os.dup(pipe.writer)) as sock:
        bomb.give(sock)


def is_open(fd):
    return fd in fds.open_descriptors()


def test_descriptors_end_a_socket_and_are_not_waited_for(bare, bomb):
    bare.write(b"one\ntwo")
    give(bomb, bare)
    bare.write(b"three\n")
    assert not bare.source.read(0.0)
    assert bare.source.ended
    assert (bare.batches, bare.given_up) == ([], 1)
    bare.source.close()
    assert bare.closed
    assert is_open(bare.source.fd)
    with pytest.raises(BrokenPipeError):
        bare.write(b"more")
    bomb.defuse()
    os.close(bare.source.fd)


def test_what_was_read_before_them_is_not_lost(bare, bomb):
    bare.write(b"one\ntwo")
    bare.source.read(0.0)
    give(bomb, bare)
    assert not bare.source.read(0.1)
    assert (bare.batches, bare.given_up) == ([[b"one"], [b"two"]], 1)
    bomb.defuse()
    bare.source.close()
    os.close(bare.source.fd)


def test_descriptors_that_are_in_the_way_at_the_end_are_left_there(bare, bomb):
    bare.write(b"one\n")
    bare.source.read(0.0)
    give(bomb, bare)
    bare.source.drain(0.0)
    assert bare.batches == [[b"one"]]
    bomb.defuse()
    bare.source.close()
    os.close(bare.source.fd)


def test_a_socket_that_brought_none_is_closed(bare):
    bare.write(b"one\n")
    bare.source.read(0.0)
    bare.write(b"unread\n")
    bare.source.close()
    assert not is_open(bare.source.fd)


def test_where_they_are_refused_the_rest_is_read(bomb):
    pipe = Pipe("refused")
    if isinstance(pipe.source, BareSource):
        pytest.skip("a kernel before 6.16")
    with pytest.raises(PermissionError):
        give(bomb, pipe)
    pipe.write(b"a word\n")
    pipe.source.read(0.0)
    assert (pipe.batches, pipe.given_up) == ([[b"a word"]], 0)
    pipe.hang_up()
    pipe.source.close()


def test_a_site_s_log_that_is_no_socket_is_our_mistake():
    reader, writer = os.pipe()
    with pytest.raises(Bug):
        site_source(reader, len, 0.0, list, list)
    os.close(reader)
    os.close(writer)
