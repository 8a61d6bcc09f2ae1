"""Pools that misbehave, each in its way: what the client gets, and that nothing is left behind."""

import gc
import hashlib
import os
import re
import socket
import threading
import time

import pytest

from itkwsgi.front import upstream
from itkwsgi.wire import control, fastcgi
from itkwsgi.wire.records import STDERR, encode_record

MEGABYTE = 1 << 20


def found_id(answer):
    """The id on a page."""
    return re.search(r"<code>([0-9a-f]{12})</code>", answer.text)[1]


def fails_with(front, client, status, cause, more=""):
    """The next answer is a page with that status, and its id stands in a note with the cause."""
    answer = client.ask("/why?secret=1", more=more)
    assert answer.status == status
    error_id = found_id(answer)
    note = front.notes()
    assert note.startswith(f"a.example: {status} [{error_id}] GET /why: ")
    assert cause in note
    assert "secret" not in note
    return answer


def test_an_answer_in_one_piece_has_its_length(client, pool):
    pool.behave = lambda connection: connection.answer(b"12345")
    answer = client.ask()
    assert (answer["content-length"], answer["transfer-encoding"]) == ("5", None)


def test_an_answer_in_pieces_streams_in_chunks(client, pool):
    seen = threading.Event()

    def stream(connection):
        connection.head()
        connection.write(b"first")
        assert seen.wait(5)
        connection.write(b"second")
        connection.end()

    pool.behave = stream
    client.get()
    answer = client.read_head()
    assert answer["transfer-encoding"] == "chunked"
    assert (client.line(), client.take(5)) == ("5", b"first")
    seen.set()
    client.take(2)
    assert client.read_chunks() == b"second"


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_bodiless_answers(client, pool, status):
    pool.behave = lambda connection: connection.answer(b"", status, X_Kept="yes")
    answer = client.ask()
    assert (answer.status, answer["x-kept"], answer["transfer-encoding"]) == (int(status[:3]), "yes", None)
    assert client.ask().status == int(status[:3])


def test_head_has_the_length_and_no_body(client, pool):
    pool.behave = lambda connection: connection.answer(b"", Content_Length="1234")
    client.send("HEAD / HTTP/1.1\r\nHost: a.example\r\n\r\n" * 2)
    assert [client.read("HEAD")["content-length"] for _ in range(2)] == ["1234", "1234"]


def test_a_reason_that_is_missing_is_supplied(client, pool):
    pool.behave = lambda connection: connection.answer(b"", "404")
    assert client.ask().reason == "Not Found"


# --- The pool asleep, busy, gone


def test_a_sleeping_pool_is_woken_once_for_many(start_front):
    front = start_front()
    clients = [front.connect() for _ in range(10)]
    for client in clients:
        client.get("/sleep")
    front.supervisor.expect(control.WAKE)
    time.sleep(0.1)
    front.add_pool()
    front.supervisor.tell(control.AWAKE, 0)
    assert [client.read().body for client in clients] == [b"/sleep "] * 10
    assert front.supervisor.count(control.WAKE) == 1


def test_a_retired_pool_is_woken_again(front, client):
    assert client.ask().status == 200
    front.pools[0].close()
    client.get("/again")
    front.supervisor.expect(control.WAKE)
    front.add_pool()
    front.supervisor.tell(control.AWAKE, 0)
    assert client.read().body == b"/again "


def test_a_socket_that_refuses_is_a_sleeping_pool(front, client):
    front.pools[0].retire()
    client.get("/again")
    front.supervisor.expect(control.WAKE)
    front.pools.pop(0).close()
    front.add_pool()
    front.supervisor.tell(control.AWAKE, 0)
    assert client.read().body == b"/again "


@pytest.mark.parametrize(("kind", "status", "retry_after"), [(control.LATER, 503, "2"), (control.REFUSED, 500, None)])
def test_a_pool_that_cannot_be_started_is_a_page(start_front, kind, status, retry_after):
    front = start_front()
    client = front.connect()
    client.get()
    front.supervisor.expect(control.WAKE)
    front.supervisor.tell(kind, 0)
    answer = client.read()
    assert (answer.status, answer["retry-after"]) == (status, retry_after)
    assert found_id(answer) in front.notes()
    client.get()
    front.supervisor.expect(control.WAKE, 2)


