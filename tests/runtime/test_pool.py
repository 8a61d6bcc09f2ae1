"""Pools for real: in a fork, with real children, asked over their own socket."""

import errno
import json
import os
import signal
import socket

import pytest

from itkwsgi.linux import process_status
from itkwsgi.runtime import pool as module
from itkwsgi.runtime import spares
from tests.support.daemon import wait_gone, wait_until
from tests.support.running import ask, ended


@pytest.fixture
def quick(monkeypatch):
    """The pools of this test wait for parts of a second where others wait whole ones."""
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.05)
    monkeypatch.setattr(module, "BROKEN_SECONDS", 0.2)
    monkeypatch.setattr(spares, "QUIET_SECONDS", 0.05)


# --- serving


def test_each_request_has_a_process_of_its_own_forked_from_one_import(pool):
    one = pool()
    answers = [json.loads(one.ask("/pids").text) for _ in range(3)]
    assert {(imported_by, parent) for imported_by, parent, _ in answers} == {(one.pid, one.pid)}
    assert len({child for _, _, child in answers}) == 3


def test_min_spare_children_wait_ahead(pool):
    one = pool(min_spare=3)
    wait_until(lambda: len(one.children()) == 3, what="three spares")
    one.ask("/pid")
    wait_until(lambda: len(one.children()) == 3, what="three spares again")


def test_demand_grows_the_spares_and_quiet_shrinks_them(pool, quick):
    one = pool(requests_per_child=0)
    with one.visit() as first, one.visit() as second:
        for visitor in (first, second):
            visitor.begin("/hold")
        wait_until(lambda: len(one.children()) >= 5, what="two at work and more ahead")
        for visitor in (first, second):
            visitor.send_body()
            assert visitor.answer().text == "held 0"

    def quiet():
        one.ask("/pid")  # who lives on ends after a request
        return len(one.children()) <= 2

    wait_until(quiet, what="no more than needed")


def test_no_more_children_than_allowed(pool):
    one = pool(max_children=1)
    with one.visit() as first, one.visit() as second:
        first.begin("/hold")
        second.begin("/hold")
        second.send_body()
        wait_until(lambda: busy(one) == 1, what="one at work")
        assert len(one.children()) == 1
        first.send_body()
        assert first.answer().text == "held 0"
        assert second.answer().text == "held 0"


def busy(one):
    """How many children have a connection: one-shot ones then hold no listener, which is their descriptor 3."""
    held = []
    for pid in one.children():
        try:
            held.append(os.readlink(f"/proc/{pid}/fd/3") != os.readlink(f"/proc/self/fd/{one.listener.fileno()}"))
        except FileNotFoundError:
            held.append(True)
        except (ProcessLookupError, PermissionError):
            continue
    return sum(held)


def test_a_supervisor_that_is_gone_does_not_keep_it_from_serving(pool, quick):
    one = pool()
    one.channel.close()
    assert one.ask("/pid").status == 200
    assert one.end() == 0


def test_no_process_to_be_had_is_said_and_tried_again(pool, monkeypatch):
    refusals = [1, 2]

    def refuse(child):
        if refusals:
            refusals.pop()
            raise OSError(errno.EAGAIN, "Resource temporarily unavailable")
        return fork_child(child)

    fork_child = module.fork_child
    monkeypatch.setattr(module, "fork_child", refuse)
    monkeypatch.setattr(module, "FORK_PAUSE_SECONDS", 0.01)
    one = pool()
    assert one.ask("/pid").status == 200
    assert one.log().count("no process for another request: Resource temporarily unavailable") == 2


# --- importing


def test_a_broken_import_answers_500_and_the_next_visitor_finds_it_mended(pool, quick):
    one = pool("raise RuntimeError('broken on purpose')\n", said=b"SB")
    answer = one.ask("/pid")
    assert (answer.status, answer.ended) == (500, True)
    log = one.log()
    assert f"could not be imported [{answer.error_id}]" in log
    assert "RuntimeError: broken on purpose" in log
    assert_it_leaves(one)


def test_requests_do_not_keep_a_broken_site_from_being_tried_again(pool, quick):
    one = pool("raise SystemExit\n", said=b"SB")

    def refused():
        try:
            return one.ask("/pid").status != 500
        except ConnectionRefusedError:
            return True

    wait_until(refused, what="an end, in spite of visitors")
    assert ended(one.pid) == 0


def test_preload_none_imports_in_each_child(pool, place):
    one = pool(preload="none")
    imported_by, _, child = json.loads(one.ask("/pids").text)
    assert imported_by == child
    one.app.write_text("raise RuntimeError('broken since')\n")
    assert one.ask("/pid").status == 500
    assert "RuntimeError: broken since" in one.log()


def test_warm_up_requests_come_before_the_first_child(pool):
    one = pool(
        "asked = []\n"
        "def application(environ, start_response):\n"
        "    asked.append(environ['PATH_INFO'])\n"
        "    start_response('200 OK', [])\n"
        "    return [' '.join(asked).encode()]\n",
        warmup=["/one", "/two?three=4"],
    )
    assert one.ask("/now").text == "/one /two /now"


def test_signals_are_as_in_a_plain_script_whatever_the_import_did(pool, place):
    one = pool(
        "import signal\n"
        "for each in (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP, signal.SIGCHLD):\n"
        "    signal.signal(each, lambda number, frame: None)\n"
        "signal.signal(signal.SIGUSR2, signal.SIG_IGN)\n"
        + (place / "small_site.py").read_text() if False else SITE_WITH_HANDLERS
    )
    facts = json.loads(one.ask("/facts").text)
    assert (facts["blocked"], facts["handled"]) == (0, [])
    assert one.end() == 0


SITE_WITH_HANDLERS = ""
