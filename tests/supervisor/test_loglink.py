"""What the log is told, and that no pipe is lost when it dies."""

import errno
import fcntl
import json
import os
import resource
import signal
import socket
import threading
import time

import pytest

from itkwsgi.errors import Bug
from itkwsgi.linux import fds
from itkwsgi.log.control import MAX_DESCRIPTORS
from itkwsgi.supervisor import loglink as module
from itkwsgi.supervisor.loglink import LONGEST_SILENCE, LOOK_SECONDS, SEND_BUFFER, LogLink
from itkwsgi.supervisor.timers import Timers
from itkwsgi.wire.control import MAX_ORDER
from tests.support.bomb import Bomb


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


# --- sites: sockets


@pytest.fixture
def no_signal():
    """Python's own way with SIGPIPE."""
    before = signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGPIPE, before)


def fill_up(writer, line=b"x" * 99 + b"\n"):
    """Write until it would wait; how many bytes that were."""
    os.set_blocking(writer, False)
    count = 0
    try:
        while True:
            count += os.write(writer, line)
    except BlockingIOError:
        return count
    finally:
        os.set_blocking(writer, True)


def test_lines_in_a_socket_arrive_at_the_log(link, start):
    log = start()
    writer = link.stream("site 3", SITE)
    order, [end] = log.told()
    assert order == SITE
    assert end.startswith("socket:")
    os.write(writer, b"a line\n")
    os.close(writer)
    assert [os.read(log.received[0], 100) for _ in range(2)] == [b"a line\n", b""]


def test_a_site_s_end_waits_and_ours_does_not(link):
    writer = link.stream("site 3", SITE)
    [end] = link.sources["site 3"][1]
    assert (os.get_blocking(writer), os.get_blocking(end)) == (True, False)
    assert (os.get_inheritable(writer), os.get_inheritable(end)) == (False, False)
    os.close(writer)


def test_nothing_can_be_read_from_a_site_s_end_nor_be_sent_to_it(link, no_signal):
    writer = link.stream("site 3", SITE)
    [end] = link.sources["site 3"][1]
    assert os.read(writer, 1) == b""
    with pytest.raises(BrokenPipeError):
        os.write(end, b"x")
    os.close(writer)


def test_a_site_s_end_has_no_name_to_open_it_by(link):
    writer = link.stream("site 3", SITE)
    with pytest.raises(OSError, match="No such device or address") as caught:
        os.open(f"/proc/self/fd/{writer}", os.O_WRONLY)
    assert caught.value.errno == errno.ENXIO
    os.close(writer)


def test_there_is_room_for_about_as_many_lines_as_in_a_pipe(link):
    pipe, writer = link.pipe("notes", {}), link.stream("site 3", SITE)
    assert 0.7 < fill_up(writer) / fill_up(pipe) < 1.5
    for fd in (pipe, writer):
        os.close(fd)
    writer = link.stream("site 3", SITE)
    assert 65536 < fill_up(writer, b"x" * 65536) <= 2 * SEND_BUFFER + 65536
    os.close(writer)


def test_the_control_with_the_kernel_s_own_buffer_there_is_less(monkeypatch, link):
    monkeypatch.setattr(module, "SEND_BUFFER", 106496)  # net.core.wmem_default
    pipe, writer = link.pipe("notes", {}), link.stream("site 3", SITE)
    assert fill_up(writer) / fill_up(pipe) < 0.5
    for fd in (pipe, writer):
        os.close(fd)


def test_who_writes_while_no_log_lives_waits_and_loses_nothing(link, start):
    first = start()
    writer = link.stream("site 3", SITE)
    first.told()
    first.close()
    first.received.clear()
    count = fill_up(writer, b"nobody reads this now\n") // 22
    waits = threading.Thread(target=os.write, args=(writer, b"last\n"))
    waits.start()
    time.sleep(0.1)
    assert waits.is_alive()
    second = start()
    assert second.told()[0] == SITE
    os.set_blocking(second.received[0], True)
    data = b""
    while not data.endswith(b"last\n"):
        data += os.read(second.received[0], 65536)
    waits.join()
    assert data == b"nobody reads this now\n" * count + b"last\n"
    os.close(writer)


def test_when_nobody_has_our_end_a_writer_is_told(link, no_signal):
    """As by a pipe; but whoever waits just then sees another error."""
    writer = link.stream("site 3", SITE)
    fill_up(writer)
    errors = []

    def write():
        for _ in range(2):
            try:
                os.write(writer, b"more\n" * 1000)
            except OSError as error:
                errors.append(type(error))

    waits = threading.Thread(target=write)
    waits.start()
    time.sleep(0.1)
    link.remove("site 3")
    waits.join()
    assert errors == [ConnectionResetError, BrokenPipeError]
    os.close(writer)


def test_who_does_not_ignore_it_gets_sigpipe(link):
    writer = link.stream("site 3", SITE)
    link.remove("site 3")
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.write(writer, b"more\n")
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == signal.SIGPIPE
    os.close(writer)


