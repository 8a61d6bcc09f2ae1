"""Pools that do not do as they are told, and rows that must not be left waiting: what root makes of it."""

import os
import random
import socket

import pytest

from itkwsgi.linux import fds
from itkwsgi.supervisor import bounds
from itkwsgi.supervisor import pools as module
from itkwsgi.supervisor.pools import PoolTable
from itkwsgi.supervisor.rows import CRASHED, HANG_SECONDS, IMPORTING, LEAVING, MOST_WORDS, SERVING
from itkwsgi.wire import control
from itkwsgi.wire.control import PoolState
from tests.supervisor.test_pools import FRONT, Recorder, connect, serving, vhost

KILL, TERMINATE = control.KILL, control.TERMINATE


class Ports(Recorder):
    """Rests are recorded too."""

    def __init__(self, directory):
        super().__init__(directory)
        self.rested = []

    def rest(self, row):
        self.rested.append(row)

    def unlisten(self, row):
        if os.path.exists(f"{self.directory}/{row.vhost.index}.sock"):
            super().unlisten(row)


@pytest.fixture
def ports(tmp_path):
    return Ports(tmp_path)


@pytest.fixture
def make(ports):
    """Make a table; everything it opened is closed at the end."""
    made = []

    def table(sites=6, max_imports=2, max_pools=3):
        made.append(
            PoolTable(tuple(vhost(i) for i in range(sites)), ports, max_imports=max_imports, max_pools=max_pools)
        )
        return made[-1]

    yield table
    for table in made:
        for pool in list(table.pools.values()):
            table.close_channel(pool)
            table.close_listener(pool)


@pytest.fixture
def table(make):
    return make()


# --- who waits is told, whatever the pool says


@pytest.mark.parametrize("word", [PoolState.SERVING, PoolState.BROKEN])
def test_a_pool_that_skips_a_word_leaves_no_front_waiting(table, ports, word):
    table.wake(FRONT, 0)
    table.says(table.rows[0].current, word)
    assert ports.told == [(FRONT, control.AWAKE, 0)]


def test_a_pool_that_leaves_before_it_switched_leaves_no_front_waiting(table, ports):
    table.wake(FRONT, 0)
    table.says(table.rows[0].current, PoolState.LEAVING)
    assert ports.told == [(FRONT, control.LATER, 0)]
    assert ports.rested == [table.rows[0]]


@pytest.mark.parametrize("word", [PoolState.SWITCHED, PoolState.SERVING, PoolState.BROKEN, PoolState.IDLE])
def test_a_pool_that_left_does_not_come_back(table, ports, word):
    old = serving(table, ports)
    table.says(old, PoolState.LEAVING)
    table.says(old, word)
    assert old.state == LEAVING
    assert table.rows[0].current is None


def test_a_pool_does_not_begin_its_import_again(table, ports):
    """Or it could take a place among those that import for as long as it likes."""
    pool = serving(table, ports)
    table.says(pool, PoolState.SWITCHED)
    assert pool.state == SERVING


# --- talking


def test_a_pool_that_talks_without_end_is_ended_and_not_heard_any_more(table, ports):
    pool = serving(table, ports)
    channel = pool.channel
    for _ in range(MOST_WORDS):
        table.says(pool, PoolState.IDLE)
    assert (ports.orders, pool.channel) == ([(pool.serial, KILL)], None)
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(channel)


def test_a_pool_may_say_idle_and_active_every_second_for_a_day(table, ports):
    pool = serving(table, ports)
    for _ in range(86400):
        ports.time += 1
        table.says(pool, PoolState.IDLE)
        table.says(pool, PoolState.ACTIVE)
    assert ports.orders == []


def test_nonsense_is_heard_once(table, ports):
    pool = serving(table, ports)
    table.says(pool, b"?")
    assert pool.channel is None
    assert len(ports.notes) == 1


def test_a_flood_of_ends_is_one_order_and_one_line(table, ports):
    pool = serving(table, ports)
    for _ in range(1000):
        table.end_overdue(0)
    assert ports.orders == [(pool.serial, KILL)]
    assert len(ports.notes) == 1


# --- staying


def test_a_site_that_only_says_it_leaves_has_few_pools_nevertheless(table, ports):
    for _ in range(bounds.MOST_LEAVING + 5):
        table.says(serving(table, ports), PoolState.LEAVING)
    ended = [serial for serial, do in ports.orders if do == KILL]
    assert ended == [1, 2, 3, 4, 5]


