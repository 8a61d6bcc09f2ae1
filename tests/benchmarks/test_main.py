"""The command line and the report as a whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.__main__ import PARTS, Results, arguments, as_json, chosen_cases, report
from benchmarks.cases import CASES, COMPARISONS
from benchmarks.memory import Memory
from benchmarks.report import Sample
from benchmarks.settings import Pair, Request


def results() -> Results:
    samples = [Sample(case.key, 1, 1000, 2.0, 0, 1.5, 0.001, 0.002) for case in CASES if case.key != "gunicorn"]
    memory = Memory({"supervisor": 9_000_000, "front": 21_000_000}, 0, (5_000_000, 6_000_000, 8_000_000), 6.5e6)
    pairs = [Pair(Request(200e-6, 80, 1e-3), Request(240e-6, 90, 1.1e-3))] * 2
    return Results(samples, [0.012, 0.018, 0.014], memory, pairs)


def test_the_defaults() -> None:
    options = arguments([])
    assert (options.seconds, options.rounds, options.connections, options.min_spare) == (8, 3, 8, 8)
    assert options.requests == 500
    assert options.only == list(PARTS)
    assert options.itkwsgi[1:] == ["-m", "itkwsgi"]


def test_quick_is_short_and_the_rest_can_be_chosen() -> None:
    assert arguments(["--quick"]).seconds == 3
    options = arguments(
        ["--quick", "--seconds", "5", "--min-spare", "0", "--itkwsgi", "/opt/x y", "--only", "wake,floor"]
    )
    assert (options.seconds, options.min_spare) == (5, 0)
    assert (options.itkwsgi, options.only) == (["/opt/x", "y"], ["wake", "floor"])


def test_an_unknown_part_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        arguments(["--only", "floor,fleur"])
    assert "no part is called fleur" in capsys.readouterr().err


def test_peers_that_the_environment_lacks_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/uwsgi").touch()
    chosen = [case.key for case in chosen_cases(["floor", "gunicorn", "uwsgi"], tmp_path)]
    assert chosen == ["floor", "uwsgi"]


def test_the_report_has_every_figure() -> None:
    text = report([case for case in CASES if case.key != "gunicorn"], results())
    for comparison in COMPARISONS:
        assert f"| {comparison.title} |" in text
    assert "| none | gunicorn did not run |" in text
    assert "framework preloaded | **14 ms** | 12 - 18 ms (3) | ≤ 60 ms, then 15 ms | second mark |" in text
    assert "| PSS per warm Flask site | **6 MB** | 5 - 8 MB (3) | ≤ 12 MB, then 4 MB | first mark |" in text
    assert "| PSS of the server itself, all asleep, MB | **30** |" in text
    assert "| of that: front, MB | **21** |" in text
    assert "| 240 us, p95 240 us | **40 us** | 40 - 40 us (2) | 40 us | ≤ 50 us | first mark |" in text


def test_a_report_of_nothing_is_short() -> None:
    assert "|" not in report([], Results())


def test_the_json_holds_what_was_measured() -> None:
    whole = json.loads(as_json(arguments([]), results()))
    assert len(whole["samples"]) == len(CASES) - 1
    assert whole["wake"] == [0.012, 0.018, 0.014]
    assert whole["memory"]["warm"] == [5_000_000, 6_000_000, 8_000_000]
    assert whole["settings"][1]["having"] == {"child": 240e-6, "faults": 90, "client": 1.1e-3}
    refused = [ratio["refusal"] for ratio in whole["ratios"] if not ratio["spread"]]
    assert refused == ["gunicorn did not run"]