def test_a_pool_that_always_falls_asleep_is_given_up(start_front):
    front = start_front()
    client = front.connect()
    client.get()
    for times in range(1, upstream.MOST_WAKES + 1):
        front.supervisor.expect(control.WAKE, times)
        front.supervisor.tell(control.AWAKE, 0)
    assert client.read().status == 503
    assert front.supervisor.count(control.WAKE) == upstream.MOST_WAKES


def test_who_waits_for_a_pool_holds_no_slot(start_front, patiently):
    front = start_front(max_clients=2)
    front.add_pool(1)
    sleepers = [front.connect() for _ in range(5)]
    for client in sleepers:
        client.get()
    front.supervisor.expect(control.WAKE)
    assert front.idle()
    assert front.connect().ask(host="b.example").status == 200


def test_a_client_that_goes_while_the_pool_wakes_is_forgotten(start_front, patiently):
    front = start_front()
    gone, stays = front.connect(), front.connect()
    gone.get("/gone")
    front.supervisor.expect(control.WAKE)
    stays.get("/stays")
    gone.reset()
    assert '"GET /gone HTTP/1.1" 499 - ' in front.access_lines(1)[0]
    pool = front.add_pool()
    front.supervisor.tell(control.AWAKE, 0)
    assert stays.read().body == b"/stays "
    assert len(pool.requests) == 1


def test_a_full_queue_is_503(start_front, patiently):
    front = start_front()
    pool = front.add_pool(backlog=0)
    pool.retire()
    pool.listener.close()
    os.unlink(pool.path)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(pool.path)
    listener.listen(0)  # and nobody accepts
    with listener:
        first = front.connect()
        first.get()
        patiently(lambda: not front.idle())
        answer = front.connect().ask()
        assert (answer.status, answer["retry-after"]) == (503, "2")


def test_an_overloaded_pool_is_503(front, client, pool):
    pool.behave = lambda connection: connection.end(fastcgi.OVERLOADED)
    answer = fails_with(front, client, 503, "overloaded")
    assert answer["retry-after"] == "2"
    assert answer["connection"] is None
    pool.behave = lambda connection: connection.answer()
    assert client.ask().status == 200


def test_a_refusing_pool_is_502(front, client, pool):
    pool.behave = lambda connection: connection.end(fastcgi.UNKNOWN_ROLE)
    fails_with(front, client, 502, "protocol status 3")


# --- Answers that are none


def write_garbage(connection):
    connection.raw(b"HTTP/1.1 200 OK\r\n\r\nhello" * 20)


def write_another_requests_record(connection):
    connection.raw(fastcgi.encode_stdout(b"Status: 200 OK\r\n\r\n", request_id=2))


def write_a_bad_head(connection):
    connection.raw(fastcgi.encode_stdout(b"no head at all\n\n"))


def write_an_endless_head(connection):
    while True:
        connection.write(b"X: " + b"x" * 1000 + b"\r\n")


def write_a_record_of_a_client(connection):
    connection.raw(fastcgi.encode_stdin(b"hello"))


def end_without_a_head(connection):
    connection.end()


def close_without_a_word(connection):
    return


def close_within_the_head(connection):
    connection.raw(fastcgi.encode_stdout(b"Status: 200 OK\r\nX"))


def close_after_the_stream(connection):
    connection.raw(fastcgi.encode_stdout(b"Status: 200 OK\r\n"))
    connection.raw(fastcgi.encode_stdout_end())


@pytest.mark.parametrize(
    ("behave", "status"),
    [
        (write_garbage, 502),
        (write_another_requests_record, 502),
        (write_a_bad_head, 502),
        (write_an_endless_head, 502),
        (write_a_record_of_a_client, 502),
        (end_without_a_head, 500),
        (close_without_a_word, 500),
        (close_within_the_head, 500),
        (close_after_the_stream, 500),
    ],
)
def test_an_answer_that_is_none_is_a_page_and_the_connection_lives(front, client, pool, behave, status, patiently):
    pool.behave = behave
    fails_with(front, client, status, "")
    patiently(front.idle)
    pool.behave = lambda connection: connection.answer(b"fine")
    assert client.ask().body == b"fine"


