"""The life of pools as root sees it: real sockets, everything else recorded."""

import socket
from types import SimpleNamespace

import pytest

from itkwsgi.supervisor import pools as module
from itkwsgi.supervisor import sockets
from itkwsgi.supervisor.pools import PoolTable
from itkwsgi.supervisor.rows import how_it_ended
from itkwsgi.wire import control
from itkwsgi.wire.control import PoolState

FRONT = 4711


class Recorder:
    """The ports: a clock to turn, and lists of what was asked."""

    def __init__(self, directory):
        self.directory = str(directory)
        self.time = 1000.0
        self.timers = []
        self.told = []
        self.orders = []
        self.notes = []
        self.spawned = []
        self.visitors_of = []
        self.zygote_ready = True
        self.spawn_works = True
        self.cpu = {}
        self.forks = []

    def now(self):
        return self.time

    def after(self, seconds, callback):
        self.timers.append((self.time + seconds, callback))

    def pass_time(self, seconds):
        self.time += seconds
        due = [timer for timer in self.timers if timer[0] <= self.time]
        self.timers = [timer for timer in self.timers if timer[0] > self.time]
        for _, callback in due:
            callback()

    def can_spawn(self, row):
        return self.zygote_ready

    def spawn(self, pool):
        self.spawned.append(pool)
        return self.spawn_works

    def order(self, pool, do):
        self.orders.append((pool.serial, do))

    def watch_channel(self, pool):
        pass

    def watch_visitors(self, pool):
        self.visitors_of.append(pool)

    def forget(self, sock):
        pass

    def forked(self, pool):
        self.forks.append((pool.serial, pool.pid))

    def slept(self, pool):
        pass

    def rest(self, row):
        pass

    def stuck(self, pool):
        self.orders.append((pool.serial, "stuck"))

    def listen(self, row):
        return sockets.bind_pool(self.directory, row.vhost.index, None)

    def unlisten(self, row):
        sockets.os.unlink(f"{self.directory}/{row.vhost.index}.sock")

    def tell(self, front, kind, index):
        self.told.append((front, kind, index))

    def note(self, text):
        self.notes.append(text)

    def cpu_seconds(self, pid):
        return self.cpu.get(pid, 0.0)


def vhost(index, problems=()):
    return SimpleNamespace(index=index, name=f"site{index}", problems=problems, startup_timeout=60.0)


@pytest.fixture
def ports(tmp_path):
    return Recorder(tmp_path)


@pytest.fixture
def table(ports):
    made = PoolTable(tuple(vhost(i) for i in range(6)), ports, max_imports=2, max_pools=3)
    yield made
    for pool in list(made.pools.values()):
        made.close_channel(pool)
        made.close_listener(pool)


def serving(table, ports, index=0):
    """Wake a pool and let it serve."""
    table.wake(FRONT, index)
    pool = table.rows[index].current
    table.spawned(pool.serial, 100 + index)
    table.says(pool, PoolState.SWITCHED)
    table.says(pool, PoolState.SERVING)
    return pool


def connect(ports, index):
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.connect(f"{ports.directory}/{index}.sock")
    except OSError:
        sock.close()
        raise
    return sock


def test_a_front_is_told_when_the_pool_runs_as_its_user(table, ports):
    table.wake(FRONT, 1)
    assert ports.told == []
    table.says(table.rows[1].current, PoolState.SWITCHED)
    assert ports.told == [(FRONT, control.AWAKE, 1)]


def test_many_wakes_are_one_start(table, ports):
    for front in (1, 2, 3):
        table.wake(front, 0)
    assert len(ports.spawned) == 1
    table.says(table.rows[0].current, PoolState.SWITCHED)
    assert sorted(ports.told) == [(front, control.AWAKE, 0) for front in (1, 2, 3)]


def test_a_pool_that_is_awake_needs_no_start(table, ports):
    serving(table, ports)
    ports.told.clear()
    table.wake(FRONT, 0)
    assert ports.told == [(FRONT, control.AWAKE, 0)]
    assert len(ports.spawned) == 1


@pytest.mark.parametrize("index", [6, 4000000000])
def test_an_index_outside_the_table_is_refused(table, ports, index):
    table.wake(FRONT, index)
    table.end_overdue(index)
    assert ports.told == [(FRONT, control.REFUSED, index)]
    assert ports.spawned == []


