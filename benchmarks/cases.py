"""The cases: which server, asked for what, and which case is divided by which.

Rounds are interleaved (A B C, A B C, ...), so that a change of the machine's mood falls on all cases alike. The
floor takes its turn like a server.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks import BenchmarkError, processes
from benchmarks.itk import Site
from benchmarks.load import run_wrk
from benchmarks.report import Aim, Comparison, Sample, cpu_per_request, rate
from benchmarks.server import Server
from benchmarks.settings import PATH, WITH

PER_CONNECTION = "fresh process per connection"
PER_REQUEST = "fresh process per request"
SHARED = "none between requests"
PAUSE = 0.5  # seconds in which a server may finish what the round before it left behind


@dataclass(frozen=True, slots=True)
class Case:
    """``server`` is a server's name; the site on it is chosen by host."""

    key: str
    title: str
    guarantee: str
    server: str
    host: str = "localhost"
    path: str = "/"


CASES = (
    Case("mod_php", "Apache mpm-itk + mod_php, echo", PER_CONNECTION, "apache-itk-php", path="/hello.php"),
    Case("mod_wsgi", "Apache mpm-itk + mod_wsgi, Flask", PER_CONNECTION, "apache-itk-wsgi"),
    Case("itk_bare", "itkwsgi isolated, bare WSGI", PER_REQUEST, "itkwsgi", "bare.bench"),
    Case(
        "itk_tuned",
        "itkwsgi isolated, bare WSGI, settings in 3 directories",
        PER_REQUEST,
        "itkwsgi",
        "tuned.bench",
        PATH,
    ),
    Case("itk_flask", "itkwsgi isolated, Flask", PER_REQUEST, "itkwsgi", "flask.bench"),
    Case("floor", "fork floor, Flask (one fork after the other)", PER_REQUEST, "floor"),
    Case("mod_wsgi_daemon", "mod_wsgi daemon, Flask", SHARED, "apache-wsgi-daemon"),
    Case("gunicorn", "gunicorn sync, Flask", SHARED, "gunicorn"),
    Case("uwsgi", "uWSGI, Flask", SHARED, "uwsgi"),
    Case("itk_worker", "itkwsgi requests_per_child = 0, Flask", SHARED, "itkwsgi", "worker.bench"),
)

WORKER = Aim(True, 1, 1.5)

COMPARISONS = (
    Comparison("isolated Flask / mpm-itk + mod_wsgi Flask", "itk_flask", "mod_wsgi", Aim(True, 25, 40)),
    Comparison("isolated bare WSGI / mpm-itk + mod_php echo", "itk_bare", "mod_php", Aim(True, 1.8, 2.5)),
    Comparison("isolated Flask / mpm-itk + mod_php echo", "itk_flask", "mod_php", Aim(True, 0.6, 1)),
    Comparison("isolated bare WSGI, settings in 3 directories / none", "itk_tuned", "itk_bare", Aim(True, 0.95)),
    Comparison(
        "CPU per isolated Flask request / fork floor", "itk_flask", "floor", Aim(False, 1.6, 1.15), cpu_per_request
    ),
    Comparison("requests_per_child = 0, Flask / mod_wsgi daemon", "itk_worker", "mod_wsgi_daemon", WORKER),
    Comparison("requests_per_child = 0, Flask / gunicorn", "itk_worker", "gunicorn", WORKER),
    Comparison("requests_per_child = 0, Flask / uWSGI", "itk_worker", "uwsgi", Aim(True, 0.9)),
)

Measure = Callable[[int, float], Sample]


def load_sites(min_spare: int) -> list[Site]:
    """Return itkwsgi's sites for the load; so many spares wait as wrk has connections, unless told otherwise."""
    return [
        Site("bare.bench", 50201, "bare", "bare_hello", "plain", min_spare=min_spare),
        Site("flask.bench", 50202, min_spare=min_spare, warmup=True),
        Site("tuned.bench", 50204, "bare", "bare_hello", "plain", min_spare=min_spare, more=WITH),
        Site("worker.bench", 50203, requests_per_child=0, min_spare=min_spare, warmup=True),
    ]


def server_measure(case: Case, server: Server, connections: int) -> Measure:
    """Return the function that measures one round of a case on a running server."""

    def measure(number: int, seconds: float) -> Sample:
        time.sleep(PAUSE)
        server.check(case.host, case.path)
        cpu = processes.cpu_seconds(server.pid)
        load = run_wrk(server.url(case.path), case.host, seconds, connections)
        cpu = processes.cpu_seconds(server.pid) - cpu
        return Sample(case.key, number, load.requests, load.seconds, load.errors, cpu, load.p50, load.p99)

    return measure


def floor_measure(case: Case, python: Path, application: Path) -> Measure:
    """Return the function that measures one round of the floor."""
    program = Path(__file__).with_name("floor.py")

    def measure(number: int, seconds: float) -> Sample:
        command = [str(python), "-I", str(program), str(application), str(seconds)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode != 0:
            raise BenchmarkError(f"the fork floor failed:\n{done.stderr}")
        result = json.loads(done.stdout)
        return Sample(case.key, number, result["requests"], result["seconds"], result["errors"], result["cpu"])

    return measure


def interleave(
    measures: Mapping[str, Measure], rounds: int, seconds: float, say: Callable[[str], None]
) -> list[Sample]:
    """Measure all cases in turn, ``rounds`` times, after one short turn each that is not counted."""
    for measure in measures.values():
        measure(0, 1)
    samples = []
    for number in range(1, rounds + 1):
        for key, measure in measures.items():
            sample = measure(number, seconds)
            say(f"round {number} of {rounds}: {key} {rate(sample):.0f} req/s, {sample.errors} errors")
            samples.append(sample)
    return samples


def keys(cases: Iterable[Case]) -> list[str]:
    """Return the names by which cases are chosen."""
    return [case.key for case in cases]
