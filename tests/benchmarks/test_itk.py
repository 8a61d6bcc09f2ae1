"""The generated itk.toml, read back with the standard library's reader."""

from __future__ import annotations

import tomllib
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.cases import load_sites
from benchmarks.itk import Itkwsgi, Site, itk_toml, table
from benchmarks.machine import SITES
from benchmarks.wake import SLEEPER


def test_the_whole_file() -> None:
    text = itk_toml([Site("a.bench", 50001, warmup=True), SLEEPER], Path("/d"), Path("/s"), 8080, Path("/v"))
    whole = tomllib.loads(text)
    assert whole["server"]["listen"] == ["127.0.0.1:8080"]
    assert {value for key, value in whole["server"].items() if key != "listen"} == {
        "/d/run",
        "/d/spool",
        "/d/access.log",
        "/d/error.log",
    }
    assert whole["environment"] == {"plain": {"venv": "/v"}, "web": {"venv": "/v", "preload": ["flask"]}}
    first, sleeper = whole["vhost"]
    assert (first["name"], first["user"], first["root"], first["warmup"]) == ("a.bench", 50001, "/s/flask", ["/"])
    assert "public" not in first
    assert (sleeper["idle_timeout"], sleeper["warmup"], sleeper["min_spare"]) == ("1s", [], 1)


def test_what_is_more_belongs_to_its_own_vhost() -> None:
    sites = [Site("a.bench", 50001, "bare", more='public = "{root}/p"\n[[vhost.location]]\npath = "/"\n'), SLEEPER]
    first, second = tomllib.loads(itk_toml(sites, Path("/d"), Path("/s"), 8080, Path("/v")))["vhost"]
    assert (first["public"], first["location"]) == ("/s/bare/p", [{"path": "/"}])
    assert second.keys() == first.keys() - {"public", "location"}


def test_every_site_has_its_application() -> None:
    for site in load_sites(8):
        assert (SITES / site.folder / f"{site.module}.py").is_file()


@given(st.text(st.characters(exclude_categories=["Cs"], max_codepoint=0xFFFF)), st.integers(-(2**63), 2**63 - 1))
def test_json_values_are_toml(text: str, number: int) -> None:
    text = text.replace("\x7f", "")  # the one character that JSON leaves bare and TOML does not allow
    assert tomllib.loads(table("[a]", {"b": text, "c": [number, number]})) == {"a": {"b": text, "c": [number, number]}}


def test_the_line_ready_must_stand_alone(tmp_path: Path) -> None:
    server = Itkwsgi(tmp_path, tmp_path / "venv", ["itkwsgi"], [])
    assert not server.is_ready()
    server.directory.mkdir(parents=True)
    server.output.write_text("not ready yet\nlistening on 127.0.0.1:1, almost ready\n")
    assert not server.is_ready()
    server.output.write_text("listening on 127.0.0.1:1\nready\n")
    assert server.is_ready()
    assert server.command() == ["itkwsgi", "serve", str(server.directory / "itk.toml")]
