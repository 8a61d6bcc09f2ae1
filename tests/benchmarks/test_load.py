"""The parser of wrk's output, and the comparison of answers against a real socket."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import BenchmarkError
from benchmarks.load import BODY, UNITS, check_answer, parse_wrk, wrk_command

PLAIN = """\
Running 3s test @ http://127.0.0.1:40001/hello.php
  1 threads and 8 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     9.16ms    2.50ms  33.04ms   85.51%
    Req/Sec     0.87k    99.10     1.01k    70.00%
  Latency Distribution
     50%    8.99ms
     75%   10.01ms
     90%   11.73ms
     99%    1.20s
  2634 requests in 3.01s, 514.45KB read
Requests/sec:    875.51
Transfer/sec:    171.00KB
"""
ERRORS = """\
  Socket errors: connect 1, read 20, write 300, timeout 4000
  Non-2xx or 3xx responses: 50000
"""


def test_a_run_without_errors() -> None:
    load = parse_wrk(PLAIN)
    assert (load.requests, load.seconds, load.errors) == (2634, 3.01, 0)
    assert (load.p50, load.p99) == pytest.approx((0.00899, 1.2))


def test_every_kind_of_error_is_counted() -> None:
    assert parse_wrk(PLAIN.replace("Requests/sec", ERRORS + "Requests/sec")).errors == 54321


@pytest.mark.parametrize("line", ERRORS.splitlines())
def test_one_kind_of_error_may_stand_alone(line: str) -> None:
    count = parse_wrk(PLAIN.replace("Requests/sec", line + "\nRequests/sec")).errors
    assert count in (4321, 50000)


OTHERS = ["", "unable to connect to 127.0.0.1:9 Connection refused\n", PLAIN.replace("50%  ", "51%  "), PLAIN[:250]]


@pytest.mark.parametrize("text", OTHERS)
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="wrk"):
        parse_wrk(text)


@given(st.integers(0, 10**9), st.floats(0, 999), st.sampled_from(sorted(UNITS)), st.integers(0, 10**6))
def test_what_was_printed_is_read_back(requests: int, number: float, unit: str, bad: int) -> None:
    text = PLAIN.replace("2634 requests in 3.01s", f"{requests} requests in {number:.2f}{unit}")
    load = parse_wrk(text.replace("8.99ms", f"{number:.2f}{unit}") + f"  Non-2xx or 3xx responses: {bad}\n")
    assert (load.requests, load.errors) == (requests, bad)
    assert load.seconds == load.p50 == pytest.approx(round(number, 2) * UNITS[unit], abs=0.006 * UNITS[unit])


def test_wrk_closes_every_connection_and_names_the_host() -> None:
    command = wrk_command("http://127.0.0.1:1/", "a.bench", 3.4, 8)
    assert command[:5] == ["wrk", "-t1", "-c8", "-d3s", "--latency"]
    assert command[5:] == ["-H", "Host: a.bench", "-H", "Connection: close", "http://127.0.0.1:1/"]


class Site(BaseHTTPRequestHandler):
    """Answers by path: the expected bytes, others, or a refusal with the expected bytes."""

    def do_GET(self) -> None:
        self.send_response(404 if self.path == "/refused" else 200)
        self.end_headers()
        self.wfile.write(b"hell\n" if self.path == "/other" else BODY)

    def log_message(self, format: str, *args: object) -> None:
        """Keep the tests' output clean."""


@pytest.fixture
def port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Site) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_the_expected_answer_passes(port: int) -> None:
    check_answer(port, "a.bench", "/")


@pytest.mark.parametrize(("path", "seen"), [("/other", "200 b'hell"), ("/refused", "404 b'hello")])
def test_any_other_answer_is_an_error(port: int, path: str, seen: str) -> None:
    with pytest.raises(BenchmarkError, match=seen):
        check_answer(port, "a.bench", path)