def test_a_pool_that_makes_no_room_is_ended_and_others_are_asked_meanwhile(table, ports):
    stubborn, second, third = (serving(table, ports, index) for index in range(3))
    for pool in (stubborn, second, third):
        table.says(pool, PoolState.IDLE)
        ports.time += 1
    table.wake(FRONT, 3)
    serving(table, ports, 3)
    table.wake(FRONT, 4)
    assert ports.orders == [(stubborn.serial, TERMINATE), (second.serial, TERMINATE)]
    second.listener.shutdown(socket.SHUT_RD)
    ports.pass_time(bounds.RETIRE_SECONDS)
    assert ports.orders[2:] == [(stubborn.serial, KILL)]
    assert second.state == LEAVING


def test_what_cannot_be_ended_does_not_hold_its_site_up(table, ports):
    """An import that hangs in the kernel: SIGKILL does not reach it."""
    table.wake(FRONT, 0)
    pool = table.rows[0].current
    ports.pass_time(60)
    assert ports.orders == [(pool.serial, KILL)]
    ports.pass_time(bounds.END_SECONDS)
    assert ports.orders[1:] == [(pool.serial, "stuck")]
    assert ports.told == [(FRONT, control.REFUSED, 0)]
    assert table.rows[0].current is None
    ports.pass_time(1)
    table.wake(FRONT, 0)
    assert table.rows[0].current not in (None, pool)
    table.ended(pool.serial, 9)
    assert pool.serial not in table.pools


def test_what_did_end_is_not_looked_for(table, ports):
    pool = serving(table, ports)
    table.end_overdue(0)
    table.ended(pool.serial, 9)
    ports.pass_time(bounds.END_SECONDS)
    assert pool.state == CRASHED
    assert (pool.serial, "stuck") not in ports.orders


# --- crashing


def test_no_front_gets_round_the_pause_after_a_crash(table, ports):
    for _ in range(2):  # the first pause is none
        pool = serving(table, ports)
        table.ended(pool.serial, 9)
    ports.told.clear()
    table.wake(FRONT, 0)
    assert ports.told == [(FRONT, control.LATER, 0)]
    assert table.rows[0].current is pool


def test_visitors_of_a_pool_that_always_crashes_are_not_kept_for_ever(table, ports):
    serving(table, ports)
    visitor = connect(ports, 0)
    for _ in range(20):
        pool = table.rows[0].current
        table.says(pool, PoolState.SERVING)
        table.ended(pool.serial, 9)
        if pool.state != CRASHED:
            break
        ports.pass_time(5)
        table.visitors(pool)
    with visitor, pytest.raises(ConnectionResetError):
        visitor.recv(1)
    assert len(ports.spawned) < 10


def test_a_crashed_pool_whose_turn_never_comes_is_given_up(table, ports):
    """Its zygote is away: visitors in its queue must not wait for ever, nor those who come later."""
    pool = serving(table, ports)
    visitor = connect(ports, 0)
    table.ended(pool.serial, 9)
    ports.pass_time(0)
    ports.zygote_ready = False
    table.visitors(pool)
    ports.pass_time(61)
    with visitor, pytest.raises(ConnectionResetError):
        visitor.recv(1)
    with pytest.raises(FileNotFoundError):
        connect(ports, 0)
    assert (table.rows[0].current, table.pools) == (None, {})
    ports.zygote_ready = True
    table.wake(FRONT, 0)
    assert table.rows[0].current is not None


def test_a_second_death_of_the_zygote_keeps_the_queue_of_a_crashed_pool(table, ports):
    pool = serving(table, ports)
    with connect(ports, 0) as visitor:
        visitor.send(b"request")
        table.zygote_gone([pool.serial])
        table.zygote_gone([pool.serial])
        accepted, _ = pool.listener.accept()
        with accepted:
            assert accepted.recv(10) == b"request"


# --- the queue


def test_a_turn_that_came_does_not_end_the_next_one(table, ports):
    table.wake(FRONT, 0)
    pool = table.rows[0].current
    table.says(pool, PoolState.SERVING)
    table.says(pool, PoolState.LEAVING)
    ports.pass_time(55)
    ports.zygote_ready = False
    table.wake(FRONT, 0)
    ports.pass_time(10)
    assert table.rows[0].queued
    ports.pass_time(50)
    assert not table.rows[0].queued


def test_imports_that_come_to_hang_are_noticed_without_a_word(make, ports):
    table = make()
    for index in range(4):
        table.wake(FRONT, index)
    for pool in ports.spawned:
        table.spawned(pool.serial, pool.serial)
    ports.cpu = {1: 5.0, 2: 5.0}  # each worked for a while
    for _ in range(3):
        ports.pass_time(HANG_SECONDS)
    assert len(ports.spawned) == 4


