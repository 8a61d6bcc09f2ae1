"""What the pool table needs done: real sockets, files and descriptors; the zygote and the log are this test."""

import json
import os
import socket
import stat
import sys

import pytest

from itkwsgi.config.model import PoolSocket, Problem
from itkwsgi.errors import OperatorError
from itkwsgi.linux import fds
from itkwsgi.supervisor.keeper import AGAIN_SECONDS, site_log_files
from itkwsgi.supervisor.rows import CRASHED, IMPORTING, SERVING
from itkwsgi.wire import control, orders
from itkwsgi.wire.control import PoolState
from tests.support.bench import PoolEnd, visit
from tests.support.configured import make_vhost


@pytest.fixture
def awake(bench):
    """A bench with one site, and its pool, just ordered."""
    one = bench(make_vhost(0))
    pool = one.wake()
    yield one, pool
    pool.close()


def connect(where, index=0):
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(f"{where.pools}/{index}.sock")
    return sock


# --- ordering a pool


def test_a_pool_gets_its_socket_its_channel_and_its_end_of_the_log(awake, where):
    one, pool = awake
    assert pool.order["do"] == orders.SPAWN
    assert (pool.plan["serial"], pool.plan["name"], pool.external) == (1, "site0.example", None)
    with connect(where) as visitor:
        accepted, _ = pool.listener.accept()
        with accepted:
            visitor.send(b"request")
            assert accepted.recv(100) == b"request"
    os.write(pool.log, b"a line\n")
    order, [reader] = one.log.sources["site 0"]
    assert order == {"do": "site", "index": 0, "name": "site0.example", "own_error": False, "own_access": False}
    assert os.read(reader, 100) == b"a line\n"


def test_its_tmp_directory_is_there(awake, where):
    _, pool = awake
    assert pool.plan["tmp_dir"].startswith(where.tmp)
    assert stat.S_IMODE(os.stat(pool.plan["tmp_dir"]).st_mode) == 0o700


def test_root_keeps_no_writing_end_of_a_sites_log(awake):
    one, pool = awake
    [reader] = one.log.sources["site 0"][1]
    pool.close()
    assert os.read(reader, 1) == b""


def test_a_site_without_a_zygote_waits(bench):
    one = bench(make_vhost(0))
    one.zygote.role.ready = False
    one.table.wake(one.front.pid, 0)
    assert one.table.rows[0].queued
    one.zygote.role.ready = True
    one.table.start_queued()
    pool = PoolEnd(one, *one.ordered())
    pool.close()


def test_a_tmp_directory_that_cannot_be_had_refuses(bench, where):
    one = bench(make_vhost(0))
    open(f"{where.tmp}/site0.example-{os.getuid()}", "w").close()
    one.table.wake(one.front.pid, 0)
    assert one.told() == (control.REFUSED, 0, 1)
    assert "is not a directory: remove it" in one.notes[0]


def test_a_log_that_cannot_be_opened_refuses_and_leaves_nothing_open(bench, base):
    (base / "blocked").mkdir()
    one = bench(make_vhost(0, error_log=f"{base}/fine.log", access_log=f"{base}/blocked"))
    before = fds.open_descriptors()
    one.table.wake(one.front.pid, 0)
    assert one.told() == (control.REFUSED, 0, 1)
    assert f"{base}/blocked: Is a directory" in one.notes[0]
    assert fds.open_descriptors().items() <= before.items()


def test_a_zygote_that_takes_no_order_refuses(bench):
    one = bench(make_vhost(0))
    one.zygote.end.shutdown(socket.SHUT_RDWR)
    one.table.wake(one.front.pid, 0)
    assert one.told() == (control.REFUSED, 0, 1)
    assert "takes no orders" in one.notes[0]


def test_other_orders_go_to_the_same_zygote(awake):
    one, pool = awake
    one.keeper.order(pool.pool, orders.TERMINATE)
    assert one.ordered() == ({"do": orders.TERMINATE, "serial": 1}, [])
    one.zygote.role.ready = False
    one.keeper.order(pool.pool, orders.KILL)
    one.zygote.end.setblocking(False)
    with pytest.raises(BlockingIOError):
        one.zygote.end.recv(1)


# --- what a pool says


def test_a_pools_words_reach_the_table(awake):
    one, pool = awake
    pool.say(PoolState.SWITCHED)
    assert pool.pool.state == IMPORTING
    assert one.told() == (control.AWAKE, 0, 1)
    pool.say(PoolState.SERVING)
    assert pool.pool.state == SERVING


