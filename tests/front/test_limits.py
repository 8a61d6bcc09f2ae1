"""post_max_size, request_timeout, max_input_time and expose_server: what the front keeps of a site's settings."""

import re
import threading
import time

import pytest

from itkwsgi.front import connection as module
from itkwsgi.wire import control, fastcgi

HEAD = "POST /p HTTP/1.1\r\nHost: a.example\r\n"
CHUNKED = f"{HEAD}Transfer-Encoding: chunked\r\n\r\n"


def post(client, body, more=""):
    client.send(f"{HEAD}Content-Length: {len(body)}\r\n{more}\r\n".encode() + body)


def announce(client, size, more=""):
    client.send(f"{HEAD}Content-Length: {size}\r\n{more}\r\n")


def one_note(front, status, cause, request="POST /p"):
    """The only line said, which names the request and the cause."""
    found = re.fullmatch(r"a\.example: (\d+) \[[0-9a-f]{12}\] (\S+ \S+): (.*)\n", front.notes())
    assert found
    assert (found[1], found[2]) == (str(status), request)
    assert cause in found[3]


def saying(status="200 OK", body=b"", **fields):
    """A pool that answers this when it is asked, and the path and the body to a request itself."""

    def behave(connection):
        if connection.role == fastcgi.AUTHORIZER:
            connection.answer(body, status, **fields)
        else:
            connection.answer(b"served " + (connection.read_body() or b""))

    return behave


# --- post_max_size, final: the head is enough


def test_a_body_that_says_it_is_too_large_is_413_before_it_comes(start_limited):
    front = start_limited(post_max_size=[10, True])
    client = front.connect()
    announce(client, 11, "Expect: 100-continue\r\n")
    answer = client.read_head()
    assert (answer.status, answer["connection"]) == (413, "close")
    assert front.pools[0].requests == []
    one_note(front, 413, "post_max_size: the body has more than 10 bytes")


@pytest.mark.parametrize("final", [True, False])
def test_a_body_of_just_that_size_is_none_too_large(start_limited, final):
    front = start_limited(post_max_size=[10, final])
    client = front.connect()
    post(client, b"0123456789")
    assert client.read().body == b"/p 0123456789"
    client.send(CHUNKED + "a\r\n0123456789\r\n0\r\n\r\n")
    assert client.read().body == b"/p 0123456789"
    assert len(front.pools[0].requests) == 2


@pytest.mark.parametrize("value", [None, 0])
def test_no_size_is_none_too_large(start_limited, value):
    client = start_limited(post_max_size=[value, True]).connect()
    post(client, b"x" * 100_000)
    assert client.read().status == 200


def test_the_answer_can_be_read_while_the_client_still_sends(start_limited):
    client = start_limited(post_max_size=[10, True]).connect()
    post(client, b"x" * 2_000_000)
    assert client.read().status == 413
    assert client.at_end()


def test_a_chunked_body_is_413_as_soon_as_it_passes_the_size(start_limited):
    front = start_limited(post_max_size=[10, True])
    client = front.connect()
    client.send(CHUNKED + "8\r\n01234567\r\n3\r\n89")
    client.sock.settimeout(0.2)
    with pytest.raises(TimeoutError):
        client.sock.recv(1)
    client.sock.settimeout(10)
    client.send("a")
    assert client.read().status == 413
    assert client.at_end()
    assert front.pools[0].requests == []
    one_note(front, 413, "post_max_size: the body has more than 10 bytes")


def test_a_chunked_body_that_the_site_may_permit_is_the_sites_to_judge(start_limited):
    client = start_limited(post_max_size=[10, False]).connect()
    client.send(CHUNKED + "10\r\n0123456789abcdef\r\n0\r\n\r\n")
    assert client.read().body == b"/p 0123456789abcdef"


def test_nobody_is_asked_for_the_server_as_a_whole(start_limited):
    front = start_limited(post_max_size=[10, False])
    client = front.connect()
    client.send("OPTIONS * HTTP/1.1\r\nHost: a.example\r\nContent-Length: 11\r\n\r\n")
    assert client.read().status == 413
    assert front.pools[0].requests == []


# --- post_max_size, not final: the site is asked


