"""Pools for real: in a fork, with real children, asked over their own socket."""

import errno
import json
import os
import signal
import time

import pytest

from itkwsgi.runtime import pool as module
from itkwsgi.runtime import spares
from tests.support.daemon import wait_gone, wait_until
from tests.support.running import SMALL_SITE, Visitor, ask, ended


@pytest.fixture
def quick(monkeypatch):
    """The pools of this test wait for parts of a second where others wait whole ones."""
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.05)
    monkeypatch.setattr(module, "BROKEN_SECONDS", 0.2)
    monkeypatch.setattr(spares, "QUIET_SECONDS", 0.05)


def is_refused(one):
    try:
        one.visit().sock.close()
    except ConnectionRefusedError:
        return True
    return False


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
    with one.visit() as visitor:
        visitor.hold()
        wait_until(lambda: len(one.children()) == 3, what="one at work and twice the spares")
        assert visitor.release() == "held 0"

    def few_are_left():
        one.ask("/pid")  # who lives on looks after a request whether it is needed
        return len(one.children()) <= 2

    wait_until(few_are_left, what="fewer than before")


def test_no_more_children_than_allowed(pool):
    one = pool(max_children=1)
    with one.visit() as first, one.visit() as second:
        first.hold()
        second.begin("/count")
        second.send_body()
        assert not second.is_answered(0.2)
        assert first.release() == "held 0"
        assert second.answer().text == "0"


@pytest.mark.parametrize(("each", "changes"), [(1, 3), (2, 1), (0, 0)])
def test_requests_per_child(pool, each, changes):
    one = pool(requests_per_child=each, max_children=1)
    pids = [one.ask("/pid").text for _ in range(4)]
    assert len(set(pids)) == changes + 1
    assert json.loads(one.ask("/facts").text)["once"] is (each == 1)


def test_a_supervisor_that_is_gone_does_not_keep_it_from_serving(pool, quick):
    one = pool()
    one.hang_up()
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
    monkeypatch.setattr(module, "FORK_PAUSE_SECONDS", 0.05)
    begun = time.monotonic()
    one = pool()
    assert one.ask("/pid").status == 200
    assert time.monotonic() - begun >= 0.1
    assert one.log().count("no process for another request: Resource temporarily unavailable") == 2


# --- importing


def test_a_broken_import_answers_500_and_the_cause_is_in_the_log(pool):
    one = pool("raise RuntimeError('broken on purpose')\n", said=b"SB")
    answer = one.ask("/pid")
    assert (answer.status, answer.ended) == (500, True)
    log = one.log()
    assert f"could not be imported [{answer.error_id}]" in log
    assert "RuntimeError: broken on purpose" in log
    assert "broken on purpose" not in answer.text


def test_visitors_do_not_keep_a_broken_site_from_being_tried_again(pool, quick):
    one = pool("raise SystemExit\n", said=b"SB")

    def gone():
        try:
            return one.ask("/pid").status != 500
        except ConnectionRefusedError:
            return True

    wait_until(gone, what="an end, in spite of visitors")
    assert ended(one.pid) == 0


def test_preload_none_imports_in_each_child(pool):
    one = pool(preload="none", max_children=1)
    imported_by, _, child = json.loads(one.ask("/pids").text)
    assert imported_by == child
    one.app.write_text("raise RuntimeError('broken since')\n")
    assert one.ask("/pid").status == 500
    assert "RuntimeError: broken since" in one.log()
    one.app.write_text(SMALL_SITE)
    assert one.ask("/pid").status == 200


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


def test_signals_are_as_in_a_plain_script_whatever_the_import_did(pool):
    one = pool(
        SMALL_SITE + "\nfor each in (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP, signal.SIGCHLD):\n"
        "    signal.signal(each, lambda number, frame: None)\n"
    )
    facts = json.loads(one.ask("/facts").text)
    assert (facts["blocked"], facts["handled"]) == (0, [])
    assert one.end() == 0


