"""A client's connection: order, keep-alive, half-closing, lingering, timeouts."""

import threading
import time

import pytest

from itkwsgi.front import connection as module
from itkwsgi.front import deadlines
from itkwsgi.front.params import plain_address


def test_one_request(client, pool):
    answer = client.ask("/x?y=1")
    assert (answer.status, answer.body) == (200, b"/x ")
    assert answer["server"] == "itkwsgi"
    assert answer["date"].endswith(" GMT")
    assert pool.requests[0]["QUERY_STRING"] == "y=1"


def test_keep_alive_serves_many_on_one_connection(client, pool):
    for number in range(20):
        assert client.ask(f"/{number}").body == f"/{number} ".encode()
    assert len(pool.requests) == 20


def test_close_is_obeyed(client):
    answer = client.ask(more="Connection: close\r\n")
    assert answer["connection"] == "close"
    assert client.at_end()


def test_http_1_0_closes_and_has_a_length_when_it_is_known(client):
    client.send("GET /old HTTP/1.0\r\nHost: a.example\r\n\r\n")
    answer = client.read()
    assert (answer.body, answer["content-length"], answer["transfer-encoding"]) == (b"/old ", "5", None)
    assert client.at_end()


def test_http_1_0_keep_alive(client):
    for _ in range(2):
        client.send("GET /old HTTP/1.0\r\nHost: a.example\r\nConnection: keep-alive\r\n\r\n")
        assert client.read()["connection"] == "keep-alive"


def test_pipelined_requests_are_answered_in_their_order(front, client):
    order = []

    def slow(connection):
        connection.read_body()
        time.sleep(0.1)
        order.append("a")
        connection.answer(b"from a")

    def fast(connection):
        connection.read_body()
        order.append("b")
        connection.answer(b"from b")

    front.pools[0].behave = slow
    front.pools[1].behave = fast
    client.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\nGET / HTTP/1.1\r\nHost: b.example\r\n\r\n" * 2)
    assert [client.read().body for _ in range(4)] == [b"from a", b"from b"] * 2
    assert order == ["a", "b", "a", "b"]


def test_a_thousand_pipelined_requests(front, client):
    threading.Thread(target=client.send, args=("GET /n HTTP/1.1\r\nHost: a.example\r\n\r\n" * 1000,)).start()
    assert {client.read().body for _ in range(1000)} == {b"/n "}


def test_pipelined_refusals_need_no_recursion(client):
    client.send("GET / HTTP/1.1\r\nHost: nobody.example\r\n\r\n" * 1500)
    assert {client.read().status for _ in range(1500)} == {421}


