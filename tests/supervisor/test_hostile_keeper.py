"""What a site can do to the sockets it was handed, to its turn, and to its zygote."""

import dataclasses
import os
import resource
import signal
import socket

from itkwsgi.linux import fds
from itkwsgi.supervisor import keeper as module
from itkwsgi.supervisor import sockets
from itkwsgi.supervisor.bounds import END_SECONDS
from itkwsgi.supervisor.keeper import AGAIN_SECONDS
from itkwsgi.wire import control
from itkwsgi.wire.control import PoolState
from tests.support.bench import PoolEnd, visit
from tests.support.configured import make_vhost

# --- the pool_socket


def test_a_pool_socket_that_its_pool_shut_is_bound_again_and_wakes_nobody(bench, external):
    """Shut it is ready for ever: root would start pools without end for it."""
    one = bench(make_vhost(0, pool_socket=external))
    one.keeper.open_externals()
    row = one.table.rows[0]
    pool = one.wake()
    pool.external.shutdown(socket.SHUT_RDWR)
    pool.close()
    one.table.ended(1, 0)
    for _ in range(5):
        one.round(0)
    assert one.table.pools == {}
    with visit(external):
        one.pass_time(3600)
        one.round(1)
    assert row.current is not None
    PoolEnd(one, *one.ordered()).close()


def test_a_pool_socket_shut_from_afar_while_it_is_watched_wakes_nobody(bench, external):
    one = bench(make_vhost(0, pool_socket=external))
    one.keeper.open_externals()
    one.table.rows[0].external.shutdown(socket.SHUT_RDWR)  # by what a site left running
    for _ in range(5):
        one.round(0)
    assert one.table.pools == {}
    one.pass_time(AGAIN_SECONDS)
    visit(external).close()


def test_while_an_old_pool_drains_the_pool_socket_wakes_a_new_one(bench, external):
    one = bench(make_vhost(0, pool_socket=external))
    one.keeper.open_externals()
    old = one.wake()
    old.say(PoolState.SWITCHED)
    old.say(PoolState.LEAVING)
    with visit(external):
        one.round(1)
    new = PoolEnd(one, *one.ordered())
    assert new.plan["serial"] == 2
    old.close()
    new.close()


def test_the_pause_after_a_crash_holds_for_the_pool_socket_too(bench, external):
    one = bench(make_vhost(0, pool_socket=external))
    one.keeper.open_externals()
    with visit(external):
        for serial in (1, 2):
            one.round(1)
            pool = PoolEnd(one, *one.ordered())
            pool.say(PoolState.SERVING)
            pool.close()
            one.table.ended(serial, 9)
            one.table.rows[0].visited = 0.0
        for _ in range(5):
            one.round(0)
        assert [pool.serial for pool in one.table.pools.values()] == [2]


def test_a_pool_that_leaves_its_visitors_behind_is_not_started_again_and_again(bench, external):
    one = bench(make_vhost(0, pool_socket=external))
    one.keeper.open_externals()
    with visit(external):
        one.round(1)
        pool = PoolEnd(one, *one.ordered())
        pool.say(PoolState.LEAVING)
        for _ in range(5):
            one.round(0)
        assert one.table.rows[0].current is None
        one.table.rows[0].visited -= AGAIN_SECONDS
        one.pass_time(AGAIN_SECONDS)
        one.round(1)
        assert one.table.rows[0].current is not None
    pool.close()
    PoolEnd(one, *one.ordered()).close()


# --- turns


def test_the_sites_of_one_user_do_not_import_in_all_places(bench):
    mine = make_vhost(0).ids
    other = dataclasses.replace(mine, uid=mine.uid + 1)
    one = bench(*(make_vhost(index, ids=mine) for index in range(4)), make_vhost(4, ids=other), max_imports=3)
    one.keeper.privileged = True
    one.keeper.listen = lambda row: sockets.bind_pool(one.keeper.places.pools, row.vhost.index, None)
    one.keeper.spawn = lambda pool: True
    for index in range(5):
        one.table.wake(one.front.pid, index)
    assert [row.queued for row in one.table.rows] == [False, False, True, True, False]


def test_no_pool_takes_the_last_descriptors(bench, monkeypatch):
    one = bench(make_vhost(0))
    monkeypatch.setattr(module.resource, "getrlimit", lambda which: (module.KEPT_FREE, resource.RLIM_INFINITY))
    before = fds.open_descriptors()
    one.table.wake(one.front.pid, 0)
    assert one.told() == (control.REFUSED, 0, 1)
    assert "limit of open files" in one.notes[0]
    assert fds.open_descriptors() == before


def test_an_order_that_is_too_long_refuses_that_site_alone(bench):
    one = bench(make_vhost(0, env=(("LONG", "x" * 200_000),)), make_vhost(1))
    one.table.wake(one.front.pid, 0)
    assert one.told() == (control.REFUSED, 0, 1)
    one.wake(1).close()


# --- what cannot be ended


def test_a_zygote_that_reads_no_orders_is_ended(bench):
    one = bench(make_vhost(0))
    pool = one.wake()
    one.table.end_overdue(0)
    one.pass_time(END_SECONDS)
    one.pass_time(AGAIN_SECONDS)
    assert one.zygote.ended() == -signal.SIGKILL
    pool.close()


def test_a_pool_that_hangs_in_the_kernel_does_not_end_its_zygote(bench):
    """A site can bring that about, for instance by a file system of its own."""
    one = bench(make_vhost(0))
    pool = one.wake()
    one.table.end_overdue(0)
    one.ordered()
    one.pass_time(END_SECONDS)
    one.pass_time(AGAIN_SECONDS)
    assert "hangs in the kernel" in one.notes[-1]
    assert os.waitpid(one.zygote.pid, os.WNOHANG) == (0, 0)
    pool.close()


def test_a_zygote_that_is_only_slow_is_not_ended(bench):
    one = bench(make_vhost(0))
    pool = one.wake()
    one.table.end_overdue(0)
    one.pass_time(END_SECONDS)
    one.ordered()
    one.pass_time(AGAIN_SECONDS)
    assert os.waitpid(one.zygote.pid, os.WNOHANG) == (0, 0)
    pool.close()


def test_a_visitor_of_a_pool_that_hangs_gets_an_answer(bench, where):
    one = bench(make_vhost(0))
    pool = one.wake()
    one.table.end_overdue(0)
    one.pass_time(60)
    assert one.told() == (control.REFUSED, 0, 1)
    assert os.listdir(where.pools) == []
    pool.close()
