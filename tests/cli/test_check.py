"""itkwsgi check: what it prints and how it ends."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itkwsgi.cli.check import count, folded, noted
from itkwsgi.config.model import Problem

NOT_ROOT = os.geteuid() != 0


def findings(output: str) -> str:
    """Without what is said of the machine, and of an ordinary user's server."""
    about = ("machine: ", "in force: ")
    lines = output.splitlines(keepends=True)
    return "".join(line for line in lines if "not enforced" not in line and not line.startswith(about))


def test_all_is_well(operator) -> None:
    operator.write_good()
    done = operator.run("check", "itk.toml")
    assert (findings(done.stdout), done.stderr, done.returncode) == ("itk.toml: 1 site, ok\n", "", 0)
    assert ("not enforced" in done.stdout) == NOT_ROOT


def test_the_machine_is_described_before_the_last_line(operator) -> None:
    operator.write_good()
    lines = operator.run("check", "itk.toml").stdout.splitlines()
    assert [line.partition(": ")[0] for line in lines[-3:]] == ["machine", "in force", "itk.toml"]
    assert ("id_namespace is off" in lines[-2]) != NOT_ROOT


def test_errors_come_all_at_once_in_order(operator) -> None:
    operator.write('[server]\nlisten = ["x"]\nfronts = -1\n[[vhost]]\nname = "a b"\nap = "x"\n')
    done = operator.run("check", "itk.toml")
    assert done.returncode == 1 and done.stderr == ""
    lines = done.stdout.splitlines()
    assert [line.split(": ")[0] for line in lines] == [
        "itk.toml:2",
        "itk.toml:3",
        "itk.toml:4",
        "itk.toml:5",
        "itk.toml:6",
        "itk.toml",
    ]
    assert lines[4] == "itk.toml:6: vhost.ap: unknown key (did you mean app?)"
    assert lines[-1] == "itk.toml: 5 errors, nothing would be served"


def test_pools_of_parts_are_counted_and_explained(operator) -> None:
    path = operator.write_good()
    more = '[[vhost.location]]\npath = "/{}"\nvalue = {{ optimize = {} }}\n'
    path.write_text(path.read_text() + more.format("a", 1))
    lines = findings(operator.run("check", "itk.toml").stdout).splitlines()
    assert lines[-1] == "itk.toml: 1 site, 1 with pools of its own for 1 part, ok"
    assert lines[0].endswith(": vhost.location.path: note: /a has a pool of its own, for optimize")
    path.write_text(path.read_text() + more.format("b", 2) + more.format("c", 0))
    lines = findings(operator.run("check", "itk.toml").stdout).splitlines()
    assert lines[-1] == "itk.toml: 1 site, 1 with pools of its own for 2 parts, ok"


def test_a_broken_site_is_told_in_the_same_form(operator) -> None:
    path = operator.write_good()
    path.write_text(
        path.read_text() + '[[vhost]]\nname = "b.example"\nroot = "none"\napp = "x"\nuser = 50002\nnice = 99\n'
    )
    done = operator.run("check", "itk.toml")
    assert done.returncode == 1 and done.stderr == ""
    lines = findings(done.stdout).splitlines()
    assert f"itk.toml:{lines_of(path, 'none')}: vhost.root: {operator.place}/none does not exist" in lines
    assert f"itk.toml:{lines_of(path, 'nice')}: vhost.nice: note: 99 is beyond 19: 19 is used" in lines
    assert lines[-1] == "itk.toml: 2 sites, 1 broken"


def lines_of(path, text: str) -> int:
    """The line that holds the text."""
    return next(number for number, line in enumerate(path.read_text().splitlines(), 1) if text in line)


@pytest.mark.parametrize("words", [["--config", "itk.toml"], ["itk.toml"], ["--print", "--config", "itk.toml"]])
def test_the_file_may_be_an_argument_or_an_option(operator, words: list[str]) -> None:
    operator.write_good()
    assert operator.run("check", *words).returncode == 0


def test_the_file_is_named_once(operator) -> None:
    done = operator.run("check", "itk.toml", "--config", "itk.toml")
    assert done.returncode == 2 and "Name the configuration once" in done.stderr


