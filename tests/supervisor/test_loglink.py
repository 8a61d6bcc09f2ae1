"""What the log is told, and that no pipe is lost when it dies."""

import json
import os
import resource
import socket

import pytest

from itkwsgi.errors import Bug
from itkwsgi.linux import fds
from itkwsgi.log.control import MAX_DESCRIPTORS
from itkwsgi.supervisor.loglink import LONGEST_SILENCE, LogLink
from itkwsgi.supervisor.timers import Timers
from itkwsgi.wire.control import MAX_ORDER


class Log:
    """A log's end of the channel: what it was told, with what."""

    def __init__(self, link):
        ours, self.end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.end.settimeout(10)
        self.ours = ours
        self.received = []
        link.connect(ours)

    def told(self):
        """The next order and where its descriptors lead."""
        data, received = fds.receive_message(self.end, MAX_ORDER, MAX_DESCRIPTORS)
        self.received += received
        return (json.loads(data) if data else None), [os.readlink(f"/proc/self/fd/{fd}") for fd in received]

    def is_told_nothing(self):
        self.end.setblocking(False)
        try:
            with pytest.raises(BlockingIOError):
                self.end.recv(1)
        finally:
            self.end.settimeout(10)
        return True

    def close(self):
        for fd in self.received:
            os.close(fd)
        self.ours.close()
        self.end.close()


@pytest.fixture
def timers():
    """The clock is turned by `pass_time`."""
    now = [0.0]
    made = Timers(lambda: now[0])

    def pass_time(seconds):
        end = now[0] + seconds
        while (wait := made.wait()) is not None and now[0] + wait <= end:
            now[0] += wait
            made.run()
        now[0] = end

    made.pass_time = pass_time
    return made


@pytest.fixture
def link(timers):
    made = LogLink(timers.after)
    yield made
    made.close()
    for key in list(made.sources):
        made.remove(key)


@pytest.fixture
def start(link):
    """Start logs; ``start()`` is a new one."""
    started = []

    def make():
        started.append(Log(link))
        return started[-1]

    yield make
    for one in started:
        one.close()


def opened(tmp_path, name):
    return os.open(tmp_path / name, os.O_WRONLY | os.O_CREAT)


def is_open(fd):
    return fd in fds.open_descriptors()


SITE = {"do": "site", "index": 3}


def test_lines_in_a_pipe_arrive_at_the_log(link, start):
    log = start()
    writer = link.pipe("site 3", SITE)
    order, [pipe] = log.told()
    assert order == SITE
    assert pipe.startswith("pipe:")
    os.write(writer, b"a line\n")
    os.close(writer)
    assert os.read(log.received[0], 100) == b"a line\n"


def test_files_travel_behind_the_pipe(link, start, tmp_path):
    log = start()
    os.close(link.pipe("site 3", SITE, [opened(tmp_path, "error.log"), opened(tmp_path, "access.log")]))
    _, places = log.told()
    assert places[1:] == [f"{tmp_path}/error.log", f"{tmp_path}/access.log"]


def test_a_log_that_comes_later_is_told_everything_in_its_order(link, start):
    writers = [link.pipe(f"site {index}", {"do": "site", "index": index}) for index in range(3)]
    log = start()
    assert [log.told()[0]["index"] for _ in range(3)] == [0, 1, 2]
    for writer in writers:
        os.close(writer)


def test_what_is_written_while_no_log_lives_is_not_lost(link, start):
    first = start()
    writer = link.pipe("site 3", SITE)
    first.told()
    first.close()
    first.received.clear()
    os.write(writer, b"nobody reads this now\n")
    second = start()
    assert second.told()[0] == SITE
    assert os.read(second.received[0], 100) == b"nobody reads this now\n"
    os.close(writer)


def test_a_site_that_falls_asleep_is_forgotten_here_and_said_there(link, start):
    log = start()
    os.close(link.pipe("site 3", SITE))
    log.told()
    [reader] = link.sources["site 3"][1]
    link.remove("site 3", {"do": "asleep", "index": 3})
    assert log.told() == ({"do": "asleep", "index": 3}, [])
    assert not is_open(reader)
    link.remove("site 3", {"do": "asleep", "index": 3})
    assert log.is_told_nothing()


def test_a_new_pipe_takes_the_place_of_the_old(link, start):
    log = start()
    os.close(link.pipe("site 3", SITE))
    [old] = link.sources["site 3"][1]
    old_pipe = os.readlink(f"/proc/self/fd/{old}")
    os.close(link.pipe("site 3", SITE))
    assert log.told()[1] == [old_pipe]
    assert log.told()[1] != [old_pipe]
    later = start()
    assert later.told()[0] == SITE
    assert later.is_told_nothing()