def test_what_the_import_registered_is_done_once_at_the_pools_end(pool, place):
    one = pool(SMALL_SITE + f"\nimport atexit\natexit.register(lambda: os.write(os.open({str(place / 'end')!r}, "
        "os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600), b'%d\\n' % os.getpid()))\n")  # fmt: skip
    assert one.ask("/pid").status == 200
    assert one.end() == 0
    assert (place / "end").read_text() == f"{one.pid}\n"


# --- leaving


def test_told_to_leave_it_says_so_takes_nobody_and_ends(pool):
    one = pool()
    one.kill()
    assert one.said() == b"L"
    assert ended(one.pid) == 0
    assert is_refused(one)
    assert one.said() == b""


def test_who_was_there_before_it_retired_is_served(pool):
    one = pool(max_children=1)
    with one.visit() as first, one.visit() as second, one.visit() as third:
        first.hold()
        second.begin("/count")
        one.kill()
        assert one.said() == b"L"
        wait_until(lambda: is_refused(one), what="a shut door")
        third.begin("/count")  # connected before, asks only now
        for visitor, size in ((second, 3), (third, 4)):
            visitor.send_body(b"x" * size)
            visitor.send_body()
        assert first.release() == "held 0"
        assert [second.answer().text, third.answer().text] == ["3", "4"]
    assert ended(one.pid) == 0


def test_a_pool_that_drains_forks_nobody_for_an_empty_queue(pool, monkeypatch):
    def counted(child):
        os.write(2, b"forked\n")
        return fork_child(child)

    fork_child = module.fork_child
    monkeypatch.setattr(module, "fork_child", counted)
    one = pool()
    with one.visit() as visitor:
        visitor.hold()
        one.kill()
        assert one.said() == b"L"
        wait_until(lambda: len(one.children()) == 1, what="only one child left")
        forked = one.log().count("forked")
        with pytest.raises(TimeoutError):
            one.said(0.2)
        assert one.log().count("forked") == forked
        assert visitor.release() == "held 0"
    assert ended(one.pid) == 0


def test_it_is_told_twice_and_leaves_once(pool):
    one = pool()
    with one.visit() as visitor:
        visitor.hold()
        one.kill()
        assert one.said() == b"L"
        one.kill()
        assert visitor.release() == "held 0"
    assert ended(one.pid) == 0
    assert one.said() == b""


def test_children_that_live_on_leave_with_it(pool):
    one = pool(requests_per_child=0, min_spare=3)
    assert one.ask("/pid").status == 200
    assert one.end() == 0


# --- idleness


def test_it_says_when_it_falls_idle_and_when_it_is_no_longer(pool, quick):
    one = pool()
    assert one.said() == b"I"
    assert one.ask("/pid").status == 200
    assert [one.said(), one.said()] == [b"A", b"I"]


def test_a_site_nobody_visits_any_more_goes_to_sleep(pool):
    one = pool(idle_timeout=0.1)
    assert one.said() == b"L"
    assert ended(one.pid) == 0


def test_a_request_at_work_is_no_idleness(pool):
    one = pool(idle_timeout=0.1)
    with one.visit() as visitor:
        visitor.hold()
        with pytest.raises(TimeoutError):
            one.said(0.4)
        assert visitor.release() == "held 0"
    assert one.said() == b"L"
    assert ended(one.pid) == 0


# --- children that end badly


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGUSR2])
def test_a_child_that_was_killed_is_said_in_the_log(pool, number):
    one = pool()
    with one.visit() as visitor:
        child = visitor.hold()
        os.kill(child, number)
        answer = visitor.answer()
    assert (answer.text, answer.ended) == (f"{child} begun, ", False)
    wait_until(
        lambda: f"child {child} was ended by {number.name} while it worked on GET /" in one.log(),
        what="a line in the log",
    )
    assert one.ask("/pid").status == 200