def test_a_site_with_problems_is_never_started(ports):
    table = PoolTable((vhost(0, ("its user does not exist",)),), ports, max_imports=2, max_pools=3)
    table.wake(FRONT, 0)
    assert (ports.told, ports.spawned) == ([(FRONT, control.REFUSED, 0)], [])


def test_a_switch_that_fails_refuses_those_who_wait(table, ports):
    table.wake(FRONT, 0)
    table.ended(table.rows[0].current.serial, 70 << 8)
    assert ports.told == [(FRONT, control.REFUSED, 0)]
    assert "exited with status 70" in ports.notes[0]
    assert table.pools == {}
    with pytest.raises(FileNotFoundError):
        connect(ports, 0)


def test_what_dies_at_every_start_is_started_less_and_less(table, ports):
    starts = 0
    for _ in range(300):
        table.wake(FRONT, 0)
        pool = table.rows[0].current
        if pool is not None:
            starts += 1
            table.says(pool, PoolState.SWITCHED)
            table.ended(pool.serial, 11)
        ports.pass_time(0.1)
    assert starts < 12


def test_a_pool_that_leaves_makes_room_for_the_next(table, ports):
    old = serving(table, ports)
    old.listener.shutdown(socket.SHUT_RD)
    table.says(old, PoolState.LEAVING)
    table.wake(FRONT, 0)
    new = table.rows[0].current
    assert new is not old
    connect(ports, 0).close()
    table.ended(old.serial, 0)
    assert table.rows[0].current is new
    connect(ports, 0).close()


def test_a_wake_that_overtakes_the_pools_word_finds_its_listener_shut(table, ports):
    old = serving(table, ports)
    old.listener.shutdown(socket.SHUT_RD)
    table.wake(FRONT, 0)
    assert table.rows[0].current is not old
    table.says(old, PoolState.LEAVING)
    connect(ports, 0).close()


def test_a_wake_of_a_healthy_pool_changes_nothing(table, ports):
    pool = serving(table, ports)
    for _ in range(10):
        table.wake(FRONT, 0)
    assert table.rows[0].current is pool


def test_a_pool_that_is_killed_loses_no_visitor_in_its_queue(table, ports):
    pool = serving(table, ports)
    visitor = connect(ports, 0)
    visitor.sendall(b"request")
    table.ended(pool.serial, 9)
    ports.pass_time(0)
    assert ports.visitors_of == [pool]
    table.visitors(pool)
    new = table.rows[0].current
    assert new is not pool
    accepted, _ = new.listener.accept()
    assert accepted.recv(100) == b"request"
    for sock in (visitor, accepted):
        sock.close()


def test_no_more_imports_at_once_than_allowed(table, ports):
    for index in range(5):
        table.wake(FRONT, index)
    assert len(ports.spawned) == 2
    for pool in ports.spawned[:2]:
        table.says(pool, PoolState.SWITCHED)
    assert len(ports.spawned) == 2
    table.says(ports.spawned[0], PoolState.SERVING)
    assert len(ports.spawned) == 3
    table.says(ports.spawned[1], PoolState.BROKEN)
    assert len(ports.spawned) == 4


def test_an_import_that_hangs_stops_counting(table, ports):
    for index in range(4):
        table.wake(FRONT, index)
        if index < 2:
            table.spawned(ports.spawned[index].serial, 100 + index)
    ports.cpu = {100: 5.0, 101: 5.0}
    ports.pass_time(module.HANG_SECONDS * 1.5)
    assert len(ports.spawned) == 2  # both used CPU until now
    ports.pass_time(module.HANG_SECONDS * 1.5)
    table.start_queued()
    assert len(ports.spawned) == 4  # neither did since


def test_the_longest_idle_pool_makes_room(table, ports):
    first, second, third = (serving(table, ports, index) for index in range(3))
    table.says(second, PoolState.IDLE)
    ports.pass_time(1)
    table.says(third, PoolState.IDLE)
    table.says(first, PoolState.IDLE)
    table.says(first, PoolState.ACTIVE)
    table.wake(FRONT, 3)
    assert ports.orders == [(second.serial, control.TERMINATE)]


def test_an_import_without_end_is_ended(table, ports):
    table.wake(FRONT, 0)
    pool = table.rows[0].current
    table.says(pool, PoolState.SWITCHED)
    ports.pass_time(59)
    assert ports.orders == []
    ports.pass_time(2)
    assert ports.orders == [(pool.serial, control.KILL)]


