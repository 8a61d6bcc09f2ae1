"""The load: wrk with one thread, every request on a connection of its own, and the parser of what wrk prints.

wrk (C) takes far less CPU per request than the servers measured, and all share the machine with it alike. It runs
closed-loop: each of its connections sends the next request when the answer to the last one is there. Its latencies
leave the connecting out. Because wrk counts only statuses from 400 on as errors and never looks at a body, each
round is preceded by one request whose answer is compared in full.
"""

from __future__ import annotations

import http.client
import re
import subprocess
from dataclasses import dataclass

from benchmarks import BenchmarkError

BODY = b"hello\n"

# wrk's units (src/units.c), in seconds
UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}

TOTAL = re.compile(r"^\s*(\d+) requests in ([\d.]+)(us|ms|s|m|h),", re.MULTILINE)
PERCENTILE = re.compile(r"^\s+(50|99)(?:\.\d+)?%\s+([\d.]+)(us|ms|s|m|h)\s*$", re.MULTILINE)
SOCKET_ERRORS = re.compile(
    r"^\s*Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)\s*$", re.MULTILINE
)
BAD_STATUS = re.compile(r"^\s*Non-2xx or 3xx responses: (\d+)\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Load:
    """What one run of wrk saw: ``p50`` and ``p99`` are latencies in seconds, ``errors`` of sockets and statuses."""

    requests: int
    seconds: float
    errors: int
    p50: float
    p99: float


def parse_wrk(text: str) -> Load:
    """Parse the output of ``wrk --latency``; raises ValueError when it is none."""
    total = TOTAL.search(text)
    latency = {percent: float(number) * UNITS[unit] for percent, number, unit in PERCENTILE.findall(text)}
    if total is None or latency.keys() != {"50", "99"}:
        raise ValueError("this is not what wrk --latency prints")
    return Load(
        requests=int(total[1]),
        seconds=float(total[2]) * UNITS[total[3]],
        errors=sum(int(count) for pattern in (SOCKET_ERRORS, BAD_STATUS) for count in first_groups(pattern, text)),
        p50=latency["50"],
        p99=latency["99"],
    )


def first_groups(pattern: re.Pattern[str], text: str) -> tuple[str, ...]:
    """Return the groups of the first match, none when the line is not there (wrk prints it only when needed)."""
    match = pattern.search(text)
    return match.groups() if match else ()


def wrk_command(url: str, host: str, seconds: float, connections: int) -> list[str]:
    """Return wrk's command line; wrk takes whole seconds only."""
    headers = ["-H", f"Host: {host}", "-H", "Connection: close"]
    return ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--latency", *headers, url]


def run_wrk(url: str, host: str, seconds: float, connections: int) -> Load:
    """Put load on a server for so many seconds; raises BenchmarkError when wrk cannot."""
    command = wrk_command(url, host, seconds, connections)
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=seconds + 60)
    try:
        return parse_wrk(done.stdout)
    except ValueError as error:
        raise BenchmarkError(f"{' '.join(command)}: {error}\n{done.stdout}{done.stderr}") from error


def fetch(port: int, host: str, path: str, timeout: float = 30.0) -> tuple[int, bytes]:
    """Return status and body of one request over a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("GET", path, headers={"Host": host, "Connection": "close"})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def check_answer(port: int, host: str, path: str) -> None:
    """Raise BenchmarkError unless the server answers 200 with the very bytes that all the sites answer."""
    try:
        status, body = fetch(port, host, path)
    except (OSError, http.client.HTTPException) as error:
        raise BenchmarkError(f"{host}: no answer: {error!r}") from error
    if (status, body) != (200, BODY):
        raise BenchmarkError(f"{host}: answered {status} {body[:200]!r} instead of 200 {BODY!r}")