def test_the_site_is_asked_by_the_head_and_permits(start_limited):
    front = start_limited(post_max_size=[10, False])
    seen = []

    def permit(connection):
        seen.append((connection.role, connection.params.get("CONTENT_LENGTH")))
        if connection.role == fastcgi.AUTHORIZER:
            connection.answer(b"never seen", Set_Cookie="never=seen")
        else:
            connection.answer(connection.read_body())

    front.pools[0].behave = permit
    client = front.connect()
    announce(client, 11, "Expect: 100-continue\r\nX-More: 1\r\n")
    assert client.read_head().status == 100
    assert seen == [(fastcgi.AUTHORIZER, "11")]
    client.send("hello world")
    answer = client.read()
    assert (answer.status, answer.body, answer["set-cookie"]) == (200, b"hello world", None)
    assert seen[1:] == [(fastcgi.RESPONDER, "11")]
    first, second = front.pools[0].requests
    assert first == second
    assert client.ask().status == 200
    assert ['"POST /p' in line for line in front.access_lines(2)] == [True, False]
    assert front.notes() == ""


def test_while_it_is_asked_there_is_no_body_on_the_way_to_it(start_limited):
    front = start_limited(post_max_size=[10, False])
    rest = []

    def behave(connection):
        connection.sock.settimeout(0.3)
        try:
            rest.append(connection.next_event())
        except TimeoutError:
            rest.append("nothing")
        connection.answer(b"too large", "413 Content Too Large")

    front.pools[0].behave = behave
    client = front.connect()
    post(client, b"x" * 100)
    assert client.read().status == 413
    assert rest == ["nothing"]


@pytest.mark.parametrize("status", ["413 Content Too Large", "201 Created", "302 Found", "403 Forbidden"])
def test_any_answer_but_200_is_the_visitors(start_limited, status):
    front = start_limited(post_max_size=[10, False])
    front.pools[0].behave = saying(status, b"the site's own", X_Own="yes")
    client = front.connect()
    announce(client, 1_000_000, "Expect: 100-continue\r\n")
    answer = client.read()
    assert (answer.status, answer.body, answer["x-own"]) == (int(status[:3]), b"the site's own", "yes")
    assert answer["connection"] == "close"
    assert client.at_end()
    assert len(front.pools[0].requests) == 1
    assert f'"POST /p HTTP/1.1" {status[:3]} 14 ' in front.access_lines(1)[0]


def test_a_refusal_in_pieces_is_relayed_while_the_client_sends(start_limited):
    front = start_limited(post_max_size=[10, False])

    def behave(connection):
        connection.head("413 Content Too Large")
        for _ in range(5):
            time.sleep(0.05)
            connection.write(b"x" * 1000)
        connection.end()

    front.pools[0].behave = behave
    client = front.connect()
    post(client, b"y" * 1_000_000)
    assert client.read().body == b"x" * 5000
    assert client.at_end()


def test_a_body_that_is_sent_unasked_waits_and_comes_whole(start_limited):
    front = start_limited(post_max_size=[10, False])
    release = threading.Event()
    whole = saying()

    def behave(connection):
        if connection.role == fastcgi.AUTHORIZER:
            release.wait(10)
        whole(connection)

    front.pools[0].behave = behave
    client = front.connect()
    body = bytes(range(256)) * 40_000
    sender = threading.Thread(target=post, args=(client, body))
    sender.start()
    time.sleep(0.3)
    ahead = front.in_loop(lambda: [one._parser.buffered for one in front.front.connections])
    assert module.MOST_AHEAD < ahead[0] < 1_000_000
    assert front.in_loop(lambda: front.front.spool.used) == 0
    release.set()
    assert client.read().body == b"served " + body
    sender.join()


def test_a_sleeping_site_is_woken_to_be_asked(start_front, make_site_row, make_limits_row):
    limits = [["", make_limits_row(post_max_size=[10, False])]]
    front = start_front(sites=[make_site_row(0, "a.example", limits=limits)])
    client = front.connect()
    announce(client, 11)
    front.supervisor.expect(control.WAKE)
    front.add_pool().behave = saying()
    front.supervisor.tell(control.AWAKE, 0)
    client.send("hello world")
    assert client.read().body == b"served hello world"