def test_what_a_site_does_to_its_end_is_not_done_to_ours(link):
    writer = link.stream("site 3", SITE)
    [end] = link.sources["site 3"][1]
    with socket.socket(fileno=writer) as site:
        site.setblocking(True)
        site.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        fcntl.fcntl(writer, fcntl.F_SETOWN, os.getpid())
        site.send(b"a line\n")
        site.shutdown(socket.SHUT_RDWR)
        assert not os.get_blocking(end)
        assert [os.read(end, 100) for _ in range(2)] == [b"a line\n", b""]


def test_a_socket_that_cannot_be_had_leaves_no_file_open(link, tmp_path, monkeypatch):
    def none_left(*args):
        raise OSError(errno.EMFILE, "Too many open files")

    file = opened(tmp_path, "error.log")
    before = fds.open_descriptors()
    monkeypatch.setattr(socket, "socketpair", none_left)
    with pytest.raises(OSError, match="Too many"):
        link.stream("site 3", SITE, [file])
    assert fds.open_descriptors() == {fd: what for fd, what in before.items() if fd != file}
    assert link.sources == {}


def test_one_that_cannot_be_set_up_neither(link, monkeypatch):
    def refuse(sock):
        raise OSError(errno.EPERM, "Operation not permitted")

    before = fds.open_descriptors()
    monkeypatch.setattr(fds, "refuse_descriptors", refuse)
    with pytest.raises(PermissionError):
        link.stream("site 3", SITE)
    assert fds.open_descriptors() == before


def test_descriptors_are_refused(link, bomb):
    with socket.socket(fileno=link.stream("site 3", SITE)) as site:
        if link.unguarded.ends:
            pytest.skip("a kernel before 6.16")
        with pytest.raises(PermissionError):
            bomb.give(site)
        site.send(b"a line\n")
    begin = time.monotonic()
    link.remove("site 3")
    assert time.monotonic() - begin < 1


# --- sites, on a kernel before 6.16


@pytest.fixture
def old_kernel(monkeypatch):
    monkeypatch.setattr(fds, "refuse_descriptors", lambda sock: False)


def site_of(link):
    """A site's socket, and the number of our end of it."""
    return socket.socket(fileno=link.stream("site 3", SITE)), link.sources["site 3"][1][0]


def test_what_is_empty_and_has_no_writer_is_closed_at_once(link, old_kernel):
    site, end = site_of(link)
    site.close()
    link.remove("site 3")
    assert not is_open(end)
    assert (link.unguarded.ends, link.unguarded.leaving, link.is_cut_off("site 3")) == ({}, [], False)


def test_what_still_has_a_writer_or_is_not_read_is_closed_in_time(link, start, timers, old_kernel):
    log = start()
    site, end = site_of(link)
    log.told()
    link.remove("site 3")
    timers.pass_time(LOOK_SECONDS)
    assert is_open(end)
    site.send(b"the last line\n")
    site.close()
    timers.pass_time(LOOK_SECONDS)
    assert is_open(end)
    assert os.read(log.received[0], 100) == b"the last line\n"  # nothing was taken
    timers.pass_time(LOOK_SECONDS)
    assert not is_open(end)
    assert timers.wait() is None


def test_descriptors_in_it_keep_it_open_and_cut_its_site_off(link, timers, old_kernel, bomb):
    site, end = site_of(link)
    bomb.give(site)
    site.close()
    begin = time.monotonic()
    link.remove("site 3")
    assert time.monotonic() - begin < 1
    assert is_open(end)
    assert link.is_cut_off("site 3")
    assert not link.is_cut_off("site 4")
    assert timers.wait() is None
    bomb.defuse()
    release(link)


def test_the_control_to_close_it_is_to_wait(link, old_kernel):
    bomb = Bomb(seconds=1)
    site, _ = site_of(link)
    bomb.give(site)
    site.close()
    link.unguarded.ends.clear()
    begin = time.monotonic()
    link.remove("site 3")
    assert time.monotonic() - begin > 0.5
    bomb.defuse()


def test_who_is_cut_off_is_seen_when_its_next_socket_is_made(link, timers, old_kernel, bomb):
    site, _ = site_of(link)
    bomb.give(site)
    writer = link.stream("site 3", SITE)
    assert link.is_cut_off("site 3")
    assert os.readlink(f"/proc/self/fd/{writer}") == "/dev/null"
    assert os.read(link.sources["site 3"][1][0], 1) == b""  # its access log is still its own
    os.close(writer)
    site.close()
    bomb.defuse()
    release(link)


def test_when_the_log_is_gone_what_leaves_is_hung_up_on(link, start, timers, old_kernel, bomb, no_signal):
    """Nobody is told of it who could read it: whoever still writes must not wait for ever."""
    start()
    site, end = site_of(link)
    other = socket.socket(fileno=link.stream("site 4", SITE))
    [other_end] = link.sources["site 4"][1]
    for key, one in (("site 3", site), ("site 4", other)):
        one.send(b"unread\n")
        link.remove(key)
    bomb.give(other)
    start()
    assert (is_open(end), is_open(other_end)) == (False, True)
    assert (link.is_cut_off("site 3"), link.is_cut_off("site 4")) == (False, True)
    for one in (site, other):
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            one.send(b"more\n")
        one.close()
    timers.pass_time(LOOK_SECONDS)
    bomb.defuse()
    release(link)


def release(link):
    """Close what is kept for good."""
    for ends in link.unguarded.kept.values():
        for end in ends:
            end.close()