@pytest.mark.parametrize("nonsense", [1 << 63, 2**64 - 2])
def test_a_word_it_does_not_know_ends_the_pool(awake, nonsense):
    one, pool = awake
    pool.say(nonsense.to_bytes(8, sys.byteorder))
    assert one.ordered() == ({"do": orders.KILL, "serial": 1}, [])


def test_words_that_come_together_are_heard_in_their_order(awake):
    one, pool = awake
    os.write(pool.channel, PoolState.SERVING)
    pool.say(PoolState.SWITCHED)
    assert pool.pool.state == SERVING
    assert one.told() == (control.AWAKE, 0, 1)


def test_who_counts_fast_talks_without_end(awake):
    one, pool = awake
    pool.say((500 * int.from_bytes(PoolState.IDLE, sys.byteorder)).to_bytes(8, sys.byteorder))
    assert one.ordered() == ({"do": orders.KILL, "serial": 1}, [])


def test_a_channel_that_its_site_emptied_and_made_blocking_is_not_waited_for(awake):
    """It shares the file description: what is true at one moment is not at the next."""
    one, pool = awake
    os.set_blocking(pool.channel, True)
    assert os.get_blocking(pool.pool.channel)
    one.keeper.hear_pool(pool.pool)
    assert pool.pool.channel is not None


def test_a_handler_that_comes_too_late(awake):
    one, pool = awake
    one.table.close_channel(pool.pool)
    one.keeper.hear_pool(pool.pool)
    assert pool.pool.channel is None


# --- visitors that root may notice


def test_a_visitor_of_a_crashed_pool_restarts_it_with_its_queue(awake, where):
    one, pool = awake
    pool.say(PoolState.SWITCHED)
    pool.say(PoolState.SERVING)
    one.table.ended(1, 9)
    assert pool.pool.state == CRASHED
    pool.close()
    one.pass_time(0)
    one.round(0)
    assert len(one.table.pools) == 1
    with connect(where) as visitor:
        visitor.send(b"request")
        one.round(1)
        restarted = PoolEnd(one, *one.ordered())
        assert restarted.plan["serial"] == 2
        accepted, _ = restarted.listener.accept()
        with accepted:
            assert accepted.recv(100) == b"request"
    restarted.close()


# --- sleeping


def test_a_site_that_sleeps_costs_no_descriptor_for_its_log(awake):
    one, pool = awake
    [end] = one.log.sources["site 0"][1]
    pool.say(PoolState.SWITCHED)
    pool.say(PoolState.LEAVING)
    pool.close()
    one.table.ended(1, 0)
    assert one.log.sources == {}
    assert end not in fds.open_descriptors()
    assert one.table.rows[0].current is None


def test_a_site_that_sent_descriptors_to_its_log_has_none_and_runs(bench, monkeypatch):
    """On a kernel before 6.16."""
    monkeypatch.setattr(fds, "refuse_descriptors", lambda sock: False)
    one = bench(make_vhost(0))
    one.log.unguarded.kept["site 0"] = []
    pool = one.wake()
    assert os.readlink(f"/proc/self/fd/{pool.log}") == "/dev/null"
    assert one.notes == ["site0.example: nothing of its stdout and stderr is kept: it sent descriptors there"]
    [end] = one.log.sources["site 0"][1]
    assert os.read(end, 1) == b""
    pool.close()


def test_the_end_of__a_site_that_woke_again_stays(awake):
    """The old pool drains while the new one serves."""
    one, old = awake
    old.say(PoolState.SWITCHED)
    old.say(PoolState.LEAVING)
    one.front.end.recv(100)
    new = one.wake()
    one.table.ended(1, 0)
    assert list(one.log.sources) == ["site 0"]
    os.write(new.log, b"a line\n")
    assert os.read(one.log.sources["site 0"][1][0], 100) == b"a line\n"
    new.close()
    old.close()


# --- sockets


def test_a_pools_socket_is_removed_by_its_name(awake, where):
    one, _ = awake
    assert os.listdir(where.pools) == ["0.sock"]
    one.keeper.unlisten(one.table.rows[0])
    one.keeper.unlisten(one.table.rows[0])
    assert os.listdir(where.pools) == []


def test_another_web_servers_visitor_wakes_the_site(bench, external):
    one = bench(make_vhost(0, pool_socket=external))
    one.keeper.open_externals()
    assert stat.S_IMODE(os.stat(external.path).st_mode) == 0o600
    one.round(0)
    assert one.table.pools == {}
    with visit(external) as visitor:
        visitor.send(b"request")
        one.round(1)
        pool = PoolEnd(one, *one.ordered())
        assert pool.plan["external"] is True
        accepted, _ = pool.external.accept()
        with accepted:
            assert accepted.recv(100) == b"request"
    pool.close()