@pytest.mark.parametrize("field", ["X: a\x01b", "Content-Length: many", "Content-Length: 3\r\nContent-Length: 4"])
def test_a_field_that_cannot_be_sent_is_the_sites_error(front, client, pool, field):
    pool.behave = lambda connection: connection.raw(
        fastcgi.encode_stdout(f"Status: 200 OK\r\n{field}\r\n\r\n".encode("latin-1") + b"body")
        + fastcgi.encode_stdout_end()
        + fastcgi.encode_end_request()
    )
    answer = client.ask()
    assert answer.status in (500, 502)
    assert found_id(answer) in front.notes()


def test_a_length_that_is_wrong_is_seen_while_there_is_time(front, client, pool):
    pool.behave = lambda connection: connection.answer(b"12345", Content_Length="6")
    fails_with(front, client, 500, "5 bytes with a Content-Length of 6")


def break_off(connection):
    connection.head()
    connection.write(b"half of it")


def say_too_much(connection):
    connection.head(Content_Length="5")
    connection.write(b"12345")
    time.sleep(0.1)
    connection.write(b"6")
    connection.end()


def say_too_little(connection):
    connection.head(Content_Length="5")
    connection.write(b"1234")
    time.sleep(0.1)
    connection.end()


def garbage_after_the_head(connection):
    connection.head()
    connection.write(b"half")
    time.sleep(0.1)
    connection.raw(b"\0" * 100)


def end_without_an_end(connection):
    connection.head(Content_Length="5")
    connection.write(b"12345")
    connection.raw(fastcgi.encode_stdout_end())


@pytest.mark.parametrize(
    "behave", [break_off, say_too_much, say_too_little, garbage_after_the_head, end_without_an_end]
)
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_a_broken_answer_never_looks_whole(front, client, pool, behave, version, patiently):
    pool.behave = behave
    client.send(f"GET /x HTTP/{version}\r\nHost: a.example\r\n\r\n")
    with pytest.raises(ConnectionResetError):
        client.rest()
    patiently(front.idle)
    assert f'"GET /x HTTP/{version}" 200 ' in front.access_lines(1)[0]
    assert "a.example: 50" in front.notes()


def test_stderr_of_a_pool_goes_to_the_log_in_bounds(front, client, pool):
    def complain(connection):
        connection.raw(encode_record(STDERR, 1, b"one\ntwo \x1b[31m\n"))
        for _ in range(100):
            connection.raw(encode_record(STDERR, 1, b"x" * 1000 + b"\n"))
        connection.answer()

    pool.behave = complain
    assert client.ask().status == 200
    lines = front.notes().splitlines()
    assert lines[:2] == ["a.example: one", "a.example: two \\x1b[31m"]
    assert sum(map(len, lines)) < 5000


# --- Bodies


@pytest.mark.parametrize("size", [1, 65535, 65536, 65537, 3 * MEGABYTE])
def test_a_body_arrives_whole_with_its_length(client, pool, size):
    body = os.urandom(size)
    digests = []

    def digest(connection):
        received = connection.read_body()
        digests.append(hashlib.sha256(received).digest())
        connection.answer(connection.params["CONTENT_LENGTH"].encode())

    pool.behave = digest
    client.send(f"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: {size}\r\n\r\n".encode() + body)
    assert client.read().body == str(size).encode()
    assert digests == [hashlib.sha256(body).digest()]