def test_a_signal_without_a_name_ends_the_child_alone(pool):
    one = pool()
    number = signal.SIGRTMIN + 5
    with one.visit() as bystander, one.visit() as visitor:
        bystander.hold()
        child = visitor.hold()
        os.kill(child, number)
        assert not visitor.answer().ended
        wait_until(
            lambda: f"child {child} was ended by signal {number} while it worked on GET /" in one.log(),
            what="a line in the log",
        )
        assert bystander.release() == "held 0"
    assert one.ask("/pid").status == 200


@pytest.mark.parametrize("path", ["/leave_in_group", "/leave_in_session"])
def test_what_a_child_leaves_running_is_killed(pool, path):
    one = pool()
    assert wait_gone([int(one.ask(path).text)]) == []
    assert one.ask("/pid").status == 200


def test_what_is_in_a_childs_process_group_goes_with_it_at_once(pool, monkeypatch):
    """Not only at the next look for what escaped."""
    monkeypatch.setattr(module, "SCAN_SECONDS", 3600.0)
    one = pool(max_children=1)
    assert one.ask("/pid").status == 200  # at its end the pool looked
    assert wait_gone([int(one.ask("/leave_in_group").text)]) == []


def test_a_childs_work_after_its_answer_is_not_cut_off_by_the_next_request(pool, place):
    one = pool(
        SMALL_SITE + f"\ndef do_after(environ, start_response):\n    import atexit, threading\n"
        f"    def work():\n        os.read(os.open({str(place / 'go')!r}, os.O_RDONLY), 1)\n"
        f"        open({str(place / 'done')!r}, 'w').close()\n"
        "    threading.Thread(target=work).start()\n    return text(start_response, 'answered')\n",
        exit_grace=10.0,
    )
    os.mkfifo(place / "go")
    os.chmod(place / "go", 0o666)
    assert one.ask("/after").text == "answered"
    assert one.ask("/pid").status == 200
    assert not (place / "done").exists()
    with open(place / "go", "wb", buffering=0) as go:
        go.write(b"!")
        wait_until((place / "done").exists, what="the end of the work")


# --- another web server's socket


def test_both_listeners_are_served(pool):
    one = pool(external=True)
    for _ in range(3):
        assert ask(one.external_address, "/pid").status == 200
        assert one.ask("/pid").status == 200


def test_both_at_once(pool):
    one = pool(external=True)
    with one.visit() as first, Visitor(one.external_address) as second:
        first.hold()
        second.hold()
        assert [first.release(), second.release()] == ["held 0", "held 0"]


def test_whoever_waits_at_the_other_socket_when_it_leaves_is_left_to_the_next_pool(pool):
    one = pool(external=True, max_children=1)
    with one.visit() as first, Visitor(one.external_address) as second:
        first.hold()
        second.begin("/pid")
        one.kill()
        assert one.said() == b"L"
        assert first.release() == "held 0"
        assert ended(one.pid) == 0
        accepted, _ = one.external.accept()
        with accepted:
            assert b"/pid" in accepted.recv(1000)


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL])
def test_after_a_memory_fault_of_a_child_the_pool_makes_room_for_one_with_another_layout(pool, number):
    one = pool(min_spare=2)
    with one.visit() as other:
        other.hold()
        with one.visit() as visitor:
            child = visitor.hold()
            os.kill(child, number)
            assert not visitor.answer().ended
        assert [one.said(), one.said()] == [b"C", b"L"]
        assert other.release()  # who was being served is
    assert ended(one.pid) == 0
    assert f"child {child} was ended by {number.name} while it worked on GET /" in one.log()
    assert "another address layout" in one.log()


def test_the_end_by_another_signal_says_nothing_of_the_layout(pool):
    one = pool()
    with one.visit() as visitor:
        os.kill(visitor.hold(), signal.SIGKILL)
        visitor.answer()
    assert one.ask("/pid").status == 200
    assert "another address layout" not in one.log()