def test_without_a_file_it_is_the_one_in_etc(operator) -> None:
    done = operator.run("check", "--help")
    assert "/etc/itkwsgi/itk.toml" in done.stdout
    if not os.path.exists("/etc/itkwsgi/itk.toml"):
        done = operator.run("check")
        assert done.stdout.startswith("/etc/itkwsgi/itk.toml: cannot be read: No such file or directory\n")


def test_print_writes_the_effective_configuration_and_nothing_else(operator) -> None:
    operator.write_good()
    done = operator.run("check", "itk.toml", "--print")
    tables = tomllib.loads(done.stdout)
    assert tables["server"]["max_clients"] == 256
    assert tables["vhost"][0]["app"] == f"{operator.place}/site/app.py"
    assert findings(done.stderr) == "itk.toml: 1 site, ok\n"
    operator.write(done.stdout, "again.toml")
    again = operator.run("check", "again.toml", "--print")
    assert (again.returncode, again.stdout) == (0, done.stdout), "it means the same, and is a fixed point"


def test_print_of_what_cannot_be_served_prints_no_configuration(operator) -> None:
    operator.write("x = 1\n")
    done = operator.run("check", "itk.toml", "--print")
    assert (done.stdout, done.returncode) == ("", 1)
    assert "itk.toml:1: x: unknown key" in done.stderr


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"\x00",
        b"[",
        b"a",
        b"[" * 5000,
        b"a = " + b"[" * 5000,
        b"a = " + b"9" * 9000,
        b"vhost = 1",
        b"[[server]]",
        b"server = []",
        b"include = [[]]",
        b"[server]\nlisten = {}\n[[vhost]]\n[[vhost]]\nenv = 1\npool_socket = []\n",
        b"a = 2020-01-01T00:00:00Z\n",
        '"ключ\\u0007" = 1\n'.encode(),
        b"[environment]\na = {venv = 1}\n",
    ],
    ids=lambda data: repr(data[:20]),
)
def test_no_input_is_answered_by_a_traceback(operator, data: bytes) -> None:
    (operator.place / "itk.toml").write_bytes(data)
    done = operator.run("check", "itk.toml")
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].endswith("nothing would be served")


def test_paths_that_are_no_text_are_shown_all_the_same(operator) -> None:
    done = operator.run("check", os.fsdecode(b"x\xff.toml"))
    assert done.returncode == 1
    assert done.stdout.startswith("x\\udcff.toml: cannot be read: No such file or directory")


def test_output_that_is_no_terminal_is_plain_and_whole(operator) -> None:
    long = "x" * 300
    operator.write(f"{long} = 1\n")
    done = operator.run("check", "itk.toml")
    assert f"itk.toml:1: {long}: unknown key\n" in done.stdout
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize("width", [80, 200])
def test_a_terminal_gets_lines_that_fit(operator, width: int) -> None:
    """Words are whole, nothing is left out, and what goes on is indented."""
    operator.write_good()
    text = operator.on_terminal(width, "check", "itk.toml")
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    assert (len(lines) > 4) == (width == 80 or NOT_ROOT)
    plain = operator.run("check", "itk.toml").stdout
    assert text.split() == plain.split()


@given(st.text(alphabet="ab: -/", max_size=300), st.integers(20, 90))
def test_folding_loses_no_word(text: str, width: int) -> None:
    assert folded(text, width).split() == text.split()


def test_from_a_directory_that_is_gone(operator) -> None:
    gone = operator.place / "gone"
    gone.mkdir()
    script = f'cd "{gone}" && rmdir "{gone}" && exec "$0" -I -m itkwsgi check itk.toml'
    done = subprocess.run(["/bin/sh", "-c", script, sys.executable], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "No such file or directory" in done.stdout + done.stderr


def test_words() -> None:
    assert (count(0, "site"), count(1, "site"), count(2, "site")) == ("0 sites", "1 site", "2 sites")
    assert noted(Problem("a", 1, "k", "m", "h")) == "a:1: k: note: m (h)"
