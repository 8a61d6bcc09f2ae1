"""Sources: real pipes, a clock that is passed in."""

import os

import pytest

from itkwsgi.log.lines import CUT
from itkwsgi.log.sources import (
    BURST,
    FLUSH_SECONDS,
    LONGEST_ACCESS_LINE,
    LONGEST_LINE,
    RATE,
    READ_COST,
    access_source,
    line_source,
)


class Pipe:
    """A pipe with its source; lines as they were delivered, batch by batch."""

    def __init__(self, *, front=False):
        reader, self.writer = os.pipe()
        self.batches: list[list[bytes]] = []
        self.written = 0  # what deliver says it made of a batch
        self.closed = False
        if front:
            self.source = access_source(reader, self.deliver)
        else:
            self.source = line_source(reader, self.deliver, 0.0, self.farewell)

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


@pytest.fixture
def pipe():
    pipe = Pipe()
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
    pipe = Pipe(front=True)
    pipe.write(b"0 127.0.0.1")
    pipe.source.read(5.0)
    assert pipe.source.next_time() is None
    pipe.write(b" - -\n")
    pipe.source.read(100.0)
    assert pipe.batches == [[b"0 127.0.0.1 - -"]]
    pipe.hang_up()
    pipe.source.close()


@pytest.mark.parametrize(("front", "longest"), [(False, LONGEST_LINE), (True, LONGEST_ACCESS_LINE)])
def test_how_long_a_line_may_be(front, longest):
    pipe = Pipe(front=front)
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


def test_closing_says_farewell():
    pipe = Pipe()
    pipe.source.close()
    assert pipe.closed
    pipe.hang_up()