def test_an_answer_that_comes_before_the_body_is_read_ends_the_sending(front, client, pool, patiently):
    release = threading.Event()

    def answer_early(connection):
        connection.answer(b"enough")
        release.wait(5)

    pool.behave = answer_early
    body = b"x" * (4 * MEGABYTE)
    for _ in range(3):
        client.send(f"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        assert client.read().body == b"enough"
    assert front.in_loop(lambda: front.front.spool.used) == 0
    release.set()
    patiently(front.idle)


def test_a_pool_that_closes_before_the_body_is_read_may_have_answered(client, pool):
    pool.behave = lambda connection: connection.answer(b"enough")
    body = b"x" * (4 * MEGABYTE)
    client.send(f"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    assert client.read().body == b"enough"


def test_a_pool_that_dies_within_the_body_is_not_asked_again(front, client, pool):
    pool.behave = lambda connection: connection.next_event()
    body = b"x" * MEGABYTE
    client.send(f"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    assert client.read().status == 500
    assert len(pool.requests) == 1


def test_a_spool_that_cannot_be_read_is_500(front, client, pool, monkeypatch):
    def fail(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("itkwsgi.front.bodies.os.pread", fail)
    client.send(f"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: {MEGABYTE}\r\n\r\n".encode() + b"x" * MEGABYTE)
    assert client.read().status == 500
    assert "Input/output error" in front.notes()


def test_a_body_and_a_large_answer_flow_at_the_same_time(client, pool):
    def echo(connection):
        connection.head()
        while isinstance(event := connection.next_event(), fastcgi.StdinData):
            connection.write(event.data)
        connection.end()

    pool.behave = echo
    body = os.urandom(2 * MEGABYTE)
    client.send(f"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    assert client.read().body == body


# --- Large answers, slow clients, slots


def write_much(total):
    def behave(connection):
        connection.head()
        for _ in range(total // MEGABYTE):
            connection.write(b"x" * MEGABYTE)
        connection.end()

    return behave


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_50_mb_for_a_slow_client_in_bounded_memory(front, pool, patiently):
    pool.behave = write_much(50 * MEGABYTE)
    client = front.connect_unix()
    gc.collect()
    before = resident()
    client.get()
    patiently(lambda: front.in_loop(lambda: sum(one.unsent for one in front.front.connections)) > 900_000)
    time.sleep(0.3)
    unsent = front.in_loop(lambda: sum(one.unsent for one in front.front.connections))
    assert unsent < 1.3 * MEGABYTE
    assert resident() - before < 10 * MEGABYTE
    size = 0
    client.read_head()
    while chunk := int(client.line(), 16):
        size += len(client.take(chunk))
        client.take(2)
    assert size == 50 * MEGABYTE
    patiently(front.idle)


def test_a_small_answer_for_a_slow_client_holds_no_child(front, pool, patiently):
    pool.behave = lambda connection: connection.answer(b"x" * 900_000)
    client = front.connect_unix()
    client.get()
    patiently(lambda: pool.requests)
    patiently(front.idle)
    assert front.in_loop(lambda: sum(one.unsent for one in front.front.connections)) > 0
    assert len(client.read().body) == 900_000


def test_a_client_that_goes_within_a_large_answer_frees_its_child(front, client, pool, patiently):
    hung_up = threading.Event()

    def flood(connection):
        connection.head()
        try:
            while True:
                connection.write(b"x" * 60000)
        except ConnectionError:
            hung_up.set()

    pool.behave = flood
    client.get()
    client.take(1000)
    client.reset()
    assert hung_up.wait(2)
    patiently(front.idle)


def test_work_after_the_answer_holds_its_slot_and_not_the_client(front, client, pool, patiently):
    release = threading.Event()

    def work_on(connection):
        connection.answer(b"done")
        release.wait(5)

    pool.behave = work_on
    assert client.ask().body == b"done"
    assert client.ask().body == b"done"
    assert front.in_loop(lambda: front.front.admission.in_use) == 2
    release.set()
    patiently(front.idle)


def test_nonsense_after_the_end_frees_the_slot(front, client, pool, patiently):
    def go_on(connection):
        connection.answer(b"done")
        time.sleep(0.05)
        connection.raw(b"more")
        connection.hung_up()

    pool.behave = go_on
    assert client.ask().body == b"done"
    patiently(front.idle)


def test_one_site_never_takes_the_last_slot(start_front, patiently):
    front = start_front(max_clients=3)
    release = threading.Event()

    def wait(connection):
        release.wait(10)
        connection.answer(b"late")

    front.add_pool(0).behave = wait
    front.add_pool(1)
    clients = [front.connect() for _ in range(2)]
    for client in clients:
        client.get()
    patiently(lambda: front.in_loop(lambda: front.front.admission.in_use) == 2)
    answer = front.connect().ask()
    assert (answer.status, answer["retry-after"]) == (503, "2")
    assert "max_clients" in front.notes()
    assert front.connect().ask(host="b.example").status == 200
    release.set()
    assert [client.read().body for client in clients] == [b"late", b"late"]


def test_our_own_error_in_an_answer_ends_that_request_alone(front, client, pool, monkeypatch, patiently):
    def fail(*_):
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(upstream.Exchange, "_take_events", fail)
        fails_with(front, client, 500, "ZeroDivisionError")
    patiently(front.idle)
    assert client.ask().status == 200