def test_while_the_pool_serves_it_root_does_not_look_at_that_socket(bench, external):
    one = bench(make_vhost(0, pool_socket=external))
    one.keeper.open_externals()
    pool = one.wake()
    row = one.table.rows[0]
    assert not one.watch.has(row.external)
    one.table.ended(1, 0)
    assert one.watch.has(row.external)
    one.keeper.watch_external(row)  # again is no error
    pool.close()


def test_a_visitor_for_a_site_that_just_died_is_looked_at_again_later(bench, external):
    one = bench(make_vhost(0, pool_socket=external))
    one.keeper.open_externals()
    row = one.table.rows[0]
    row.not_before = one.keeper.now() + 3600
    with visit(external):
        one.round(1)
        assert one.table.pools == {}
        assert not one.watch.has(row.external)
        row.not_before = 0.0
        one.pass_time(AGAIN_SECONDS)
        one.round(1)
    assert len(one.table.pools) == 1
    PoolEnd(one, *one.ordered()).close()


def test_no_socket_for_a_broken_site(bench, external):
    one = bench(make_vhost(0, pool_socket=external, problems=(Problem("itk.toml", 1, "user", "no such"),)))
    one.keeper.open_externals()
    assert not os.path.exists(external.path)


def test_a_socket_where_others_can_write_is_refused(bench, base):
    (base / "open").mkdir()
    (base / "open").chmod(0o777)
    one = bench(make_vhost(0, pool_socket=PoolSocket(f"{base}/open/a.sock", os.getuid(), os.getgid(), 0o600)))
    with pytest.raises(OperatorError, match="writable by others"):
        one.keeper.open_externals()


def test_at_the_end_no_socket_is_left(bench, external, where):
    one = bench(make_vhost(0, pool_socket=external), make_vhost(1))
    one.keeper.open_externals()
    pool = one.wake(1)
    kept = one.table.rows[0].external
    one.keeper.remove_sockets()
    assert os.listdir(where.pools) == []
    assert not os.path.exists(external.path)
    assert not one.watch.has(kept)
    one.keeper.external_visitor(one.table.rows[0])  # a handler that comes too late
    kept.close()
    pool.close()


# --- the rest


def test_cpu_time_is_what_proc_says(bench, peer):
    keeper = bench(make_vhost(0)).keeper
    before = keeper.cpu_seconds(os.getpid())
    while sum(os.times()[:2]) < before + 0.05:
        continue
    assert keeper.cpu_seconds(os.getpid()) >= before + 0.02
    gone = peer("front", "9")
    os.kill(gone.pid, 9)
    gone.ended()
    assert keeper.cpu_seconds(gone.pid) == 0.0


def test_a_rotation_reopens_the_logs_of_sites_that_are_awake(bench, base):
    one = bench(
        make_vhost(0, error_log=f"{base}/0/error.log", access_log=f"{base}/0/access.log"),
        make_vhost(1, error_log=f"{base}/1/error.log"),
        make_vhost(2),
    )
    pools = [one.wake(0), one.wake(2)]
    os.rename(base / "0" / "error.log", base / "0" / "error.log.1")
    ours, log = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    one.log.channel = ours
    one.keeper.reopen_site_logs()
    data, received = fds.receive_message(log, control.MAX_ORDER, 3)
    assert json.loads(data) == {"do": "reopen", "index": 0, "own_error": True, "own_access": True}
    assert [os.readlink(f"/proc/self/fd/{fd}") for fd in received] == [f"{base}/0/error.log", f"{base}/0/access.log"]
    log.setblocking(False)
    with pytest.raises(BlockingIOError):
        log.recv(1)
    one.log.channel = None
    for fd in received:
        os.close(fd)
    for each in (ours, log, *pools):
        each.close()


def test_logs_are_opened_both_or_none(base):
    both = make_vhost(0, error_log=f"{base}/error.log", access_log=f"{base}/access.log")
    opened = site_log_files(both)
    assert [os.readlink(f"/proc/self/fd/{fd}") for fd in opened] == [both.error_log, both.access_log]
    for fd in opened:
        os.close(fd)
    assert site_log_files(make_vhost(0)) == []
    os.symlink("/dev/null", base / "link.log")
    before = fds.open_descriptors()
    with pytest.raises(OperatorError):
        site_log_files(make_vhost(0, error_log=f"{base}/error.log", access_log=f"{base}/link.log"))
    assert fds.open_descriptors().items() <= before.items()