def test_what_is_sent_ahead_is_read_only_to_a_limit(front, client):
    release = threading.Event()

    def wait(connection):
        release.wait(10)
        connection.answer(b"done")

    front.pools[0].behave = wait
    client.get()
    assert client.send_until_full(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n" * 1000, 64 << 20) < 32 << 20
    release.set()
    assert client.read().body == b"done"


def test_what_was_left_unread_is_read_later(front, client):
    release = threading.Event()

    def wait(connection):
        release.wait(10)
        connection.answer(b"x")

    front.pools[0].behave = wait
    count = 5000
    sender = threading.Thread(target=client.send, args=("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n" * count,))
    sender.start()
    time.sleep(0.2)
    ahead = front.in_loop(lambda: [one._parser.buffered for one in front.front.connections])
    assert module.MOST_AHEAD < ahead[0] < 1_000_000
    release.set()
    assert {client.read().body for _ in range(count)} == {b"x"}
    sender.join()


def test_what_was_left_unread_does_not_destroy_the_last_answer(front, client):
    release = threading.Event()

    def wait(connection):
        release.wait(10)
        connection.answer(b"last", Connection="close")

    front.pools[0].behave = wait
    client.get()
    client.send_until_full(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n" * 1000, 64 << 20)
    release.set()
    assert client.read().body == b"last"


def test_a_half_closed_client_gets_its_whole_answer(front, client):
    def stream(connection):
        connection.read_body()
        connection.head()
        for _ in range(5):
            time.sleep(0.02)
            connection.write(b"x" * 1000)
        connection.end()

    front.pools[0].behave = stream
    client.get()
    client.half_close()
    assert client.read().body == b"x" * 5000
    assert client.at_end()


def test_a_half_closed_client_gets_all_its_pipelined_answers(client):
    client.send("GET /1 HTTP/1.1\r\nHost: a.example\r\n\r\nGET /2 HTTP/1.1\r\nHost: b.example\r\n\r\n")
    client.half_close()
    assert [client.read().body, client.read().body] == [b"/1 ", b"/2 "]
    assert client.at_end()


@pytest.mark.parametrize("part", ["GET / HT", "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nabc"])
def test_a_request_that_ends_in_its_middle_is_400(client, pool, part):
    client.send(part)
    client.half_close()
    assert client.read().status == 400
    assert client.at_end()
    assert pool.requests == []


def test_an_idle_client_that_closes_is_just_gone(front, client, patiently):
    assert client.ask().status == 200
    client.half_close()
    assert client.at_end()
    patiently(lambda: front.in_loop(lambda: len(front.front.waiting)) == 0)


REFUSED = {
    400: "GET / HTTP/1.1\r\n\r\n",
    414: f"GET /{'x' * 9000} HTTP/1.1\r\nHost: a.example\r\n\r\n",
    431: f"GET / HTTP/1.1\r\nHost: a.example\r\nX: {'x' * 9000}\r\n\r\n",
    421: "POST / HTTP/1.1\r\nHost: nobody.example\r\nContent-Length: 3000000\r\n\r\n",
    405: "TRACE / HTTP/1.1\r\nHost: a.example\r\n\r\n",
    505: "GET / HTTP/3.0\r\nHost: a.example\r\n\r\n",
}


@pytest.mark.parametrize("status", REFUSED)
def test_a_refusal_can_be_read_while_the_client_still_sends(client, pool, status):
    client.send(REFUSED[status].encode() + b"x" * 1_000_000)
    client.send(b"y" * 1_000_000)
    answer = client.read()
    assert answer.status == status
    assert answer["connection"] == "close"
    assert answer["content-type"] == "text/html; charset=utf-8"
    assert answer.body.endswith(b"</html>\n")
    assert client.at_end()
    assert pool.requests == []


def test_lingering_is_bounded_in_time(client, monkeypatch):
    monkeypatch.setattr(module, "LINGER_SECONDS", 0.2)
    client.send("nonsense\r\n\r\n")
    assert client.read().status == 400
    assert client.send_until_closed(b"x", 0.05) < 3


def test_lingering_is_bounded_in_bytes(client, monkeypatch):
    monkeypatch.setattr(module, "LINGER_BYTES", 100_000)
    monkeypatch.setattr(module, "LINGER_SECONDS", 60.0)
    client.send("nonsense\r\n\r\n")
    assert client.read().status == 400
    assert client.send_until_closed(b"x" * 50_000) < 3


def test_a_silent_connection_ends_without_a_word(start_front):
    client = start_front(header_timeout=0.2).connect()
    assert client.at_end()


def test_a_slow_head_is_408_however_its_bytes_drip(start_front):
    client = start_front(header_timeout=0.3, keepalive_timeout=30.0).connect()
    client.send("GET / HTTP/1.1\r\n")
    for _ in range(20):
        time.sleep(0.1)
        try:
            client.send("X")
        except OSError:
            break
    assert client.read().status == 408


def test_a_second_head_has_its_time_from_its_first_byte(start_front):
    front = start_front(header_timeout=1.2, keepalive_timeout=5.0)
    front.add_pool()
    client = front.connect()
    client.ask()
    time.sleep(1.3)
    client.send("GET / HTTP/1.1\r\n")
    time.sleep(0.3)
    client.send("Host: a.example\r\n\r\n")
    assert client.read().status == 200


def test_an_idle_connection_ends_after_keepalive_timeout(start_front):
    front = start_front(keepalive_timeout=0.2)
    front.add_pool()
    client = front.connect()
    assert client.ask().status == 200
    begun = time.monotonic()
    assert client.at_end()
    assert time.monotonic() - begun < 2


def test_a_body_that_stops_is_408(start_front):
    front = start_front(body_timeout=0.2)
    pool = front.add_pool()
    client = front.connect()
    client.send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 100\r\n\r\nabc")
    assert client.read().status == 408
    assert client.at_end()
    assert pool.requests == []


def test_a_body_that_drips_is_408(start_front):
    front = start_front(body_timeout=0.5, body_min_rate=1000)
    front.add_pool()
    client = front.connect()
    client.send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 100000\r\n\r\n")
    assert client.send_until_closed(b"x", 0.1) < 5
    assert client.read().status == 408


def test_a_slow_app_is_not_the_clients_fault(start_front):
    front = start_front(header_timeout=0.2, keepalive_timeout=0.2, body_timeout=0.2)

    def slow(connection):
        time.sleep(1.5)
        connection.answer(b"late")

    front.add_pool().behave = slow
    assert front.connect().ask().body == b"late"


def test_a_client_that_reads_nothing_for_long_is_cut_off(start_front, monkeypatch, patiently):
    monkeypatch.setattr(deadlines, "SEND_SECONDS", 0.3)
    monkeypatch.setattr(module, "SEND_CHECK_SECONDS", 0.1)
    front = start_front()
    hung_up = threading.Event()

    def flood(connection):
        connection.head()
        try:
            while True:
                connection.write(b"x" * 60000)
        except ConnectionError:
            hung_up.set()

    front.add_pool().behave = flood
    front.connect().get()
    assert hung_up.wait(10)
    patiently(front.idle)


def test_a_slow_reader_is_not_cut_off_by_keepalive_timeout(start_front, patiently):
    front = start_front(keepalive_timeout=0.2)
    size = 900_000
    front.add_pool().behave = lambda connection: connection.answer(b"x" * size)
    client = front.connect_unix()  # whose socket takes far less than that
    client.get()
    patiently(lambda: client.sock.recv(1, module.socket.MSG_PEEK))
    time.sleep(1.5)
    assert front.in_loop(lambda: sum(one.unsent for one in front.front.connections)) > 0
    assert len(client.read().body) == size
    assert client.at_end()


def test_a_reset_client_ends_its_request_at_once(front, client, pool, patiently):
    hung_up = threading.Event()

    def wait(connection):
        connection.read_body()
        if connection.hung_up():
            hung_up.set()

    pool.behave = wait
    client.get()
    patiently(lambda: pool.requests)
    client.reset()
    assert hung_up.wait(2)
    patiently(front.idle)
    assert '"GET / HTTP/1.1" 499 - ' in front.access_lines(1)[0]


@pytest.mark.parametrize(
    ("address", "plain"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:1", "::ffff:1"),
    ],
)
def test_plain_addresses(address, plain):
    assert plain_address(address) == plain


def test_a_client_of_a_unix_socket(front):
    client = front.connect_unix()
    assert client.ask("/u").body == b"/u "
    assert front.pools[0].requests[0]["REMOTE_ADDR"] == "unix:"
    assert front.pools[0].requests[0]["SERVER_PORT"] == "80"
