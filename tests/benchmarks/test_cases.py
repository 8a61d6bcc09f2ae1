"""The order of the rounds, and that cases, servers and comparisons fit together."""

from __future__ import annotations

from benchmarks.cases import CASES, COMPARISONS, Measure, interleave, keys, load_sites
from benchmarks.peers import Gunicorn, ItkPhp, ItkWsgi, Uwsgi, WsgiDaemon
from benchmarks.report import Sample
from benchmarks.settings import WITH


def test_cases_take_turns_after_a_turn_that_does_not_count() -> None:
    turns: list[tuple[str, int, float]] = []

    def recorder(key: str) -> Measure:
        def measure(number: int, seconds: float) -> Sample:
            turns.append((key, number, seconds))
            return Sample(key, number, 10, seconds, 0, 1.0)

        return measure

    said: list[str] = []
    samples = interleave({key: recorder(key) for key in "abc"}, 2, 8, said.append)
    assert [f"{key}{number}" for key, number, _ in turns] == ["a0", "b0", "c0", "a1", "b1", "c1", "a2", "b2", "c2"]
    assert [seconds for _, _, seconds in turns] == [1] * 3 + [8] * 6
    assert [(sample.case, sample.round) for sample in samples] == [(key, number) for key, number, _ in turns[3:]]
    assert len(said) == 6


def test_every_comparison_is_of_two_cases() -> None:
    known = keys(CASES)
    assert len(set(known)) == len(known)
    for comparison in COMPARISONS:
        assert comparison.top in known
        assert comparison.bottom in known


def test_every_case_has_its_server_and_its_site() -> None:
    peers = {peer.name for peer in (ItkPhp, ItkWsgi, WsgiDaemon, Gunicorn, Uwsgi)}
    hosts = {site.host for site in load_sites(8)}
    for case in CASES:
        assert case.server in peers | {"itkwsgi", "floor"}
        assert case.server != "itkwsgi" or case.host in hosts


def test_the_sites_are_as_the_titles_say() -> None:
    bare, flask, tuned, worker = load_sites(5)
    assert (tuned.folder, tuned.module, tuned.more) == (bare.folder, bare.module, WITH)
    assert (bare.more, tuned.warmup, tuned.requests_per_child) == ("", False, 1)
    assert (bare.requests_per_child, flask.requests_per_child, worker.requests_per_child) == (1, 1, 0)
    assert (bare.warmup, flask.warmup, worker.warmup) == (False, True, True)
    assert {site.min_spare for site in (bare, flask, tuned, worker)} == {5}
    assert len({bare.user, flask.user, tuned.user, worker.user}) == 4
