"""A child: what it is when the site's code runs, whom it serves, and how it fails."""

import errno
import json
import os
import socket
from types import SimpleNamespace

import pytest

from itkwsgi.linux.title import ProcessTitle
from itkwsgi.runtime import child as module
from itkwsgi.runtime import slots
from itkwsgi.runtime.child import Child, QueueDrained
from itkwsgi.wire import fastcgi
from tests.support.daemon import title, wait_until
from tests.support.forked import as_ordinary
from tests.support.running import SMALL_SITE, ask

SOMEBODY_ELSE = 4242


# --- what it is


def test_a_child_on_a_request_holds_its_connection_and_nothing_else(pool):
    one = pool()
    facts = json.loads(one.ask("/facts").text)
    assert not {inode(one.listener), inode(one.channel)} & set(facts["descriptors"])
    assert facts["group"] is True
    assert (facts["blocked"], facts["handled"]) == (0, [])


def test_a_child_that_serves_more_keeps_only_the_listener_beside_it(pool):
    one = pool(requests_per_child=0)
    facts = json.loads(one.ask("/facts").text)
    assert inode(one.listener) in facts["descriptors"]
    assert inode(one.channel) not in facts["descriptors"]


def inode(line):
    """As /proc calls it.  (That a child holds nothing else is seen of the real daemon, in tests/root.)"""
    return os.readlink(f"/proc/self/fd/{line if isinstance(line, int) else line.fileno()}")


def test_the_title_has_method_and_path_and_no_query(pool):
    one = pool()
    with one.visit() as visitor:
        pid = visitor.hold(QUERY_STRING="password=secret")
        assert title(pid) == as_far_as_it_fits("itkwsgi: child a.example GET /hold")


def as_far_as_it_fits(text):
    """A pool of the tests has the room of pytest's own command line."""
    return text[: ProcessTitle().room].strip()


def test_a_child_that_waits_says_so_before_and_between_requests(pool):
    one = pool(requests_per_child=0, max_children=1)
    idle = as_far_as_it_fits("itkwsgi: child a.example (idle)")
    for _ in range(2):
        wait_until(lambda: [title(pid) for pid in one.children()] == [idle], what="a title")
        assert one.ask("/pid").status == 200


def test_the_mount_is_where_the_path_is_split(pool):
    one = pool(mount="/shop")
    assert one.ask("/shop/pid").status == 200


# --- who is served


def test_only_the_front_may_speak_to_the_pools_own_socket(pool):
    one = pool(peer_uid=SOMEBODY_ELSE, max_children=1)
    assert as_ordinary(refused, one.address)
    if os.geteuid() == 0:
        assert ask(one.address, "/pid").status == 200


def refused(address):
    """Closed without a byte, twice by the same child."""
    for _ in range(2):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(10)
            sock.connect(address)
            try:
                if sock.recv(1):
                    return False
            except ConnectionResetError:
                continue
    return True


def test_who_was_refused_costs_no_child(pool):
    one = pool(peer_uid=SOMEBODY_ELSE, max_children=1)
    wait_until(one.children, what="a child")
    before = one.children()
    assert as_ordinary(refused, one.address)
    assert one.children() == before


def test_whoever_can_connect_may_speak_to_a_pool_socket(pool):
    one = pool(peer_uid=SOMEBODY_ELSE, external=True)
    assert as_ordinary(status_of, one.external_address) == 200
    assert as_ordinary(refused, one.address)


def status_of(address):
    return ask(address, "/pid").status


# --- how it answers


def test_head_has_no_body(pool):
    answer = pool().ask("/pid", "HEAD")
    assert (answer.status, answer.body, answer.ended) == (200, b"", True)


@pytest.mark.parametrize(("path", "said"), [("/raise", "raised on purpose"), ("/exit", "left on purpose")])
def test_an_app_that_fails_before_its_first_byte_is_a_500_page(pool, path, said):
    one = pool()
    answer = one.ask(path)
    assert (answer.status, answer.ended) == (500, True)
    assert said not in answer.text
    log = one.log()
    assert f"GET {path}: failed [{answer.error_id}]\nTraceback" in log
    assert said in log
    assert one.ask("/pid").status == 200


def test_a_500_page_for_head_has_no_body_either(pool):
    answer = pool().ask("/raise", "HEAD")
    assert (answer.status, answer.body, answer.ended) == (500, b"", True)


def test_an_app_that_breaks_off_leaves_its_answer_without_an_end(pool):
    one = pool()
    answer = one.ask("/break")
    assert (answer.status, answer.text, answer.ended) == (200, "the beginning", False)
    assert "GET /break: broke off its answer after 13 bytes" in one.log()


def test_an_app_that_fails_after_its_answer_has_answered(pool):
    one = pool()
    answer = one.ask("/late")
    assert (answer.status, answer.text, answer.ended) == (200, "whole", True)
    wait_until(lambda: "GET /late: failed after its answer" in one.log(), what="a line in the log")


