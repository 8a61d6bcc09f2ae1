"""Bodies of any size, both ways, and answers that go wrong."""

import hashlib
import http.client
import os
import socket
import time

import pytest
from daemon import read_all, wait_until

MEGABYTE = 1 << 20


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 5 * MEGABYTE])
def test_a_body_comes_back_as_it_went(probe, size):
    body = os.urandom(size)
    answer = probe.ask("POST", "a.test", "/echo", body=body)
    assert answer.status == 200
    assert hashlib.sha256(answer.body).digest() == hashlib.sha256(body).digest()


@pytest.mark.parametrize("size", [0, 10, 200_000])
def test_a_chunked_body_has_a_length_for_the_app(probe, size):
    connection = probe.connect()
    pieces = iter([b"x" * min(1000, size - at) for at in range(0, size, 1000)])
    connection.request("POST", "/count", body=pieces, headers={"Host": "a.test"}, encode_chunked=True)
    assert connection.getresponse().read() == f"{size} {size}\n".encode()
    connection.close()


def test_an_app_may_leave_the_body_unread(probe):
    connection = probe.connect()
    for _ in range(3):
        connection.request("POST", "/ignore-body", body=b"x" * MEGABYTE, headers={"Host": "a.test"})
        assert connection.getresponse().read() == b"did not read it\n"
    connection.close()


def test_a_large_answer_in_constant_memory(probe):
    connection = probe.connect(60)
    connection.request("GET", f"/big?{200 * MEGABYTE}", headers={"Host": "a.test"})
    response = connection.getresponse()
    time.sleep(1)  # a client that does not read: whoever buffers without end shows it now
    front = probe.named("itkwsgi: front")[0]
    assert resident(front) < 120 * MEGABYTE
    total = 0
    while data := response.read(MEGABYTE):
        total += len(data)
    assert total == 200 * MEGABYTE
    assert resident(front) < 120 * MEGABYTE
    connection.close()


def resident(pid):
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_stream_arrives_as_it_is_made(probe):
    connection = probe.connect()
    connection.request("GET", "/stream", headers={"Host": "a.test"})
    response = connection.getresponse()
    begun = time.monotonic()
    assert response.read1() == b"0\n"
    assert time.monotonic() - begun < 0.25
    assert response.read() == b"1\n2\n"
    connection.close()


@pytest.mark.parametrize("host", ["a.test", "many.test"])
@pytest.mark.parametrize(
    ("path", "why"), [("/raise", "is meant to fail"), ("/exit", "SystemExit"), ("/inject", "X-Test")]
)
def test_an_error_before_the_answer_is_a_page_with_an_id(probe, host, path, why):
    answer = probe.get(host, path)
    assert answer.status == 500
    assert "set-cookie" not in answer.headers
    error_id = answer.text.partition("<code>")[2].partition("</code>")[0]
    assert len(error_id) == 12
    assert why not in answer.text
    wait_until(lambda: error_id in probe.error_log(), what="the id in the log")
    logged = probe.error_log().partition(error_id)[2]
    assert why in logged


def test_a_crash_is_a_500_and_its_signal_is_logged(probe):
    assert probe.get("a.test", "/die").status == 500
    wait_until(lambda: "SIGKILL" in probe.error_log(), what="the signal in the log")


@pytest.mark.parametrize("path", ["/break-off", "/short", "/long"])
def test_a_broken_answer_never_looks_whole(probe, path):
    connection = probe.connect()
    connection.request("GET", path, headers={"Host": "a.test"})
    try:
        response = connection.getresponse()
        if response.status == 500:
            return  # it was seen before the first byte
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            response.read()
    finally:
        connection.close()


def test_a_broken_answer_to_http_1_0_is_a_reset(probe):
    with socket.create_connection(("127.0.0.1", probe.port), timeout=10) as sock:
        sock.sendall(b"GET /break-off HTTP/1.0\r\nHost: a.test\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            all(iter(lambda: sock.recv(65536), b""))


def test_write_callable_and_empty_answers(probe):
    assert probe.get("a.test", "/write").body == b"written and returned\n"
    answer = probe.get("a.test", "/no-content")
    assert (answer.status, answer.body) == (204, b"")
    assert "content-length" not in answer.headers
    assert "transfer-encoding" not in answer.headers


def test_everything_written_reaches_the_sites_log(probe):
    probe.get("a.test", "/print")
    wait_until(lambda: "raw on descriptor 1" in probe.error_log(), what="the log lines")
    lines = probe.error_log().splitlines()
    for text in ("printed on stdout", "written to wsgi.errors", "raw on descriptor 1"):
        assert any("a.test" in line and text in line for line in lines)


def test_a_slow_upload_costs_no_process(probe):
    with socket.create_connection(("127.0.0.1", probe.port), timeout=10) as sock:
        sock.sendall(b"POST /count HTTP/1.1\r\nHost: a.test\r\nContent-Length: 6\r\nConnection: close\r\n\r\nabc")
        time.sleep(0.3)
        assert not probe.named("child a.test POST")
        sock.sendall(b"def")
        assert read_all(sock).endswith(b"6 6\n")


def test_a_client_that_goes_away_frees_its_child(probe):
    with socket.create_connection(("127.0.0.1", probe.port), timeout=10) as sock:
        sock.sendall(f"GET /big?{1 << 33} HTTP/1.1\r\nHost: a.test\r\n\r\n".encode())
        sock.recv(65536)
        assert probe.named("child a.test GET /big")
    wait_until(lambda: not probe.named("child a.test GET /big"), 3.0, "the end of the child")


def test_work_after_the_answer(probe, tmp_path):
    tmp_path.chmod(0o777)
    begun = time.monotonic()
    assert probe.get("a.test", f"/after?{tmp_path}").body == b"answered\n"
    assert time.monotonic() - begun < 1.0
    wait_until(lambda: {"thread", "atexit"} <= set(os.listdir(tmp_path)), 5.0, "the work")


def test_subprocess_works_as_in_a_script(probe):
    assert probe.get("a.test", "/subprocess").body == b"7\n"


def test_what_a_request_leaves_running_is_ended(probe):
    before = set(probe.family())
    assert probe.get("a.test", "/daemon").status == 200
    time.sleep(0.3)
    assert len(set(probe.family()) - before) <= 2  # a spare or two, no sleeper