def test_a_site_that_dies_when_it_is_asked_is_500(start_limited):
    front = start_limited(post_max_size=[10, False])
    front.pools[0].behave = lambda connection: None
    client = front.connect()
    announce(client, 11, "Expect: 100-continue\r\n")
    assert client.read().status == 500
    assert client.at_end()
    one_note(front, 500, "broke off")


def test_one_that_says_200_without_end_costs_no_slot(start_limited, patiently):
    front = start_limited({"max_clients": 1}, post_max_size=[10, False])
    hung_up = threading.Event()

    def behave(connection):
        if connection.role == fastcgi.RESPONDER:
            connection.answer(connection.read_body())
            return
        connection.head()
        try:
            while True:
                connection.write(b"x" * 60_000)
        except ConnectionError:
            hung_up.set()

    front.pools[0].behave = behave
    client = front.connect()
    post(client, b"hello world")
    assert client.read().body == b"hello world"
    assert hung_up.wait(5)
    patiently(front.idle)


def test_a_child_that_stays_after_its_permission_holds_no_slot(start_limited):
    front = start_limited({"max_clients": 1}, post_max_size=[10, False])
    release = threading.Event()

    def behave(connection):
        saying()(connection)
        if connection.role == fastcgi.AUTHORIZER:
            release.wait(10)

    front.pools[0].behave = behave
    client = front.connect()
    post(client, b"hello world")
    assert client.read().body == b"served hello world"
    release.set()


def test_a_client_that_goes_while_the_site_is_asked_ends_that(start_limited, patiently):
    front = start_limited(post_max_size=[10, False])
    hung_up = threading.Event()
    front.pools[0].behave = lambda connection: connection.hung_up() and hung_up.set()
    client = front.connect()
    announce(client, 11)
    patiently(lambda: front.pools[0].requests)
    client.reset()
    assert hung_up.wait(2)
    patiently(front.idle)
    assert '"POST /p HTTP/1.1" 499 - ' in front.access_lines(1)[0]


def test_a_half_closed_client_is_asked_for_and_served(start_limited):
    front = start_limited(post_max_size=[10, False])
    front.pools[0].behave = saying()
    client = front.connect()
    post(client, b"hello world")
    client.half_close()
    assert client.read().body == b"served hello world"
    assert client.at_end()


@pytest.mark.parametrize(("said", "status"), [("200 OK", 400), ("413 Content Too Large", 413)])
def test_a_half_closed_client_without_its_whole_body(start_limited, said, status):
    """It gets the refusal; permitted, the request is broken."""
    front = start_limited(post_max_size=[10, False])
    release = threading.Event()
    answer = saying(said)

    def behave(connection):
        release.wait(10)
        answer(connection)

    front.pools[0].behave = behave
    client = front.connect()
    announce(client, 100)
    client.half_close()
    time.sleep(0.1)
    release.set()
    assert client.read().status == status
    assert client.at_end()
    assert [request["CONTENT_LENGTH"] for request in front.pools[0].requests] == ["100"]


def test_a_permission_is_none_beyond_the_spool(start_limited):
    front = start_limited({"spool_max": 1_000_000}, post_max_size=[10, False])
    client = front.connect()
    announce(client, 500_001)
    assert client.read().status == 503
    assert front.pools[0].requests == []


def test_what_follows_a_permitted_body_is_the_next_request(start_limited):
    front = start_limited(post_max_size=[10, False])
    front.pools[0].behave = saying()
    client = front.connect()
    for _ in range(3):
        post(client, b"hello world")
        client.get()
    assert [client.read().body for _ in range(6)] == [b"served hello world", b"served "] * 3


# --- request_timeout


def stay_silent(connection):
    connection.hung_up()


def test_a_request_that_takes_too_long_is_504(start_limited, patiently):
    front = start_limited(request_timeout=[0.3, True])
    front.pools[0].behave = stay_silent
    client = front.connect()
    begun = time.monotonic()
    answer = client.ask("/slow?secret=1")
    assert answer.status == 504
    assert 0.3 <= time.monotonic() - begun < 1.5
    one_note(front, 504, "request_timeout: 0.3 s are over", "GET /slow")
    patiently(front.idle)
    front.pools[0].behave = saying()
    assert client.ask().status == 200