def test_other_files_after_a_rotation_and_the_same_pipe(link, start, tmp_path):
    log = start()
    old = opened(tmp_path, "error.log")
    os.close(link.pipe("site 3", SITE, [old]))
    _, [pipe, _] = log.told()
    new = opened(tmp_path, "error.log.new")
    link.reopen("site 3", {"do": "reopen", "index": 3}, [new])
    assert log.told() == ({"do": "reopen", "index": 3}, [f"{tmp_path}/error.log.new"])
    assert list(fds.open_descriptors().values()).count(f"{tmp_path}/error.log") == 1  # the log's own
    assert start().told() == (SITE, [pipe, f"{tmp_path}/error.log.new"])


def test_a_log_that_is_gone_costs_nothing_but_its_channel(link, start):
    log = start()
    log.end.close()
    os.close(link.pipe("site 3", SITE))
    assert link.channel is None
    assert log.ours.fileno() >= 0  # closed by whoever watches it
    assert start().told()[0] == SITE


def test_a_channel_that_was_closed_by_who_watches_it_is_none(link, start):
    log = start()
    os.close(link.pipe("site 3", SITE))
    log.ours.close()
    link.remove("site 3", {"do": "asleep", "index": 3})
    os.close(link.pipe("site 4", {"do": "site", "index": 4}))
    link.close()
    assert start().told()[0] == {"do": "site", "index": 4}


# --- more than a socket holds


MANY = 1000


def fill(link, tmp_path):
    """Sources of 1000 awake sites with an error log each, as after the log died; their writing ends."""
    return [
        link.pipe(f"site {index}", {"do": "site", "index": index}, [opened(tmp_path, "error.log")])
        for index in range(MANY)
    ]


@pytest.fixture
def many_descriptors():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    if before[1] < 8 * MANY:
        pytest.skip("too few descriptors allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_new_log_is_told_all_that_are_awake_however_many(link, start, timers, tmp_path, many_descriptors):
    writers = fill(link, tmp_path)
    log = start()
    assert link.unsent
    indices = []
    while len(indices) < MANY:
        order, places = log.told()
        assert places[1:] == [f"{tmp_path}/error.log"]
        indices.append(order["index"])
        timers.pass_time(0.02)
    assert indices == list(range(MANY))
    assert log.is_told_nothing()
    for writer in writers:
        os.close(writer)


def test_what_comes_later_does_not_overtake(link, start, timers):
    log = start()
    sent = 0
    while not link.unsent:
        link.send({"do": "asleep", "index": sent}, ())
        sent += 1
    assert log.told()[0]["index"] == 0  # there is room for one
    link.send({"do": "asleep", "index": sent}, ())
    timers.pass_time(0.02)
    assert [log.told()[0]["index"] for _ in range(1, sent)] == list(range(1, sent))
    timers.pass_time(0.02)
    assert log.told()[0]["index"] == sent


def test_a_pipe_that_was_closed_meanwhile_is_told_all_the_same(link, start, timers):
    """Its last lines are in it."""
    log = start()
    while not link.unsent:
        link.send({"do": "asleep", "index": 1}, ())
    writer = link.pipe("site 3", SITE)
    os.write(writer, b"the last line\n")
    os.close(writer)
    link.remove("site 3", {"do": "asleep", "index": 3})
    while log.told()[0] != SITE:
        timers.pass_time(0.02)
    assert os.read(log.received[0], 100) == b"the last line\n"


def test_a_log_that_reads_nothing_for_long_is_let_go(link, start, timers):
    log = start()
    while not link.unsent:
        link.send({"do": "asleep", "index": 1}, ())
    timers.pass_time(LONGEST_SILENCE - 1)
    assert link.channel is not None
    timers.pass_time(2)
    assert (link.channel, list(link.unsent)) == (None, [])
    assert log.ours.recv(1) == b""
    while (order := log.told()[0]) is not None:
        assert order == {"do": "asleep", "index": 1}


def test_a_log_that_dies_before_it_read_all_leaves_no_copy_open(link, start, timers):
    first = start()
    while not link.unsent:
        link.send({"do": "asleep", "index": 1}, ())
    before = len(fds.open_descriptors())
    os.close(link.pipe("site 3", SITE))
    first.end.close()
    timers.pass_time(0.02)
    assert (link.channel, list(link.unsent)) == (None, [])
    assert len(fds.open_descriptors()) == before  # one pipe more, the log's end less


def test_an_order_that_is_too_long_is_our_mistake(link, start):
    start()
    with pytest.raises(Bug):
        link.send({"do": "names", "names": ["x" * MAX_ORDER]}, ())


def test_at_the_end_it_is_let_go(link, start):
    log = start()
    link.close()
    assert log.told() == (None, [])
    link.close()
    link.send(SITE, ())
