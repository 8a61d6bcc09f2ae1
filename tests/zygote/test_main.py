"""The zygote's life, in a fork, with orders as the supervisor sends them."""

import errno
import json
import os
import signal
import socket
import sys

import pytest

from itkwsgi.errors import Bug
from itkwsgi.linux import fds, process_status
from itkwsgi.wire import control, orders
from itkwsgi.zygote import main as module
from itkwsgi.zygote.main import BOOT, Zygote
from itkwsgi.zygote.spawn import Parent
from tests.support.daemon import title, wait_gone, wait_until
from tests.support.forked import in_child
from tests.support.running import SMALL_SITE, end_children_but, ended, ordinary_ids


def exited(zygote):
    """The next notice, which must be of a pool's end: its serial, its exit status (negative for a signal)."""
    notice = zygote.heard()
    assert notice.kind == control.EXITED
    return notice.serial, os.waitstatus_to_exitcode(notice.value)


# --- pools


def test_an_order_makes_a_pool_that_serves(zygote):
    one = zygote()
    site = one.spawned()
    imported_by, parent, _ = json.loads(site.ask("/pids").text)
    assert imported_by == parent == site.pid
    assert json.loads(site.ask("/facts").text)["uid"] == ordinary_ids()["uid"]


def test_a_pool_told_to_drain_serves_who_is_there_and_its_end_is_reported(zygote):
    one = zygote()
    site = one.spawned()
    with site.visit() as visitor:
        visitor.hold()
        one.order(orders.TERMINATE, 1)
        assert site.said() == b"L"
        assert visitor.release() == "held 0"
    assert exited(one) == (1, 0)


def test_a_killed_pool_takes_its_children_with_it(zygote):
    one = zygote()
    site = one.spawned(min_spare=3)
    wait_until(lambda: len(process_status.children_of(site.pid)) == 3, what="three spares")
    family = process_status.children_of(site.pid)
    one.order(orders.KILL, 1)
    assert exited(one) == (1, -signal.SIGKILL)
    assert wait_gone(family) == []
    assert one.spawned(2).ask("/pid").status == 200


def test_the_zygote_keeps_nothing_of_a_pool(zygote):
    """Its end of the channel is the last one."""
    one = zygote()
    site = one.spawned()
    one.order(orders.KILL, 1)
    assert exited(one) == (1, -signal.SIGKILL)
    assert site.said() == b""


def test_several_pools_are_told_apart_by_their_serials(zygote):
    one = zygote()
    first, second = one.spawned(7), one.spawned(2**40)
    one.order(orders.KILL, 2**40)
    assert exited(one) == (2**40, -signal.SIGKILL)
    assert first.ask("/pid").status == 200
    one.order(orders.TERMINATE, 7)
    assert exited(one) == (7, 0)
    assert wait_gone([first.pid, second.pid]) == []


@pytest.mark.parametrize("do", [orders.TERMINATE, orders.KILL])
def test_an_order_for_a_pool_that_is_gone_harms_nobody(zygote, do):
    one = zygote()
    site = one.spawned()
    one.order(do, 99)
    assert site.ask("/pid").status == 200
    assert one.spawned(2).ask("/pid").status == 200


def test_a_pool_that_cannot_become_its_user_never_runs_a_line_of_the_site(zygote):
    one = zygote()
    site = one.spawn(source="raise SystemExit('the site ran')\n", gid=4242)
    assert one.heard().kind == control.SPAWNED
    assert exited(one) == (1, 70)
    assert site.said() == b""
    assert f"a.example: could not become uid {ordinary_ids()['uid']}: SwitchError" in site.log()
    assert "the site ran" not in site.log()


def test_no_process_to_be_had_is_reported(zygote, monkeypatch):
    refusals = [1]

    def refuse(order, parent):
        if refusals:
            refusals.pop()
            raise OSError(errno.EAGAIN, "Resource temporarily unavailable")
        return fork_pool(order, parent)

    fork_pool = module.fork_pool
    monkeypatch.setattr(module, "fork_pool", refuse)
    one = zygote()
    site = one.spawn()
    assert one.heard() == (control.NOT_SPAWNED, 1, 0, errno.EAGAIN)
    assert site.said() == b""  # what was handed over is closed
    assert one.spawned(2).ask("/pid").status == 200


def test_what_a_killed_pools_child_left_running_ends_too(zygote):
    """Out of its group and its session, with a parent and a grandparent that are both gone."""
    one = zygote()
    site = one.spawned(
        source=SMALL_SITE + "\ndef do_stay(environ, start_response):\n    start_response('200 OK', [])\n"
        "    yield f'{sleeper(os.setsid)} begun, '.encode()\n    yield environ['wsgi.input'].read()\n"
    )
    with site.visit() as visitor:
        left = visitor.hold("/stay")
        one.order(orders.KILL, 1)
        assert exited(one) == (1, -signal.SIGKILL)
        assert wait_gone([left]) == []


