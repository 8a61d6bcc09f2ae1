"""One request: who answers, in which process, and what the app is told."""

import json
import re
import socket
import time

import pytest
from daemon import read_all, title, wait_until


def facts(daemon, host="a.test", path="/facts", **more):
    return json.loads(daemon.ask(more.pop("method", "GET"), host, path, **more).body)


def test_hello(probe):
    answer = probe.get("a.test")
    assert (answer.status, answer.text) == (200, "hello\n")
    assert "date" in answer.headers


def test_each_request_has_a_fresh_process(probe):
    seen = [facts(probe) for _ in range(5)]
    assert len({one["pid"] for one in seen}) == 5
    assert len({one["pool"] for one in seen}) == 1
    assert {one["imported_by"] for one in seen} == {seen[0]["pool"]}
    assert {one["requests"] for one in seen} == {1}
    assert all(one["environ"]["wsgi.run_once"] is True for one in seen)


def test_requests_per_child_zero_keeps_its_processes(probe):
    seen = [facts(probe, "many.test") for _ in range(20)]
    assert len({one["pid"] for one in seen}) < 10
    assert max(one["requests"] for one in seen) > 1
    assert all(one["environ"]["wsgi.run_once"] is False for one in seen)


def test_environ(probe):
    environ = facts(probe, path="/facts?a=1&b=%20", headers={"X-Two-Words": "v", "Cookie": "c=d"})["environ"]
    assert environ["QUERY_STRING"] == "a=1&b=%20"
    assert environ["HTTP_X_TWO_WORDS"] == "v"
    assert environ["HTTP_COOKIE"] == "c=d"
    assert environ["HTTP_HOST"] == "a.test"
    assert environ["SERVER_NAME"] == "a.test"
    assert environ["SERVER_PORT"] == str(probe.port)
    assert environ["REMOTE_ADDR"] == "127.0.0.1"
    assert environ["REQUEST_METHOD"] == "GET"
    assert environ["SCRIPT_NAME"] == ""
    assert environ["wsgi.url_scheme"] == "http"
    assert environ["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert "CONTENT_LENGTH" not in environ
    assert "HTTP_CONTENT_LENGTH" not in environ


def test_a_client_cannot_speak_for_the_server(probe):
    environ = facts(probe, headers={"Proxy": "http://evil", "X_Forwarded_For": "1.2.3.4"})["environ"]
    assert "HTTP_PROXY" not in environ
    assert "HTTP_X_FORWARDED_FOR" not in environ


def test_a_child_holds_its_connection_and_nothing_else(probe):
    found = facts(probe)["fds"]
    sockets = [fd for fd, what in found.items() if what.startswith("socket:") and fd not in ("1", "2")]
    assert len(sockets) == 1
    assert found["0"] == "/dev/null"
    assert found["1"] == found["2"]  # its log, a socket too
    assert found["1"] != found[sockets[0]]
    others = {fd: what for fd, what in found.items() if fd not in ("0", "1", "2", *sockets)}
    assert all(what.startswith("/proc/") for what in others.values()), others


def test_nothing_of_the_servers_packages_or_environment(probe):
    found = facts(probe)
    assert not {"werkzeug", "uvloop", "prctl", "click", "toml", "asyncio"} & set(found["modules"])
    assert set(found["env"]) <= {
        "HOME", "USER", "LOGNAME", "SHELL", "PATH", "LANG", "PWD", "TMPDIR", "ITKWSGI_SLOT", "LC_CTYPE", "TZ",
    }  # fmt: skip
    assert not any("site-packages" in path and "itkwsgi" in path for path in found["path"])


def test_no_new_privs_and_no_capability(probe):
    status = facts(probe)["status"]
    assert "NoNewPrivs:\t1" in status
    for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert f"{name}:\t0000000000000000" in status


def test_unknown_host_reaches_no_site(probe):
    answer = probe.get("nobody.test")
    assert answer.status == 421


def test_keep_alive_between_sites(probe):
    connection = probe.connect()
    for number in range(50):
        host = ("a.test", "many.test")[number % 2]
        connection.request("GET", "/hello", headers={"Host": host})
        response = connection.getresponse()
        assert (response.status, response.read()) == (200, b"hello\n")
    connection.close()


def test_pipelined_requests_are_answered_in_order(probe):
    request = "GET /count HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n{}\r\n{}"
    data = "".join(
        request.format(("a.test", "many.test")[n % 2], n, "Connection: close\r\n" if n == 9 else "", "x" * n)
        for n in range(10)
    )
    answers = probe.raw(data.encode())
    assert re.findall(r"^(\S+) (\d+)$", answers.decode(), re.M) == [(str(n), str(n)) for n in range(10)]


def test_head(probe):
    answer = probe.ask("HEAD", "a.test")
    assert (answer.status, answer.headers["content-length"], answer.body) == (200, "6", b"")


def test_http_1_0(probe):
    answer = probe.raw(b"GET /hello HTTP/1.0\r\nHost: a.test\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(b"\r\n\r\nhello\n")
    assert b"Transfer-Encoding" not in answer


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a.test\r\nHost: a.test\r\n\r\n",
        b"GET  / HTTP/1.1\r\nHost: a.test\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a.test\r\nX: a\x00b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a.test\r\n folded: x\r\n\r\n",
        b"GET / HTTP/1.1\nHost: a.test\n\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
    ],
)
def test_malformed_requests_are_refused_and_the_connection_closed(probe, request_bytes):
    before = len(probe.named("child a.test"))
    answer = probe.raw(request_bytes + b"GET /hello HTTP/1.1\r\nHost: a.test\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"hello" not in answer
    assert answer.count(b"HTTP/1.1 ") == 1
    assert len(probe.named("child a.test")) <= before + 1


def test_expect_100_continue(probe):
    connection = probe.connect()
    connection.putrequest("POST", "/count", skip_host=True)
    for name, value in (("Host", "a.test"), ("Content-Length", "3"), ("Expect", "100-continue")):
        connection.putheader(name, value)
    connection.endheaders()
    assert connection.sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.send(b"abc")
    assert connection.getresponse().read() == b"3 3\n"
    connection.close()


def test_many_at_once(probe):
    connections = [probe.connect() for _ in range(20)]
    for connection in connections:
        connection.request("GET", "/slow?0.5", headers={"Host": "a.test"})
    assert [connection.getresponse().status for connection in connections] == [200] * 20
    for connection in connections:
        connection.close()


def test_the_access_log_has_the_site_and_the_combined_format(probe):
    probe.ask("GET", "a.test", "/hello?secret=1", headers={"User-Agent": 'quo"te', "Referer": "http://r/"})
    wait_until(lambda: "quo" in probe.access_log(), what="the access line")
    line = next(line for line in probe.access_log().splitlines() if "quo" in line)
    assert line.startswith("a.test 127.0.0.1 - - [")
    assert '] "GET /hello?secret=1 HTTP/1.1" 200 6 "http://r/" "quo\\"te"' in line


def test_titles_never_show_a_query(probe):
    connection = probe.connect()
    connection.request("GET", "/slow?0.6", headers={"Host": "a.test"})
    time.sleep(0.3)
    titles = [each for each in map(title, probe.family()) if "a.test" in each]
    connection.getresponse().read()
    connection.close()
    assert any(each.startswith("itkwsgi: child a.test GET /slow") for each in titles), titles
    assert any(each.startswith("itkwsgi: pool a.test") for each in titles)
    assert not any("0.6" in each for each in titles)


def test_a_half_closed_client_gets_its_answer(probe):
    with socket.create_connection(("127.0.0.1", probe.port), timeout=10) as sock:
        sock.sendall(b"GET /slow?0.3 HTTP/1.1\r\nHost: a.test\r\n\r\n")
        sock.shutdown(socket.SHUT_WR)
        assert read_all(sock).endswith(b"slow\n")
