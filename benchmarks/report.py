"""From samples to statements: medians, spreads, ratios, the table. Pure functions over what was measured.

Rules. A ratio is formed within each round, between two cases that ran minutes apart at most, and the median of those
is given with the lowest and the highest: what the machine does over an hour drops out. There is no ratio from a case
that had an error in any round, that answered fewer than MIN_SAMPLES requests in all, or that did not run; the report
says which it was. Aims are "at least" or "at most" figures with a first and a second mark; they are printed beside
the result, never a verdict on the exit status: a timing must not fail a build.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

MIN_SAMPLES = 100


@dataclass(frozen=True, slots=True)
class Sample:
    """One round of one case. ``cpu`` is that of the server's whole process tree; times in seconds."""

    case: str
    round: int
    requests: int
    seconds: float
    errors: int
    cpu: float
    p50: float | None = None
    p99: float | None = None


def rate(sample: Sample) -> float:
    """Return the requests per second."""
    return sample.requests / sample.seconds


def cpu_per_request(sample: Sample) -> float:
    """Return the CPU seconds per request answered, of which there must be one."""
    return sample.cpu / sample.requests


@dataclass(frozen=True, slots=True)
class Spread:
    """A median with the lowest and the highest value."""

    middle: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Aim:
    """``first`` and ``then`` are the two marks; ``at_least`` tells on which side of them is better."""

    at_least: bool
    first: float
    then: float | None = None
    unit: str = ""

    def text(self) -> str:
        """Return the aim as the table shows it."""
        later = "" if self.then is None else f", then {self.then:g}{self.unit}"
        return f"{'≥' if self.at_least else '≤'} {self.first:g}{self.unit}{later}"

    def standing(self, value: float) -> str:
        """Say which mark a value reaches."""
        if self.then is not None and self.reaches(value, self.then):
            return "second mark"
        return "first mark" if self.reaches(value, self.first) else "not reached"

    def reaches(self, value: float, mark: float) -> bool:
        """Compare on the right side."""
        return value >= mark if self.at_least else value <= mark


@dataclass(frozen=True, slots=True)
class Comparison:
    """What to divide by what: two cases, and what of a sample is compared."""

    title: str
    top: str
    bottom: str
    aim: Aim
    of: Callable[[Sample], float] = rate


@dataclass(frozen=True, slots=True)
class Ratio:
    """A comparison's outcome: a spread, or the reason why there is none."""

    title: str
    aim: Aim
    spread: Spread | None
    refusal: str = ""


def spread_of(values: Iterable[float]) -> Spread:
    """Return median, lowest and highest of at least one value."""
    ordered = sorted(values)
    return Spread(median(ordered), ordered[0], ordered[-1])


def samples_of(case: str, samples: Iterable[Sample]) -> list[Sample]:
    """Return a case's samples in the order of the rounds."""
    return sorted((sample for sample in samples if sample.case == case), key=lambda sample: sample.round)


def refusal_of(case: str, samples: Sequence[Sample]) -> str:
    """Return why a case's samples allow no ratio, empty when they do."""
    if not samples:
        return f"{case} did not run"
    for sample in samples:
        if sample.errors:
            return f"{case} had {sample.errors} errors in round {sample.round}"
    total = sum(sample.requests for sample in samples)
    if total < MIN_SAMPLES or not all(sample.requests for sample in samples):
        return f"{case} answered {total} requests, {MIN_SAMPLES} are needed: use longer rounds"
    return ""


def ratio_of(comparison: Comparison, samples: Sequence[Sample]) -> Ratio:
    """Divide round by round, or refuse to."""
    top, bottom = (samples_of(case, samples) for case in (comparison.top, comparison.bottom))
    refusal = refusal_of(comparison.top, top) or refusal_of(comparison.bottom, bottom)
    if refusal:
        return Ratio(comparison.title, comparison.aim, None, refusal)
    divisors = {sample.round: comparison.of(sample) for sample in bottom}
    pairs = [(comparison.of(sample), divisors[sample.round]) for sample in top if divisors.get(sample.round)]
    if not pairs:
        return Ratio(comparison.title, comparison.aim, None, "no round has both cases")
    return Ratio(comparison.title, comparison.aim, spread_of(upper / lower for upper, lower in pairs))


def case_row(title: str, guarantee: str, samples: Sequence[Sample]) -> list[str]:
    """Return a case's row: rate with its spread, CPU, latency, totals."""
    rates = spread_of(rate(sample) for sample in samples)
    answered = [cpu_per_request(sample) for sample in samples if sample.requests]
    latencies = [sample.p50 for sample in samples if sample.p50 is not None]
    return [
        title,
        guarantee,
        plain(rates.middle),
        f"{plain(rates.low)} - {plain(rates.high)}",
        milliseconds(answered),
        milliseconds(latencies),
        str(sum(sample.requests for sample in samples)),
        str(sum(sample.errors for sample in samples)),
    ]


def plain(value: float) -> str:
    """Return a number with three digits that count, without an exponent."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def milliseconds(values: Sequence[float]) -> str:
    """Return the median of times in seconds as a cell, a dash when there is none."""
    return f"{plain(median(values) * 1000)} ms" if values else "-"


def ratio_row(ratio: Ratio) -> list[str]:
    """Return a ratio's row."""
    if ratio.spread is None:
        return [ratio.title, "none", ratio.refusal, ratio.aim.text(), ""]
    spread = ratio.spread
    between = f"{plain(spread.low)} - {plain(spread.high)}"
    return [ratio.title, f"**{plain(spread.middle)}**", between, ratio.aim.text(), ratio.aim.standing(spread.middle)]


def value_row(title: str, values: Sequence[float], aim: Aim | None = None) -> list[str]:
    """Return a row for something measured by itself, with the aim's unit or none."""
    spread, unit = spread_of(values), aim.unit if aim else ""
    between = f"{plain(spread.low)} - {plain(spread.high)}{unit} ({len(values)})"
    standing = aim.standing(spread.middle) if aim else ""
    return [title, f"**{plain(spread.middle)}{unit}**", between, aim.text() if aim else "", standing]


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; a bar within a cell is escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"