def test_a_site_with_an_interpreter_of_its_own(zygote):
    one = zygote()
    site = one.spawned(interpreter=sys.executable)
    imported_by, parent, _ = json.loads(site.ask("/pids").text)
    assert imported_by == parent == site.pid
    facts = json.loads(site.ask("/facts").text)
    assert (len(facts["descriptors"]), facts["blocked"]) == (4, 0)
    assert "PYTEST_CURRENT_TEST" not in facts["environment"]


# --- what is preloaded


MODULES = SMALL_SITE + "\nimport sys\ndef do_modules(e, s):\n    return text(s, ' '.join(sys.modules))\n"


def test_pools_inherit_what_was_preloaded(zygote):
    assert "colorsys" not in sys.modules
    one = zygote(preload=["colorsys"])
    assert "colorsys" in one.spawned(source=MODULES).ask("/modules").text.split()


def test_what_cannot_be_preloaded_is_said_and_the_rest_goes_on(zygote):
    one = zygote(preload=["no_such_module_here", "colorsys"])
    assert "preload of no_such_module_here failed, sites go without it:\nTraceback" in one.log()
    assert "colorsys" in one.spawned(source=MODULES).ask("/modules").text.split()


def test_packages_are_found_only_when_that_is_said(zygote, monkeypatch):
    monkeypatch.setattr(module, "add_site_packages", lambda: sys.path.append("/the packages"))
    path = SMALL_SITE + "\nimport sys\ndef do_path(e, s):\n    return text(s, ' '.join(sys.path))\n"
    assert "/the packages" in zygote(packages=True).spawned(source=path).ask("/path").text


# --- itself


def test_it_is_named_and_lets_nobody_look_into_its_memory(zygote):
    one = zygote(name="shared")
    assert title(one.pid).startswith("itkwsgi: zygote shar")
    status = process_status.read(one.pid)
    assert status.name == "itkwsgi-zygote"
    assert os.stat(f"/proc/{one.pid}/environ").st_uid == 0  # proc(5): what is not dumpable is root's


def test_a_privileged_one_gives_up_the_ambient_set(zygote, monkeypatch):
    def drop():
        os.write(2, b"dropped\n")
        drop_ambient()

    drop_ambient = module.drop_ambient
    monkeypatch.setattr(module, "drop_ambient", drop)
    one = zygote(privileged=True)
    assert one.log() == "dropped\n"


def test_signals_are_not_for_it(zygote):
    one = zygote()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        os.kill(one.pid, number)
    assert one.spawned().ask("/pid").status == 200


def test_the_end_of_the_supervisor_is_the_end_of_all(zygote):
    one = zygote()
    site = one.spawned(min_spare=2)
    left = json.loads(site.ask("/pids").text)[1]
    with site.visit() as visitor:
        child = visitor.hold()
        one.channel.close()
        assert ended(one.pid) == 0
        assert wait_gone([left, child, site.pid], 0) == []
        assert not visitor.answer().ended


def test_an_order_it_does_not_know_ends_it_and_its_pools_with_it(zygote):
    one = zygote()
    site = one.spawned()
    fds.send_message(one.channel, orders.encode({"do": "something else"}))
    assert one.heard() is None
    assert ended(one.pid) == 99  # what the tests' fork makes of an exception
    assert "Bug: an order the zygote does not know" in one.log()
    assert wait_gone([site.pid]) == []
    end_children_but(set())  # its children came to us: the supervisor's part


def test_a_pool_that_dies_while_nobody_listens_ends_the_loop():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.close()
    with ours:
        one = Zygote(ours, Parent(os.getpid(), BOOT))
        one.say(b"anything")
        assert not one.open


def test_settings_are_a_table_of_roots():
    def read(content):
        memory = fds.memfd_with(content, "settings")
        fds.arrange({orders.SETTINGS_FD: memory})
        return module.read_settings()

    assert in_child(read, orders.encode({"name": "system"})) == {"name": "system"}
    with pytest.raises(Bug):
        in_child(read, b"[]")


def test_a_full_pipe_of_wake_ups_is_emptied():
    reader, writer = os.pipe2(os.O_NONBLOCK)
    try:
        os.write(writer, b"\x11" * 10000)
        module.drain(reader)
        with pytest.raises(BlockingIOError):
            os.read(reader, 1)
        module.drain(reader)
    finally:
        os.close(reader)
        os.close(writer)