def test_an_app_that_kills_its_process_leaves_no_head(pool):
    answer = pool().ask("/die")
    assert (answer.status, answer.ended) == (None, False)


def test_a_visitor_who_leaves_within_the_body_is_the_apps_to_meet(pool):
    one = pool()
    with one.visit() as visitor:
        visitor.hold()
        visitor.send_body(b"half of it")
    wait_until(lambda: "OSError: the visitor went away within the request" in one.log(), what="a line in the log")
    assert one.ask("/pid").status == 200


def test_a_visitor_who_leaves_within_the_answer_ends_it(pool, place):
    one = pool(
        SMALL_SITE + "\ndef do_endless(environ, start_response):\n    start_response('200 OK', [])\n    try:\n"
        "        while True:\n            yield b'x' * 65536\n    finally:\n"
        f"        open({str(place / 'closed')!r}, 'w').close()\n"
    )
    with one.visit() as visitor:
        visitor.begin("/endless")
        assert visitor.is_answered(10)
    wait_until((place / "closed").exists, what="close() of the app's iterable")
    assert one.end() == 0
    assert "Traceback" not in one.log()


def test_a_body_that_the_app_does_not_read_does_no_harm(pool):
    one = pool()
    with one.visit() as visitor:
        visitor.begin("/pid", "POST", CONTENT_LENGTH="4")
        visitor.send_body(b"body")
        visitor.send_body()
        assert visitor.answer().status == 200


def test_broken_fastcgi_is_said_and_harms_nobody(pool):
    one = pool()
    with one.visit() as visitor:
        visitor.sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert visitor.rest() == b""
    assert "a web server spoke broken FastCGI: a FastCGI record of version 71\n" in one.log()
    assert one.ask("/pid").status == 200


def test_a_broken_pair_in_a_simple_request_is_said_too(pool):
    one = pool()
    begin, end = fastcgi.encode_request_head([])[:16], fastcgi.encode_request_head([])[16:]
    with one.visit() as visitor:
        visitor.sock.sendall(begin + b"\x01\x04\x00\x01\x00\x01\x00\x00\x05" + end + fastcgi.encode_stdin(b""))
        assert visitor.rest() == b""
    assert "a web server spoke broken FastCGI: a FastCGI name-value pair" in one.log()


def test_a_connection_without_a_request_is_nothing_to_speak_of(pool):
    one = pool(requests_per_child=0, max_children=1)
    with one.visit():
        pass
    assert one.ask("/pid").status == 200
    assert one.log() == ""


def test_what_a_child_cannot_do_is_in_the_log_and_ends_it_alone(pool, monkeypatch):
    def fail(self, sock):
        raise RuntimeError("our own failure")

    monkeypatch.setattr(Child, "serve", fail)
    one = pool()
    with one.visit() as visitor:
        assert visitor.rest() == b""
    wait_until(lambda: "a child failed [" in one.log() and "our own failure" in one.log(), what="a line in the log")
    monkeypatch.undo()
    assert one.children() != []


# --- accepting, without a process


class Refusing:
    """A listener that answers accept() with these errors, then with a connection."""

    def __init__(self, *errors):
        self.errors = list(errors)

    def _accept(self):
        if self.errors:
            raise self.errors.pop(0)
        ours, self.theirs = socket.socketpair()
        return ours.detach(), ""


def child_of(listener):
    plan = {"requests_per_child": 1, "peer_uid": os.getuid(), "name": "a.example"}
    return Child(SimpleNamespace(plan=plan, listener=listener, external=None, scope=None))


@pytest.fixture
def told(monkeypatch):
    states = []
    monkeypatch.setattr(Child, "tell", lambda self, state: states.append(state))
    return states


def test_somebody_quicker_at_the_listener_is_no_error(told, monkeypatch):
    monkeypatch.setattr(module, "is_shut", lambda listener: False)
    listener = Refusing(BlockingIOError(), BlockingIOError())
    sock = child_of(listener).accept()
    assert sock.getblocking()
    sock.close()
    listener.theirs.close()
    assert told == [slots.BUSY]


@pytest.mark.parametrize("error", [BlockingIOError(), OSError(errno.EINVAL, "Invalid argument")])
def test_a_listener_that_was_shut_has_no_more_visitors(told, monkeypatch, error):
    monkeypatch.setattr(module, "is_shut", lambda listener: True)
    with pytest.raises(QueueDrained):
        child_of(Refusing(error)).accept()
    assert told == []


def test_an_accept_that_fails_otherwise_is_an_error(told):
    with pytest.raises(OSError, match="Too many"):
        child_of(Refusing(OSError(errno.EMFILE, "Too many open files"))).accept()


def test_shut_is_seen_from_outside(place):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place / "a.sock"))
        listener.listen()
        assert not module.is_shut(listener)
        listener.shutdown(socket.SHUT_RD)
        assert module.is_shut(listener)
