"""The peers' configurations; whether Apache takes them shows when the benchmarks run."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.peers import Apache, Gunicorn, ItkWsgi, WsgiDaemon, apache_config


def test_an_apache_needs_nothing_of_the_machines_own() -> None:
    text = apache_config(Path("/d"), 8080, Path("/r"), {"php": Path("/m/libphp.so")}, "AssignUserID #1 #2\n")
    assert text.startswith('LoadModule php_module "/m/libphp.so"\n')
    assert text.endswith("AssignUserID #1 #2\n")
    for line in ("Listen 127.0.0.1:8080", 'ServerRoot "/d"', 'PidFile "/d/pid"', 'DocumentRoot "/r"'):
        assert line in text.splitlines()
    assert "/etc" not in text
    assert "KeepAlive" not in text


@pytest.mark.parametrize(("peer", "mpm", "other"), [(ItkWsgi, "prefork", "event"), (WsgiDaemon, "event", "prefork")])
def test_each_apache_is_written_to_its_own_directory(tmp_path: Path, peer: type[Apache], mpm: str, other: str) -> None:
    server = peer(tmp_path, tmp_path / "venv")
    server.directory.mkdir(parents=True)
    config = Path(server.command()[2])
    text = config.read_text()
    assert config.parent == server.directory
    assert f"mod_mpm_{mpm}.so" in text
    assert f"mod_mpm_{other}.so" not in text
    assert ("AssignUserID #50101 #50101" in text) == (peer is ItkWsgi)
    assert str(tmp_path / "venv") in text
    assert "-DFOREGROUND" in server.command()


def test_gunicorn_comes_from_the_environment(tmp_path: Path) -> None:
    command = Gunicorn(tmp_path, tmp_path / "venv").command()
    assert command[0] == str(tmp_path / "venv/bin/gunicorn")
    assert command[command.index("--user") + 1] == "50101"
