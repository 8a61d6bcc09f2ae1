"""``python -m benchmarks``: start the servers side by side, let them take turns, print what came out.

Order of things: packages, work directory, environment, servers, rounds, then waking, memory and settings,
each with a server of its own, then the report. Whatever is started ends with the block that started it; the first
SIGINT, SIGTERM or SIGHUP unwinds those blocks and further ones are ignored meanwhile, so that nothing is left running.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks import BenchmarkError, cases, machine
from benchmarks.cases import CASES, COMPARISONS, Case, Measure
from benchmarks.itk import Itkwsgi
from benchmarks.memory import Memory, measure_memory, memory_sites
from benchmarks.peers import Gunicorn, ItkPhp, ItkWsgi, Uwsgi, WsgiDaemon
from benchmarks.report import Aim, Sample, case_row, markdown_table, ratio_of, ratio_row, samples_of, value_row
from benchmarks.server import Server, adopt_orphans, end_descendants
from benchmarks.settings import HEAD, PLAIN, TUNED, Pair, measure_settings, table_rows
from benchmarks.wake import SLEEPER, measure_wake

PARTS = (*cases.keys(CASES), "wake", "memory", "settings")
MEGABYTE = 1e6


@dataclass(slots=True)
class Results:
    """Everything measured in one run: ``wake`` in seconds."""

    samples: list[Sample] = field(default_factory=list)
    wake: list[float] = field(default_factory=list)
    memory: Memory | None = None
    settings: list[Pair] = field(default_factory=list)


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="itkwsgi beside its peers, in one run.")
    add = parser.add_argument
    add("--quick", action="store_true", help="rounds of 3 s instead of 8 s")
    add("--seconds", type=int, help="length of a round")
    add("--rounds", type=int, default=3, help="how often each case takes its turn (default 3)")
    add("--connections", type=int, default=8, help="requests under way at once (default 8)")
    add("--min-spare", type=int, help="spare children of itkwsgi's sites under load (default: as many as connections)")
    add("--only", type=parts, default=list(PARTS), metavar="PART,...", help=f"a choice of {', '.join(PARTS)}")
    add("--sites", type=int, default=20, help="warm sites for the memory figures (default 20)")
    add("--sleeps", type=int, default=5, help="how often the sleeping site is woken (default 5)")
    add("--requests", type=int, default=500, help="how often each site is asked for what settings add (default 500)")
    add("--json", type=Path, metavar="FILE", help="write everything measured to this file too")
    add("--work", type=Path, metavar="DIR", help="work in this directory and keep it (default: a temporary one)")
    add("--keep", action="store_true", help="keep the temporary directory with all logs")
    add("--venv", type=Path, metavar="DIR", help="root's venv with Flask (and gunicorn, uWSGI; default: a new one)")
    add("--with-uwsgi", action="store_true", help="build uWSGI into the new venv (needs a compiler and python3-dev)")
    add("--itkwsgi", type=shlex.split, metavar="COMMAND", help="the program measured (default: this python -m itkwsgi)")
    add("--install", action="store_true", help="install missing Debian packages with apt")
    chosen = parser.parse_args(words)
    chosen.seconds = chosen.seconds or (3 if chosen.quick else 8)
    chosen.min_spare = chosen.connections if chosen.min_spare is None else chosen.min_spare
    chosen.itkwsgi = chosen.itkwsgi or [sys.executable, "-m", "itkwsgi"]
    return chosen


def parts(text: str) -> list[str]:
    """Parse a list of parts; raises argparse.ArgumentTypeError for a name that is none."""
    names = text.split(",")
    if unknown := [name for name in names if name not in PARTS]:
        raise argparse.ArgumentTypeError(f"no part is called {', '.join(unknown)}; there are {', '.join(PARTS)}")
    return names


def say(text: str) -> None:
    """Report progress, beside the result on stdout."""
    print(text, file=sys.stderr, flush=True)


def unwind(number: int, frame: object) -> None:
    """Handle the first signal by leaving all blocks; the next ones must not disturb that."""
    for other in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(other, signal.SIG_IGN)
    raise SystemExit(128 + number)


def ensure_packages(may_install: bool) -> None:
    """Raise BenchmarkError naming the packages that are missing, or install them first."""
    missing = machine.missing_packages()
    if missing and may_install:
        machine.install(missing)
        missing = machine.missing_packages()
    if missing:
        raise BenchmarkError(f"missing packages: {' '.join(missing)} (--install installs them)")


def chosen_cases(only: Sequence[str], venv: Path) -> list[Case]:
    """Return the cases to run, without the peers that the environment does not have."""
    found = []
    for case in CASES:
        absent = case.server in ("gunicorn", "uwsgi") and not (venv / "bin" / case.server).exists()
        if case.key in only and absent:
            say(f"{case.server} is not in {venv}: left out")
        elif case.key in only:
            found.append(case)
    return found


def make_server(name: str, work: Path, venv: Path, options: argparse.Namespace) -> Server:
    """Return a server by name."""
    for peer in (ItkPhp, ItkWsgi, WsgiDaemon, Gunicorn, Uwsgi):
        if peer.name == name:
            return peer(work, venv)
    return Itkwsgi(work, venv, options.itkwsgi, cases.load_sites(options.min_spare))


def run_load(chosen: Sequence[Case], work: Path, venv: Path, options: argparse.Namespace) -> list[Sample]:
    """Start all servers, let the cases take turns, stop the servers."""
    servers: dict[str, Server] = {}
    measures: dict[str, Measure] = {}
    with ExitStack() as stack:
        for case in chosen:
            if case.server == "floor":
                application = work / "sites/flask/flask_hello.py"
                measures[case.key] = cases.floor_measure(case, venv / "bin/python", application)
                continue
            if case.server not in servers:
                servers[case.server] = stack.enter_context(make_server(case.server, work, venv, options))
            measures[case.key] = cases.server_measure(case, servers[case.server], options.connections)
        return cases.interleave(measures, options.rounds, options.seconds, say)


def run_single(work: Path, venv: Path, options: argparse.Namespace, results: Results) -> None:
    """Measure memory, waking and settings, with a server that holds nothing else."""
    sites = memory_sites(options.sites)
    if "memory" in options.only:
        with Itkwsgi(work, venv, options.itkwsgi, sites, "itkwsgi-memory") as server:
            results.memory = measure_memory(server, sites)
    if "wake" in options.only:
        with Itkwsgi(work, venv, options.itkwsgi, [SLEEPER], "itkwsgi-wake") as server:
            results.wake = measure_wake(server, options.sleeps)
    if "settings" in options.only:
        with Itkwsgi(work, venv, options.itkwsgi, [PLAIN, TUNED], "itkwsgi-settings") as server:
            results.settings = measure_settings(server, options.requests)


def report(chosen: Sequence[Case], results: Results) -> str:
    """Return the whole report in Markdown."""
    parts = [machine_line()]
    if chosen:
        rows = [case_row(case.title, case.guarantee, samples_of(case.key, results.samples)) for case in chosen]
        head = ["server", "guarantee", "req/s", "spread", "CPU per request", "p50", "requests", "errors"]
        parts.append(markdown_table(head, rows))
        ratios = [ratio_of(comparison, results.samples) for comparison in COMPARISONS]
        parts.append(markdown_table(["ratio", "median", "spread", "aim", "standing"], map(ratio_row, ratios)))
    if rows := single_rows(results):
        parts.append(markdown_table(["by itself", "median", "spread (n)", "aim", "standing"], rows))
    if results.settings:
        parts.append(markdown_table(HEAD, table_rows(results.settings)))
    return "\n".join(parts)


def single_rows(results: Results) -> list[list[str]]:
    """Return the rows of waking and memory."""
    rows = []
    if results.wake:
        title = "first request to a sleeping Flask site, framework preloaded"
        rows.append(value_row(title, [second * 1000 for second in results.wake], Aim(False, 60, 15, " ms")))
    if memory := results.memory:
        megabyte = Aim(False, 12, 4, " MB")
        rows.append(value_row("PSS per warm Flask site", [size / MEGABYTE for size in memory.warm], megabyte))
        rows.append(value_row("growth of all PSS per warm site, MB", [memory.growth / MEGABYTE]))
        rows.append(value_row("processes of sleeping sites", [memory.sleeping_processes], Aim(False, 0)))
        rows.append(value_row("PSS of the server itself, all asleep, MB", [sum(memory.asleep.values()) / MEGABYTE]))
        rows += [value_row(f"of that: {role}, MB", [size / MEGABYTE]) for role, size in memory.asleep.items()]
    return rows


def machine_line() -> str:
    """Say what the figures were measured on."""
    return f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, load average {os.getloadavg()[0]:.2f}\n"


def as_json(options: argparse.Namespace, results: Results) -> str:
    """Return everything measured, and every ratio or why there is none."""
    ratios = []
    for comparison in COMPARISONS:
        ratio = ratio_of(comparison, results.samples)
        spread = asdict(ratio.spread) if ratio.spread else None
        ratios.append({"ratio": ratio.title, "spread": spread, "refusal": ratio.refusal, "aim": asdict(ratio.aim)})
    whole = {
        "machine": {"cores": os.cpu_count(), "kernel": platform.release()},
        "options": {key: getattr(options, key) for key in ("seconds", "rounds", "connections", "min_spare", "sites")},
        "samples": [asdict(sample) for sample in results.samples],
        "ratios": ratios,
        "wake": results.wake,
        "memory": asdict(results.memory) if results.memory else None,
        "settings": [asdict(pair) for pair in results.settings],
    }
    return json.dumps(whole, indent=2) + "\n"


def run(options: argparse.Namespace) -> str:
    """Do a whole run and return the report; raises BenchmarkError."""
    ensure_packages(options.install)
    results = Results()
    with machine.work_directory(options.work, options.keep) as work:
        say(f"working in {work}")
        packages = ["flask", "gunicorn", *(["uwsgi"] if options.with_uwsgi else [])]
        venv = machine.environment(work, options.venv, packages)
        chosen = chosen_cases(options.only, venv)
        if chosen:
            results.samples = run_load(chosen, work, venv, options)
        run_single(work, venv, options, results)
    if options.json:
        options.json.write_text(as_json(options, results))
    return report(chosen, results)


def main() -> int:
    """Run and print; 0 after a run, whatever the figures; 1 when it could not be made; 2 for a wrong command line."""
    options = arguments()
    if os.geteuid() != 0:
        say("this must be run as root: the servers switch users")
        return 2
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, unwind)
    try:
        adopt_orphans()
        print(run(options))
    except BenchmarkError as error:
        say(f"benchmarks: {error}")
        return 1
    finally:
        end_descendants()
    return 0


if __name__ == "__main__":
    sys.exit(main())
