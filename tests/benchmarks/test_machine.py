"""Missing packages, the work directory, ports."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from benchmarks import BenchmarkError
from benchmarks.machine import free_port, missing_packages, run_quietly, tail, work_directory


def test_packages_are_missing_by_their_files(tmp_path: Path) -> None:
    assert missing_packages(tmp_path) == [
        "wrk",
        "apache2-bin",
        "libapache2-mpm-itk",
        "libapache2-mod-php",
        "libapache2-mod-wsgi-py3",
        "python3-venv",
    ]
    for file in ("usr/bin/wrk", "usr/lib/apache2/modules/libphp8.2.so", "usr/lib/python3.11/ensurepip/__init__.py"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    assert missing_packages(tmp_path) == ["apache2-bin", "libapache2-mpm-itk", "libapache2-mod-wsgi-py3"]


def test_a_work_directory_is_open_to_all_and_starts_clean(tmp_path: Path) -> None:
    given = tmp_path / "work"
    (given / "logs").mkdir(parents=True)
    (given / "logs/old").touch()
    mask = os.umask(0o077)
    try:
        with work_directory(given, keep=False) as work:
            assert list((work / "logs").iterdir()) == []
            modes = {path: path.stat().st_mode & 0o777 for path in [work, *work.rglob("*")]}
    finally:
        os.umask(mask)
    assert given.is_dir()
    assert work / "sites/php/hello.php" in modes
    for path, mode in modes.items():
        assert mode == (0o755 if path.is_dir() else 0o644), path


def test_a_temporary_one_is_removed_unless_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.machine.TEMPORARY", tmp_path)
    with work_directory(None, keep=False) as gone, work_directory(None, keep=True) as kept:
        assert gone.parent == kept.parent == tmp_path
        assert gone.is_dir()
    assert list(tmp_path.iterdir()) == [kept]


def test_a_free_port_can_be_bound() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", free_port()))


def test_a_program_that_fails_is_quoted() -> None:
    run_quietly(["sh", "-c", "echo fine"])
    with pytest.raises(BenchmarkError, match="no such thing"):
        run_quietly(["sh", "-c", "echo no such thing >&2; exit 3"])


def test_a_tail_is_the_end() -> None:
    assert tail("a\nb\nc\n", lines=2) == "b\nc"
    assert tail("") == ""