def test_a_long_queue_that_cannot_be_served_is_refused_to_its_end(make, ports):
    """One after the other, and not each within the one before: there is an end to the stack."""
    table = make(sites=2000)
    for index in range(2000):
        table.wake(FRONT, index)
    ports.spawn_works = False
    for pool in list(table.pools.values()):
        table.ended(pool.serial, 9)
    assert len([told for told in ports.told if told[1] == control.REFUSED]) == 2000
    assert (table.pools, list(table.queue)) == ({}, [])


def test_a_row_that_is_refused_rests(table, ports):
    ports.zygote_ready = False
    table.wake(FRONT, 0)
    ports.pass_time(61)
    assert ports.rested == [table.rows[0]]


def test_without_descriptors_it_refuses_and_loses_none(table, ports, monkeypatch):
    def none_left(first, flags):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(module.os, "eventfd", none_left)
    before = fds.open_descriptors()
    table.wake(FRONT, 0)
    assert fds.open_descriptors() == before
    assert ports.told == [(FRONT, control.REFUSED, 0)]
    assert ports.rested == [table.rows[0]]


def test_a_socket_that_cannot_be_made_is_not_tried_again_and_again(table, ports):
    ports.directory = "/nonexistent"
    for _ in range(100):
        table.wake(FRONT, 0)
    assert len(ports.notes) == 2  # the first pause is none


# --- the end


def test_a_server_that_stops_starts_nothing(table, ports):
    crashed = serving(table, ports)
    table.ended(crashed.serial, 9)
    table.wake(FRONT, 1)
    table.closed = True
    ports.told.clear()
    table.wake(FRONT, 2)
    table.visitors(crashed)
    table.want(table.rows[3])
    assert ports.told == [(FRONT, control.LATER, 2)]
    assert len(ports.spawned) == 2
    assert table.rows[1].current.state != IMPORTING


def test_pools_that_end_with_the_server_are_no_news(table, ports):
    pool = serving(table, ports)
    table.closed = True
    table.ended(pool.serial, 9)
    assert (ports.notes, table.pools) == ([], {})


# --- all of it, in any order


@pytest.mark.parametrize("seed", range(100))
def test_whatever_happens_nobody_is_left_waiting_and_nothing_open(tmp_path, seed):
    before = len(fds.open_descriptors())
    chance = random.Random(seed)
    ports = Ports(tmp_path)
    table = PoolTable(tuple(vhost(i) for i in range(4)), ports, max_imports=2, max_pools=2)
    for _ in range(120):
        chance.choice(MISHAPS)(table, ports, chance)
    ports.zygote_ready = ports.spawn_works = True
    for _ in range(300):  # whatever runs ends, and all pauses are over
        for serial in living(table):
            table.ended(serial, 9)
        ports.pass_time(31)
    assert [row for row in table.rows if row.waiting or row.queued] == []
    assert sorted(table.pools) == sorted(row.current.serial for row in table.rows if row.current is not None)
    for pool in table.pools.values():
        table.close_listener(pool)
    assert len(fds.open_descriptors()) == before


def living(table):
    return [pool.serial for pool in table.pools.values() if pool.state != CRASHED]


def a_wake(table, ports, chance):
    table.wake(chance.randrange(3), chance.randrange(5))


def a_word(table, ports, chance):
    talking = [pool for pool in table.pools.values() if pool.channel is not None]
    if talking:
        table.says(chance.choice(talking), chance.choice([*PoolState.ALL, b"?"]))


def an_end(table, ports, chance):
    if living(table):
        table.ended(chance.choice(living(table)), chance.choice([0, 9, None]))


def a_shut_listener(table, ports, chance):
    for pool in table.pools.values():
        if pool.listener is not None and chance.random() < 0.3:
            pool.listener.shutdown(socket.SHUT_RD)


def some_time(table, ports, chance):
    ports.pass_time(chance.choice([0.1, 1, 3, 11, 61]))


def a_zygote_that_comes_or_goes(table, ports, chance):
    ports.zygote_ready = chance.random() < 0.5
    if not ports.zygote_ready:
        table.zygote_gone(list(table.pools))


def orders_that_fail_or_not(table, ports, chance):
    ports.spawn_works = chance.random() < 0.7


def an_end_by_a_front(table, ports, chance):
    table.end_overdue(chance.randrange(5))


def a_visitor_of_a_crashed_pool(table, ports, chance):
    for pool in ports.visitors_of:
        if pool.row.current is pool and pool.state == CRASHED:
            table.visitors(pool)


MISHAPS = (a_wake, a_wake, a_word, a_word, a_word, an_end, a_shut_listener, some_time, a_zygote_that_comes_or_goes,
           orders_that_fail_or_not, an_end_by_a_front, a_visitor_of_a_crashed_pool)  # fmt: skip