def test_waiting_for_a_pool_counts(start_front, make_site_row, make_limits_row):
    limits = [["", make_limits_row(request_timeout=[0.3, True])]]
    front = start_front(sites=[make_site_row(0, "a.example", limits=limits)])
    assert front.connect().ask().status == 504
    front.add_pool()
    front.supervisor.tell(control.AWAKE, 0)
    assert front.connect().ask().status == 200
    assert len(front.pools[0].requests) == 1


def test_the_body_s_time_does_not_count(start_limited):
    client = start_limited(request_timeout=[0.3, True]).connect()
    announce(client, 2)
    time.sleep(0.5)
    client.send("ab")
    assert client.read().status == 200


def test_an_answer_that_is_begun_is_cut_off(start_limited, patiently):
    front = start_limited(request_timeout=[0.3, True])

    def drip(connection):
        connection.head()
        connection.write(b"begun")
        connection.hung_up()

    front.pools[0].behave = drip
    client = front.connect()
    client.get()
    assert client.read_head().status == 200
    with pytest.raises(ConnectionResetError):
        client.rest()
    one_note(front, 504, "request_timeout: 0.3 s are over", "GET /")
    patiently(front.idle)


def test_a_request_that_is_fast_enough_knows_nothing_of_it(start_limited):
    front = start_limited(request_timeout=[0.3, True])
    client = front.connect()
    assert client.ask().status == 200
    time.sleep(0.6)
    assert client.ask().status == 200
    assert front.notes() == ""


class CountingLoop:
    """Counts the timers of requests that are begun."""

    def __init__(self, loop):
        self.loop = loop
        self.begun = 0

    def call_at(self, *what):
        self.begun += 1
        return self.loop.call_at(*what)

    def __getattr__(self, name):
        return getattr(self.loop, name)


@pytest.mark.parametrize(("seconds", "timers"), [(None, 0), (0, 0), (60, 1)])
def test_a_request_without_a_limit_has_no_timer(start_limited, seconds, timers):
    front = start_limited(request_timeout=[seconds, True])
    front.front.loop = CountingLoop(front.loop)
    assert front.connect().ask().status == 200
    assert front.front.loop.begun == timers


def telling(seconds, pause=0.0):
    """A child that tells its time and answers after a pause, if the front still listens."""

    def behave(connection):
        connection.raw(fastcgi.encode_deadline(seconds))
        time.sleep(pause)
        connection.answer(b"late")

    return behave


@pytest.mark.parametrize("seconds", [30, None])
def test_the_site_may_tell_a_longer_time(start_limited, seconds):
    front = start_limited(request_timeout=[0.3, False])
    front.pools[0].behave = telling(seconds, 0.6)
    assert front.connect().ask().body == b"late"


@pytest.mark.parametrize("value", [30, None])
def test_the_site_may_tell_a_shorter_time(start_limited, value):
    front = start_limited(request_timeout=[value, False])
    front.pools[0].behave = telling(0.2, 0.8)
    assert front.connect().ask().status == 504
    one_note(front, 504, "request_timeout: 0.2 s are over", "GET /")


def test_a_final_time_is_not_for_the_site_to_change(start_limited):
    front = start_limited(request_timeout=[0.3, True])
    front.pools[0].behave = telling(None, 0.6)
    assert front.connect().ask().status == 504
    front.pools[0].behave = telling(0.01, 0.1)
    assert front.connect().ask().body == b"late"


def test_a_time_that_is_told_twice_is_nonsense(start_limited):
    front = start_limited(request_timeout=[30, False])
    front.pools[0].behave = lambda connection: connection.raw(fastcgi.encode_deadline(9) * 2)
    assert front.connect().ask().status == 502


def test_a_site_that_is_asked_has_its_time_too(start_limited, patiently):
    front = start_limited(request_timeout=[0.3, True], post_max_size=[10, False])
    front.pools[0].behave = stay_silent
    client = front.connect()
    announce(client, 11)
    assert client.read().status == 504
    assert client.at_end()
    one_note(front, 504, "request_timeout: 0.3 s are over")
    patiently(front.idle)


