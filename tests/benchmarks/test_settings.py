"""What settings add: the figures from given times, and that the site measured is the one it is said to be."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from pretence import Pretence

from benchmarks import BenchmarkError
from benchmarks.itk import Site, itk_toml
from benchmarks.machine import copy_sites
from benchmarks.report import markdown_table
from benchmarks.settings import (
    HEAD,
    MEMORY_LIMITS,
    PATH,
    PLAIN,
    TUNED,
    Pair,
    Request,
    high,
    parse_answer,
    rounds_of,
    row,
    table_rows,
)
from itkwsgi.runtime.scopes import Scope, Scopes
from itkwsgi.supervisor.settings import pool_settings


def pairs(added: float) -> list[Pair]:
    """A machine that is slower by the hour, and by so many microseconds with settings."""
    base = [200e-6 + 2e-6 * number for number in range(100)]
    return [Pair(Request(one, 80, 5 * one), Request(one + added * 1e-6, 90, 6 * one)) for one in base]


def scope_of(site: Site, directory: Path) -> tuple[Scopes, Scope]:
    """What holds for a request, by the configuration that the benchmark writes and the files that it copies."""
    copy_sites(directory / "sites")
    interpreter = directory / "venv/bin/python"
    interpreter.parent.mkdir(parents=True)
    interpreter.symlink_to(sys.executable)
    text = itk_toml([site], directory, directory / "sites", 8080, directory / "venv")
    config = Pretence(directory).load(text)
    (vhost,) = config.vhosts  # and no part: one pool, as without settings
    data = pool_settings(vhost, config, tmp_dir=None, abi=0)
    scopes = Scopes(data, f"{vhost.root}/{site.module}.py")
    return scopes, scopes.of_request(PATH)


def test_the_tuned_request_meets_every_table_and_file(tmp_path: Path) -> None:
    scopes, scope = scope_of(TUNED, tmp_path)
    covering, stamped, inside = scope.key
    public = f"{tmp_path}/sites/bare/public"
    assert (covering, inside) == ((0,), (0,))
    assert [directory for directory, _ in stamped] == [public, f"{public}/a/b"]
    assert scope.remarks == []
    assert scope.value("memory_limit") == MEMORY_LIMITS[TUNED.host]
    assert (scope.value("max_execution_time"), scope.value("post_max_size")) == (10.0, 2 * 2**20)
    assert scope is not scopes.of_pool()


def test_the_other_one_meets_none(tmp_path: Path) -> None:
    _, scope = scope_of(PLAIN, tmp_path)
    assert scope.key == ((), (), ())
    assert scope.settings == {}
    assert scope.value("memory_limit") == MEMORY_LIMITS[PLAIN.host]


def test_both_run_the_same_app_as_users_of_their_own() -> None:
    assert (PLAIN.folder, PLAIN.module, PLAIN.min_spare) == (TUNED.folder, TUNED.module, TUNED.min_spare)
    assert PLAIN.requests_per_child == TUNED.requests_per_child == 1
    assert PLAIN.user != TUNED.user


def test_an_answer_is_two_figures() -> None:
    assert parse_answer(TUNED.host, 200, b"123456 17 100663296") == (0.000123456, 17)


@pytest.mark.parametrize(
    ("host", "status", "body"),
    [
        (TUNED.host, 200, b"123456 17 134217728"),  # the default: its settings did not hold
        (PLAIN.host, 200, b"123456 17 100663296"),
        (TUNED.host, 500, b"123456 17 100663296"),
        (TUNED.host, 200, b"100663296"),
        (TUNED.host, 200, b""),
    ],
)
def test_an_answer_under_other_settings_is_an_error(host: str, status: int, body: bytes) -> None:
    with pytest.raises(BenchmarkError, match=f"{host}: answered {status}"):
        parse_answer(host, status, body)


def test_rounds_are_parts_in_order() -> None:
    assert rounds_of([*range(11)], 5) == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]
    assert rounds_of([7, 8], 5) == [[7], [8]]


def test_the_95th_percentile() -> None:
    assert high(range(101)) == 95


@pytest.mark.parametrize(("added", "standing"), [(49.0, "first mark"), (51.0, "not reached")])
def test_what_is_added_is_the_difference_of_medians_in_microseconds(added: float, standing: str) -> None:
    child, faults, client = table_rows(pairs(added))
    assert child[1:3] == ["299 us, p95 388 us", f"{299 + added:.0f} us, p95 {388 + added:.0f} us"]
    assert child[3:] == [f"**{added:g} us**", f"{added:g} - {added:g} us (100)", f"{added:g} us", "≤ 50 us", standing]
    assert faults[1:6] == ["80, p95 80", "90, p95 90", "**10**", "10 - 10 (100)", "10"]
    assert client[3:] == ["**299**", "219 - 379 (100)", "388", "", ""]


def test_rounds_show_what_the_machine_did_to_one_of_them() -> None:
    without, having = [100.0] * 50, [110.0] * 40 + [160.0] * 10
    assert row("", without, having)[3:5] == ["**10**", "10 - 60 (50)"]


def test_every_row_has_a_cell_for_each_head() -> None:
    lines = markdown_table(HEAD, table_rows(pairs(1))).splitlines()
    assert len({line.count(" | ") for line in (lines[0], *lines[2:])}) == 1


def test_the_sites_own_files_are_among_what_is_copied(tmp_path: Path) -> None:
    copy_sites(tmp_path / "sites")
    for directory in ("public", "public/a/b"):
        assert os.stat(tmp_path / "sites/bare" / directory / ".itk.toml").st_mode & 0o777 == 0o644
    assert not (tmp_path / "sites/bare/public/a/.itk.toml").exists()
