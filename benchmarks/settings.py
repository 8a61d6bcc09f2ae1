"""Settings: what they add to a request in three directory levels when nothing on disk has changed.

Two sites of one server run the same app, one with settings in ``public/a/b`` (a table for a directory, a location, an
own file in two of the three), one without any and without own files.  Each request has a fresh child, so that all it
touches is copied for it as in earnest; the app tells how long its child took from the finished environ to the app, and
how many page faults that were (sites/bare/timed_hello.py).  The sites are asked in turn, with a pause in which the
next child comes to its accept(); what is added is the difference of the medians, and for each round by itself.
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median, quantiles

from benchmarks import BenchmarkError
from benchmarks.itk import Itkwsgi, Site
from benchmarks.load import fetch
from benchmarks.report import Aim, plain, spread_of

PATH = "/a/b/page"
WITHOUT = "allow_override = []\n"
WITH = """\
public = "{root}/public"

[[vhost.directory]]
path = "{root}/public/a"
value = { memory_limit = "112M", post_max_size = "4M" }

[[vhost.location]]
path = "/a"
admin_value = { display_errors = false, post_max_size = "2M" }
"""

PLAIN = Site("plain.bench", 50401, "bare", "timed_hello", "plain", min_spare=2, more=WITHOUT)
TUNED = Site("tuned.bench", 50402, "bare", "timed_hello", "plain", min_spare=2, more=WITH)
# What its requests must have: the default, and what the innermost own file says.
MEMORY_LIMITS = {PLAIN.host: 128 * 2**20, TUNED.host: 96 * 2**20}

ROUNDS = 5
UNCOUNTED = 20  # requests of each site, after which its pool knows the scope and its spares were forked knowing it
PAUSE = 0.005
AIM = Aim(False, 50, unit=" us")
HEAD = ("what settings add, 3 directory levels", "without", "with", "added", "by round", "at p95", "aim", "standing")


@dataclass(frozen=True, slots=True)
class Request:
    """``child``: seconds in its child until the app is called; ``faults`` meanwhile; ``client``: seconds of it all."""

    child: float
    faults: int
    client: float


@dataclass(frozen=True, slots=True)
class Pair:
    """The two sites asked one after the other."""

    without: Request
    having: Request


def parse_answer(host: str, status: int, body: bytes) -> tuple[float, int]:
    """Return seconds and faults; raises BenchmarkError unless the request was under the settings it should be."""
    words = body.split()
    if status != 200 or len(words) != 3 or words[2] != b"%d" % MEMORY_LIMITS[host]:
        raise BenchmarkError(
            f"{host}: answered {status} {body[:200]!r} instead of two figures and {MEMORY_LIMITS[host]}"
        )
    return int(words[0]) / 1e9, int(words[1])


def ask(server: Itkwsgi, host: str) -> Request:
    """Ask one site once, after a pause; raises BenchmarkError with the end of the server's logs."""
    time.sleep(PAUSE)
    start = time.perf_counter()
    try:
        status, body = fetch(server.port, host, PATH)
        client = time.perf_counter() - start
        return Request(*parse_answer(host, status, body), client)
    except (OSError, http.client.HTTPException, BenchmarkError) as error:
        raise BenchmarkError(f"{server.name}: {error!r}\n{server.last_words()}") from error


def measure_settings(server: Itkwsgi, requests: int) -> list[Pair]:
    """Ask both sites so many times, each time the other one first."""
    pairs = []
    for number in range(UNCOUNTED + requests):
        if number % 2:
            having, without = ask(server, TUNED.host), ask(server, PLAIN.host)
        else:
            without, having = ask(server, PLAIN.host), ask(server, TUNED.host)
        pairs.append(Pair(without, having))
    return pairs[UNCOUNTED:]


def rounds_of(values: Sequence[float], rounds: int = ROUNDS) -> list[Sequence[float]]:
    """Return the values in so many parts of one size, in the order of time; fewer values than rounds are one each."""
    size = max(1, len(values) // rounds)
    return [values[at : at + size] for at in range(0, size * min(rounds, len(values)), size)]


def high(values: Sequence[float]) -> float:
    """Return the 95th percentile of at least two values."""
    return quantiles(values, n=20, method="inclusive")[-1]


def table_rows(pairs: Sequence[Pair]) -> list[list[str]]:
    """Return the rows for HEAD, with times in microseconds; there must be two pairs at least."""
    without, having = [pair.without for pair in pairs], [pair.having for pair in pairs]
    return [
        row("in the child, until the app is called", child_us(without), child_us(having), AIM),
        row("page faults meanwhile", [one.faults for one in without], [one.faults for one in having]),
        row("the whole request, at the client, us", client_us(without), client_us(having)),
    ]


def child_us(requests: Sequence[Request]) -> list[float]:
    """Return the times in the child in microseconds."""
    return [1e6 * one.child for one in requests]


def client_us(requests: Sequence[Request]) -> list[float]:
    """Return the times at the client in microseconds."""
    return [1e6 * one.client for one in requests]


def row(title: str, without: Sequence[float], having: Sequence[float], aim: Aim | None = None) -> list[str]:
    """Return one row.  The aim, with its unit, is for the difference of the medians over all rounds."""
    unit, added = aim.unit if aim else "", median(having) - median(without)
    parts = zip(rounds_of(having), rounds_of(without), strict=True)
    spread = spread_of(median(mine) - median(other) for mine, other in parts)
    return [
        title,
        *(f"{plain(median(side))}{unit}, p95 {plain(high(side))}{unit}" for side in (without, having)),
        f"**{plain(added)}{unit}**",
        f"{plain(spread.low)} - {plain(spread.high)}{unit} ({len(having)})",
        f"{plain(high(having) - high(without))}{unit}",
        aim.text() if aim else "",
        aim.standing(added) if aim else "",
    ]
