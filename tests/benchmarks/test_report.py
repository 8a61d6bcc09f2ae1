"""Medians, ratios, refusals, the table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.report import (
    Aim,
    Comparison,
    Sample,
    case_row,
    cpu_per_request,
    markdown_table,
    plain,
    ratio_of,
    ratio_row,
    samples_of,
    spread_of,
    value_row,
)

AIM = Aim(True, 2, 3)


def sample(case: str, number: int, requests: int, errors: int = 0, cpu: float = 1.0) -> Sample:
    return Sample(case, number, requests, 2.0, errors, cpu, 0.004)


def test_the_ratio_is_formed_round_by_round() -> None:
    samples = [sample("a", 1, 300), sample("b", 1, 100), sample("a", 2, 400), sample("b", 2, 400), sample("a", 3, 800)]
    samples.append(sample("b", 3, 400))
    spread = ratio_of(Comparison("a / b", "a", "b", AIM), samples).spread
    assert spread is not None
    assert (spread.middle, spread.low, spread.high) == (2, 1, 3)


def test_other_things_than_rates_are_compared_too() -> None:
    samples = [sample("a", 1, 200, cpu=1.0), sample("b", 1, 100, cpu=0.25)]
    spread = ratio_of(Comparison("a / b", "a", "b", AIM, cpu_per_request), samples).spread
    assert spread is not None
    assert spread.middle == 2


@pytest.mark.parametrize(
    ("samples", "why"),
    [
        ([sample("a", 1, 500)], "b did not run"),
        ([sample("b", 1, 500)], "a did not run"),
        ([sample("a", 1, 500), sample("b", 1, 500), sample("b", 2, 500, errors=1)], "b had 1 errors in round 2"),
        ([sample("a", 1, 500, errors=7), sample("b", 1, 500)], "a had 7 errors in round 1"),
        ([sample("a", 1, 500), sample("b", 1, 49), sample("b", 2, 50)], "b answered 99 requests"),
        ([sample("a", 1, 500), sample("a", 2, 0), sample("b", 1, 500)], "a answered 500 requests"),
        ([sample("a", 1, 500), sample("b", 2, 500)], "no round has both"),
    ],
)
def test_there_is_no_ratio_from_bad_rounds(samples: list[Sample], why: str) -> None:
    ratio = ratio_of(Comparison("a / b", "a", "b", AIM), samples)
    assert ratio.spread is None
    assert why in ratio.refusal
    assert ratio_row(ratio)[1:3] == ["none", ratio.refusal]


def test_a_hundred_requests_are_enough() -> None:
    samples = [sample("a", 1, 100), sample("b", 1, 100)]
    assert ratio_row(ratio_of(Comparison("a / b", "a", "b", AIM), samples))[1] == "**1**"


@pytest.mark.parametrize(
    ("aim", "value", "standing"),
    [
        (AIM, 1.99, "not reached"),
        (AIM, 2, "first mark"),
        (AIM, 3, "second mark"),
        (Aim(False, 60, 15), 60.1, "not reached"),
        (Aim(False, 60, 15), 16, "first mark"),
        (Aim(False, 60, 15), 15, "second mark"),
        (Aim(True, 0.9), 5, "first mark"),
    ],
)
def test_an_aim_has_a_better_side(aim: Aim, value: float, standing: str) -> None:
    assert aim.standing(value) == standing


def test_an_aim_says_what_it_is() -> None:
    assert [Aim(True, 25, 40).text(), Aim(False, 60, 15, " ms").text(), Aim(True, 0.9).text()] == [
        "≥ 25, then 40",
        "≤ 60 ms, then 15 ms",
        "≥ 0.9",
    ]


@given(st.lists(st.floats(-1e9, 1e9), min_size=1))
def test_a_spread_holds_its_values(values: list[float]) -> None:
    spread = spread_of(values)
    assert spread.low <= spread.middle <= spread.high
    assert (spread.low, spread.high) == (min(values), max(values))


def test_samples_come_in_the_order_of_rounds() -> None:
    mixed = [sample("a", 2, 1), sample("b", 1, 2), sample("a", 1, 3)]
    assert [one.requests for one in samples_of("a", mixed)] == [3, 1]


def test_a_row_of_a_case() -> None:
    row = case_row("title", "none", [sample("a", 1, 100), sample("a", 2, 400, errors=2), sample("a", 3, 200)])
    assert row == ["title", "none", "100", "50 - 200", "5 ms", "4 ms", "700", "2"]


def test_a_case_that_answered_nothing_has_a_row() -> None:
    assert case_row("title", "none", [Sample("a", 1, 0, 2.0, 0, 1.0)])[2:6] == ["0", "0 - 0", "-", "-"]


def test_a_row_of_a_value() -> None:
    row = value_row("wake", [12.0, 10.0, 17.0], Aim(False, 60, 15, " ms"))
    assert row == ["wake", "**12 ms**", "10 - 17 ms (3)", "≤ 60 ms, then 15 ms", "second mark"]
    assert value_row("size", [5.0]) == ["size", "**5**", "5 - 5 (1)", "", ""]


@pytest.mark.parametrize(("value", "text"), [(17550.4, "17550"), (0.00823, "0.00823"), (99.96, "100"), (2.456, "2.46")])
def test_numbers_have_no_exponent(value: float, text: str) -> None:
    assert plain(value) == text


def test_a_table_is_markdown() -> None:
    assert markdown_table(["a", "b"], [["1", "x|y"]]) == "| a | b |\n| --- | --- |\n| 1 | x\\|y |\n"