def test_startup_timeout_does_not_touch_a_pool_that_serves(table, ports):
    serving(table, ports)
    ports.pass_time(100)
    assert ports.orders == []


def test_without_a_zygote_visitors_wait_and_are_then_refused(table, ports):
    ports.zygote_ready = False
    table.wake(FRONT, 0)
    assert (ports.spawned, ports.told) == ([], [])
    ports.pass_time(61)
    assert ports.told == [(FRONT, control.LATER, 0)]
    ports.zygote_ready = True
    table.start_queued()
    assert ports.spawned == []


def test_a_zygote_that_comes_back_starts_what_waits(table, ports):
    ports.zygote_ready = False
    table.wake(FRONT, 0)
    ports.zygote_ready = True
    table.start_queued()
    assert len(ports.spawned) == 1


def test_pools_die_with_their_zygote(table, ports):
    pool = serving(table, ports)
    table.wake(FRONT, 1)
    table.zygote_gone(list(table.pools))
    assert pool.state == module.CRASHED
    assert (FRONT, control.REFUSED, 1) in ports.told


@pytest.mark.parametrize("word", [b"X", b"RR", b"\0"])
def test_a_pool_that_talks_nonsense_is_ended(table, ports, word):
    pool = serving(table, ports)
    table.says(pool, word)
    assert ports.orders == [(pool.serial, control.KILL)]


def test_an_overdue_pool_is_ended_by_the_fronts_word(table, ports):
    pool = serving(table, ports)
    table.end_overdue(0)
    table.end_overdue(5)
    assert ports.orders == [(pool.serial, control.KILL)]


def test_an_order_that_cannot_be_sent_refuses(table, ports):
    ports.spawn_works = False
    table.wake(FRONT, 0)
    assert ports.told == [(FRONT, control.REFUSED, 0)]
    assert table.pools == {}


def test_a_socket_that_cannot_be_made_refuses(table, ports):
    ports.directory = "/nonexistent"
    table.wake(FRONT, 0)
    assert ports.told == [(FRONT, control.REFUSED, 0)]
    assert "no socket" in ports.notes[0]


@pytest.mark.parametrize(("status", "words"), [(9, "signal 9"), (70 << 8, "status 70"), (None, "zygote")])
def test_ends_in_words(status, words):
    assert words in how_it_ended(status)


# --- memory faults


def test_a_site_whose_child_crashed_gets_pools_with_a_layout_of_their_own(table, ports):
    pool = serving(table, ports)
    assert not table.rows[0].fresh
    table.says(pool, PoolState.CRASHED)
    table.says(pool, PoolState.LEAVING)
    assert table.rows[0].fresh
    assert not table.rows[1].fresh
    table.wake(FRONT, 0)
    assert ports.spawned[-1] is not pool


def test_crashes_in_a_row_are_slowed_down_but_not_for_long(table, ports):
    for _ in range(12):
        pool = serving(table, ports)
        table.says(pool, PoolState.CRASHED)
        table.says(pool, PoolState.LEAVING)
        table.ended(pool.serial, 0)
        assert table.rows[0].not_before - ports.now() <= module.LONGEST_PAUSE_AFTER_CRASH
        if table.rows[0].not_before > ports.now():
            ports.told.clear()
            table.wake(FRONT, 0)
            assert ports.told == [(FRONT, control.LATER, 0)]
        ports.pass_time(module.LONGEST_PAUSE_AFTER_CRASH)
    assert table.rows[0].backoff.failures == 12


@pytest.mark.parametrize(("status", "fresh"), [(11, True), (6, True), (7, True), (9, False), (70 << 8, False)])
def test_a_pool_that_crashed_itself_comes_back_with_another_layout(table, ports, status, fresh):
    pool = serving(table, ports)
    table.ended(pool.serial, status)
    assert table.rows[0].fresh is fresh


def test_a_site_whose_zygote_cannot_be_had_refuses_those_who_wait(table, ports):
    ports.zygote_ready = False
    table.wake(FRONT, 0)
    table.cannot_start(table.rows[0])
    assert ports.told == [(FRONT, control.REFUSED, 0)]
    assert not table.queue
    assert not table.rows[0].queued
    ports.pass_time(60)  # what was to happen to it in the queue does not
    assert ports.told == [(FRONT, control.REFUSED, 0)]


def test_the_ports_hear_of_each_fork(table, ports):
    pool = serving(table, ports)
    assert ports.forks == [(pool.serial, 100)]
