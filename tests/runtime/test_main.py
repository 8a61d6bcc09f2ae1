"""How a pool begins, in a fork and in an interpreter of its own."""

import json
import os
import signal
from contextlib import closing

from itkwsgi.linux import fds, process_status
from itkwsgi.runtime import main as module
from itkwsgi.wire import orders
from tests.support.daemon import title
from tests.support.running import SMALL_SITE, Site, ask, ended, exec_boot, nobody_left


def test_the_switch_is_said_before_the_site_has_a_word(pool, place):
    """An import that does not end: those who wait for the socket are told anyway."""
    os.mkfifo(place / "go")
    one = pool(SMALL_SITE + f"\nopen({str(place / 'go')!r}).read()\n", said=b"S")
    with open(place / "go", "w"):  # an end of file for the import
        pass
    assert one.said() == b"R"


def test_it_is_named_and_takes_in_what_its_children_leave(pool):
    one = pool(preload="none")
    status = process_status.read(one.pid)
    assert status.name == "itkwsgi-pool"
    assert title(one.pid).startswith("itkwsgi: pool a.exam")


def test_a_site_wakes_up_in_its_own_place(pool, place):
    one = pool(env={"GREETING": "hello"}, tmp_dir=str(place))
    facts = json.loads(one.ask("/facts").text)
    assert facts["directory"] == str(place)
    environment = facts["environment"]
    assert (environment["HOME"], environment["GREETING"], environment["TMPDIR"]) == (str(place), "hello", str(place))
    assert environment["USER"] == str(os.getuid())


def test_a_root_that_cannot_be_entered_is_said_and_the_site_tried(pool, place):
    one = pool(root=str(place / "missing"))
    assert f"root = '{place}/missing' cannot be entered by uid {os.getuid()}: No such file or directory" in one.log()
    assert one.ask("/pid").status == 200


def test_with_one_listener_children_wait_in_accept_itself(pool):
    one = pool()
    assert one.ask("/pid").status == 200
    assert os.get_blocking(one.listener.fileno())


def test_with_two_listeners_no_child_can_be_stuck_in_one_of_them(pool):
    one = pool(external=True)
    assert ask(one.external_address, "/pid").status == 200
    assert [os.get_blocking(sock.fileno()) for sock in (one.listener, one.external)] == [False, False]


def test_run_reads_its_plan_from_a_descriptor(pool):
    def run(plan):
        memory = fds.memfd_with(orders.encode(plan), "plan")
        fds.arrange({module.PLAN_FD: memory})
        os.close(memory)
        module.run()

    one = pool(run=run)
    assert one.ask("/pid").status == 200


def test_in_an_interpreter_of_its_own(place):
    """By way of boot.py, as a zygote execs it: only the descriptors it is given, and an empty environment."""
    site = Site(place)
    memory = fds.memfd_with(orders.encode(site.plan()), "plan")
    with nobody_left(), closing(site):
        pid = exec_boot("pool", {**site.descriptors(), module.PLAN_FD: memory})
        os.close(memory)
        site.let_go()
        assert [site.said(), site.said()] == [b"S", b"R"], site.log()
        assert json.loads(site.ask("/pids").text)[:2] == [pid, pid]
        assert "PYTEST_CURRENT_TEST" not in json.loads(site.ask("/facts").text)["environment"]
        os.kill(pid, signal.SIGTERM)
        assert ended(pid) == 0
    assert site.log() == ""
