"""Which process counts for whom."""

from __future__ import annotations

import pytest

from benchmarks.memory import compare, memory_sites, role_of
from benchmarks.processes import Usage

SUPERVISOR = Usage(10, 0, "itkwsgi: supervisor", 1000)
FRONT = Usage(11, 65530, "itkwsgi: front 1", 2000)
SECOND_FRONT = Usage(12, 65530, "itkwsgi: front 2", 3000)
POOL = Usage(20, 51001, "itkwsgi: pool warm-0.bench", 400)
SPARE = Usage(21, 51001, "itkwsgi: child warm-0.bench (idle)", 50)
OTHER_POOL = Usage(22, 51002, "itkwsgi: pool warm-1.bench", 350)


@pytest.mark.parametrize(
    ("title", "role"),
    [
        ("itkwsgi: zygote web", "zygote"),
        ("itkwsgi: log", "log"),
        ("/usr/bin/python3 -I -m itkwsgi.front", "python3"),
        ("", "?"),
    ],
)
def test_the_role_is_in_the_title(title: str, role: str) -> None:
    assert role_of(title) == role


def test_sites_and_server_are_told_apart_by_user() -> None:
    server = [SUPERVISOR, FRONT, SECOND_FRONT]
    memory = compare(server, [*server, POOL, SPARE, OTHER_POOL], {51001, 51002})
    assert memory.asleep == {"supervisor": 1000, "front": 5000}
    assert memory.sleeping_processes == 0
    assert memory.warm == (350, 450)
    assert memory.growth == 400


def test_a_site_that_does_not_sleep_is_seen() -> None:
    memory = compare([SUPERVISOR, POOL, SPARE], [SUPERVISOR, POOL, SPARE], {51001, 51002})
    assert memory.sleeping_processes == 2
    assert memory.asleep == {"supervisor": 1000}


def test_nothing_woke() -> None:
    memory = compare([SUPERVISOR], [SUPERVISOR], {51001})
    assert (memory.warm, memory.growth) == ((), 0)


def test_each_site_has_a_user_and_a_host_of_its_own() -> None:
    sites = memory_sites(30)
    assert len({site.user for site in sites}) == len({site.host for site in sites}) == 30