def test_the_time_of_a_permission_is_not_the_body_s(start_limited):
    front = start_limited(request_timeout=[0.4, True], post_max_size=[10, False])
    front.pools[0].behave = saying()
    client = front.connect()
    announce(client, 11, "Expect: 100-continue\r\n")
    assert client.read_head().status == 100
    time.sleep(0.6)
    client.send("hello world")
    assert client.read().body == b"served hello world"


# --- max_input_time


def test_a_body_that_takes_too_long_is_408_however_it_flows(start_limited):
    front = start_limited(max_input_time=[0.5, True])
    client = front.connect()
    announce(client, 10_000_000)
    assert client.send_until_closed(b"x" * 10_000, 0.05) < 5
    assert client.read().status == 408
    assert front.pools[0].requests == []
    one_note(front, 408, "max_input_time: the body took more than 0.5 s")


def test_a_body_in_time_is_served_and_its_answer_may_take_longer(start_limited):
    front = start_limited(max_input_time=[0.5, True])

    def slow(connection):
        body = connection.read_body()
        time.sleep(1.2)
        connection.answer(body)

    front.pools[0].behave = slow
    client = front.connect()
    post(client, b"hello")
    assert client.read().body == b"hello"


def test_a_client_that_does_not_read_gains_no_time_for_its_body(start_front, make_site_row, make_limits_row):
    """What it was sent before waits for it, and yet its body is late; none of that is lost to it."""
    site = make_site_row(0, "a.example", listeners=[1], limits=[["", make_limits_row(max_input_time=[0.3, True])]])
    front = start_front(sites=[site])
    front.add_pool().behave = lambda connection: connection.answer(b"x" * 900_000)
    client = front.connect_unix()  # whose socket takes far less than that
    client.get()
    announce(client, 10)
    assert '"POST /p HTTP/1.1" 408 ' in front.access_lines(2)[1]
    assert front.in_loop(lambda: sum(one.unsent for one in front.front.connections)) > 0
    assert len(client.read().body) == 900_000
    assert client.read().status == 408
    assert client.at_end()


# --- expose_server


def test_a_server_that_is_not_exposed_is_named_nowhere(start_front, make_site_row, make_limits_row):
    hidden = [["/hidden", make_limits_row(expose_server=False)], ["", make_limits_row()]]
    front = start_front(
        sites=[
            make_site_row(0, "a.example", limits=hidden),
            make_site_row(1, "b.example", limits=[["", make_limits_row(expose_server=False)]], broken="why"),
        ]
    )
    pool = front.add_pool()
    client = front.connect()
    assert [client.ask(path)["server"] for path in ("/", "/hidden", "/hidden/x", "/hiddenx")] == [
        "itkwsgi", None, None, "itkwsgi",
    ]  # fmt: skip
    page = client.ask(host="b.example")
    assert (page.status, page["server"], "<address>" in page.text, "itkwsgi" in page.text) == (500, None, False, False)
    pool.behave = lambda connection: None
    assert "<address>" in client.ask("/").text
    page = client.ask("/hidden")
    assert (page.status, page["server"], "<address>" in page.text) == (500, None, False)


def test_limits_are_those_of_the_path(start_front, make_site_row, make_limits_row):
    limits = [
        ["/up/large", make_limits_row(post_max_size=[100, True])],
        ["/up", make_limits_row(post_max_size=[10, True])],
        ["", make_limits_row(post_max_size=[1, True])],
    ]
    front = start_front(sites=[make_site_row(0, "a.example", limits=limits)])
    front.add_pool()

    def status(path, size):
        client = front.connect()
        client.send(f"POST {path} HTTP/1.1\r\nHost: a.example\r\nContent-Length: {size}\r\n\r\n{'x' * size}")
        return client.read().status

    assert [status("/", 1), status("/", 2), status("/upx", 2)] == [200, 413, 413]
    assert [status("/up", 10), status("/up/", 11), status("//up/.//x", 11), status("/%75p", 11)] == [200, 413, 413, 413]
    assert [status("/up/large", 100), status("/up//large/x", 101), status("/up/large/../x", 11)] == [200, 413, 413]
