"""One request: its site, its body, 100-continue, the pages, the lines in both logs."""

import re
import threading

import pytest

from itkwsgi.front.bodies import IN_MEMORY


def post(client, body, host="a.example", more=""):
    client.send(f"POST /p HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode() + body)


# --- Which site


def test_the_host_decides(front, client):
    front.pools[1].behave = lambda connection: connection.answer(b"b")
    assert [client.ask(host=host).body for host in ("a.example", "B.EXAMPLE:81", "b.example.")] == [b"/ ", b"b", b"b"]


def test_a_name_of_nobody_is_421_and_the_connection_goes_on(client):
    answer = client.ask(host="nobody.example")
    assert answer.status == 421
    assert "nobody.example" not in answer.text
    assert client.ask().status == 200


def test_no_host_at_all(client):
    client.send("GET / HTTP/1.0\r\n\r\n")
    assert client.read().status == 400
    assert client.at_end()


def test_no_host_means_the_default_site(start_front, make_site_row):
    front = start_front(sites=[make_site_row(0, "a.example", default=True)])
    pool = front.add_pool()
    client = front.connect()
    client.send("GET / HTTP/1.0\r\n\r\n")
    assert client.read().status == 200
    assert pool.requests[0]["SERVER_NAME"] == "a.example"


def test_a_broken_site_is_500_with_an_id_and_a_note(start_front, make_site_row):
    front = start_front(sites=[make_site_row(0, "a.example", broken="itk.toml:9: user: no such user: 'jess'")])
    client = front.connect()
    answer = client.ask("/x")
    error_id = re.search("<code>(.*)</code>", answer.text)[1]
    assert answer.status == 500
    assert "jess" not in answer.text
    assert front.notes() == (
        f"a.example: 500 [{error_id}] GET /x: the site is broken: itk.toml:9: user: no such user: 'jess'\n"
    )
    assert client.ask().status == 500
    assert front.supervisor.count(1) == 0


def test_a_broken_site_refuses_a_body_unread(start_front, make_site_row):
    client = start_front(sites=[make_site_row(0, "a.example", broken="why")]).connect()
    client.send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1000000\r\n\r\n")
    answer = client.read()
    assert (answer.status, answer["connection"]) == (500, "close")
    assert client.at_end()


def test_options_for_the_server_as_a_whole(client, pool):
    client.send("OPTIONS * HTTP/1.1\r\nHost: a.example\r\n\r\n")
    answer = client.read()
    assert (answer.status, answer.body) == (200, b"")
    assert "OPTIONS" in answer["allow"]
    assert pool.requests == []


# --- What the pool is told


def test_the_parameters_of_a_request(front, client, pool):
    client.send("GET /a%20b/%C3%A4?q=%20 HTTP/1.1\r\nHost: A.example:99\r\nX-One: 1\r\nX-One: 2\r\nProxy: evil\r\n\r\n")
    client.read()
    host, port = client.sock.getsockname()
    assert pool.requests == [
        {
            "SCRIPT_NAME": "",
            "GATEWAY_INTERFACE": "CGI/1.1",
            "SERVER_SOFTWARE": "itkwsgi",
            "REQUEST_SCHEME": "http",
            "REMOTE_ADDR": host,
            "REMOTE_PORT": str(port),
            "REQUEST_METHOD": "GET",
            "PATH_INFO": "/a b/ä".encode().decode("latin-1"),
            "QUERY_STRING": "q=%20",
            "REQUEST_URI": "/a%20b/%C3%A4?q=%20",
            "SERVER_NAME": "a.example",
            "SERVER_PORT": "99",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_HOST": "A.example:99",
            "HTTP_X_ONE": "1, 2",
        }
    ]


def test_content_length_only_where_there_was_one(client, pool):
    client.ask()
    post(client, b"")
    client.read()
    client.send("POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
    client.read()
    client.send(
        "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
    )
    assert client.read().body == b"/ abc"
    assert [request.get("CONTENT_LENGTH") for request in pool.requests] == [None, "0", "0", "3"]
    assert "HTTP_TRANSFER_ENCODING" not in pool.requests[-1]


# --- Bodies


def test_the_pool_hears_of_a_request_only_when_its_body_is_whole(client, pool):
    client.send("POST /slow HTTP/1.1\r\nHost: a.example\r\nContent-Length: 6\r\n\r\nabc")
    assert client.sock.settimeout(0.2) is None
    with pytest.raises(TimeoutError):
        client.sock.recv(1)
    assert pool.requests == []
    client.sock.settimeout(10)
    client.send("def")
    assert client.read().body == b"/slow abcdef"


def test_100_continue_comes_when_the_body_is_wanted(client):
    client.send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
    assert client.read_head().status == 100
    client.send("abc")
    assert client.read().body == b"/ abc"


def test_no_100_continue_when_the_body_is_there_already(client):
    post(client, b"abc", more="Expect: 100-continue\r\n")
    assert client.read_head().status == 200


def test_no_100_continue_for_a_body_that_is_refused(client):
    client.send("POST / HTTP/1.1\r\nHost: nobody.example\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
    assert client.read_head().status == 421


def test_a_large_body_is_spooled_and_the_spool_is_given_back(front, client, pool):
    used = []

    def look(connection):
        connection.read_body()
        used.append(front.in_loop(lambda: front.front.spool.used))
        connection.answer()

    pool.behave = look
    post(client, b"x" * (IN_MEMORY + 1))
    client.read()
    post(client, b"x" * IN_MEMORY)
    client.read()
    assert used == [IN_MEMORY + 1, 0]
    assert front.in_loop(lambda: front.front.spool.used) == 0


def test_a_client_that_goes_within_its_body_gives_the_spool_back(front, client, pool, patiently):
    client.send("POST /gone HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1000000\r\n\r\n" + "x" * 500_000)
    patiently(lambda: front.in_loop(lambda: front.front.spool.used) == 500_000)
    client.reset()
    patiently(lambda: front.in_loop(lambda: front.front.spool.used) == 0)
    assert '"POST /gone HTTP/1.1" 499 - ' in front.access_lines(1)[0]
    assert pool.requests == []


def test_spool_max_refuses_from_the_head_what_can_be_known(start_front):
    front = start_front(spool_max=1_000_000)
    front.add_pool()
    client = front.connect()
    client.send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 500001\r\nExpect: 100-continue\r\n\r\n")
    answer = client.read_head()
    assert (answer.status, answer["retry-after"], answer["connection"]) == (503, "2", "close")
    assert "spool_max" in front.notes()


def test_spool_max_refuses_a_chunked_body_where_it_ends(start_front):
    front = start_front(spool_max=1_000_000)
    front.add_pool()
    client = front.connect()
    client.send("POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n")
    client.send((b"186a0\r\n" + b"x" * 100_000 + b"\r\n") * 6)
    assert client.read().status == 503
    assert client.at_end()
    assert front.in_loop(lambda: front.front.spool.used) == 0


def test_a_full_disk_is_507(front, client, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("itkwsgi.front.bodies.os.write", full)
    post(client, b"x" * 100_000)
    assert client.read().status == 507


# --- Pages and logs


@pytest.mark.parametrize(("tokens", "server"), [("prod", "itkwsgi"), ("full", "itkwsgi/0.1.0"), ("off", None)])
def test_server_tokens(start_front, tokens, server):
    front = start_front(server_tokens=tokens)
    front.add_pool()
    client = front.connect()
    assert client.ask()["server"] == server
    page = client.ask(host="nobody.example").text
    assert ("<address>" in page) == (server is not None)


def test_server_signature(start_front, make_site_row):
    sites = [
        make_site_row(0, "a.example", broken="why"),
        make_site_row(1, "b.example", broken="why", server_signature=False),
    ]
    client = start_front(sites=sites).connect()
    assert "<address>itkwsgi at a.example port 81</address>" in client.ask(host="a.example:81").text
    assert "<address>" not in client.ask(host="b.example").text


def test_access_lines(front, client, pool):
    pool.behave = lambda connection: connection.answer(b"12345")
    client.ask("/x?y=1", more='User-Agent: a "quoted" \\ one\r\nReferer: http://r.example/\r\n')
    client.send("HEAD / HTTP/1.1\r\nHost: b.example\r\n\r\n")
    client.read("HEAD")
    client.ask(host="nobody.example")
    client.send('G@T /"\x01\x7f\xff HTTP/1.1\r\n\r\n')
    client.read()
    zone = r"\[\d\d/[A-Z][a-z][a-z]/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]"
    patterns = [
        rf'0 127\.0\.0\.1 - - {zone} "GET /x\?y=1 HTTP/1\.1" 200 5 "http://r\.example/" "a \\"quoted\\" \\\\ one"',
        rf'1 127\.0\.0\.1 - - {zone} "HEAD / HTTP/1\.1" 200 - "-" "-"',
        rf'- 127\.0\.0\.1 - - {zone} "GET / HTTP/1\.1" 421 \d+ "-" "-"',
        rf'- 127\.0\.0\.1 - - {zone} "G@T /\\"\\x01\\x7f\\xff HTTP/1\.1" 400 \d+ "-" "-"',
    ]
    lines = front.access_lines(4)
    assert len(lines) == 4
    for line, pattern in zip(lines, patterns, strict=True):
        assert re.fullmatch(pattern, line)


def test_a_site_whose_answers_are_not_logged(start_front, make_site_row):
    front = start_front(sites=[make_site_row(0, "a.example", log=False), make_site_row(1, "b.example")])
    for index in (0, 1):
        front.add_pool(index)
    client = front.connect()
    client.ask(host="a.example")
    client.ask(host="b.example")
    assert [line[:2] for line in front.access_lines(1)] == ["1 "]


def test_a_sites_page_never_shows_what_was_asked(front, client, pool):
    pool.behave = lambda connection: None
    page = client.ask("/<script>alert(1)</script>").text
    assert "script" not in page


def test_two_clients_are_served_at_once(front, pool):
    both = threading.Barrier(2, timeout=5)

    def meet(connection):
        both.wait()
        connection.answer(b"met")

    pool.behave = meet
    clients = [front.connect(), front.connect()]
    for client in clients:
        client.get()
    assert [client.read().body for client in clients] == [b"met", b"met"]
