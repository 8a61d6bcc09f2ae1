"""Waking: how long a client waits for the first answer of a sleeping site, its framework preloaded.

The site has a short idle_timeout. It counts as asleep when no process of its user is left, looked up in /proc rather
than asked of the server; its answer is timed from before connect() to the end of the body.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from benchmarks import BenchmarkError
from benchmarks.itk import Itkwsgi, Site
from benchmarks.processes import pids_of_user

SLEEPER = Site("sleeper.bench", 50301, idle_timeout="1s")
SLEEP_TIMEOUT = 20.0


def wait_asleep(user: int, pids: Callable[[int], list[int]] = pids_of_user, timeout: float = SLEEP_TIMEOUT) -> None:
    """Wait until a user has no process; raises BenchmarkError after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while alive := pids(user):
        if time.monotonic() > deadline:
            raise BenchmarkError(f"user {user} still has processes {alive} after {timeout:g} s: its site is awake")
        time.sleep(0.05)


def first_answer(server: Itkwsgi, site: Site) -> float:
    """Return the seconds one request takes."""
    start = time.perf_counter()
    server.check(site.host)
    return time.perf_counter() - start


def measure_wake(server: Itkwsgi, sleeps: int, site: Site = SLEEPER) -> list[float]:
    """Return the seconds of the first answer after each of so many sleeps.

    The very first start of the site is left out: it pays for reading files that no later one reads from disk.
    """
    server.check(site.host)
    seconds = []
    for _ in range(sleeps):
        wait_asleep(site.user)
        seconds.append(first_answer(server, site))
    return seconds
