"""The loader as its users call it, on the real machine."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from pretence import LISTEN, site

from itkwsgi.config.load import load
from itkwsgi.config.model import ConfigError

ME = os.geteuid()
OTHER = 54321 if ME != 54321 else 54322


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that every user may enter, with a site."""
    with tempfile.TemporaryDirectory() as top:
        path = Path(top)
        path.chmod(0o755)
        (path / "site").mkdir()
        (path / "site" / "app.py").touch()
        (path / "itk.toml").write_text(LISTEN + "run_dir = 'run'\nspool_dir = 's'\naccess_log = 'a'\nerror_log = 'e'\n")
        (path / "site").chmod(0o755)
        yield path


def write(place: Path, text: str) -> str:
    path = place / "itk.toml"
    path.write_text(path.read_text() + text)
    path.chmod(0o644)
    return str(path)


def lines(path: str, euid: int | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(path, euid=euid)
    return str(caught.value).split("\n")


def test_a_configuration_for_whoever_runs_this(place: Path) -> None:
    config = load(write(place, site(user="50001" if ME == 0 else "")))
    assert config.path == str(place / "itk.toml")
    assert config.server.run_dir == str(place / "run")
    assert config.problems == ()
    assert config.vhosts[0].ids is not None and config.vhosts[0].ids.uid == (50001 if ME == 0 else ME)
    assert [listen.text for listen in config.listens] == ["127.0.0.1:8080"]


def test_as_if_another_user_started_it(place: Path) -> None:
    config = load(write(place, site(user="") + site(name="'b.example'", user="50001")), euid=OTHER)
    assert config.server.front_ids.uid == OTHER
    assert [vhost.ids.uid if vhost.ids else None for vhost in config.vhosts] == [OTHER, None]
    assert "only root can start a site as 50001" in str(config.problems[0])
    assert any("not enforced" in str(note) for note in config.notes)


def test_every_error_is_a_line_with_its_place(place: Path) -> None:
    path = write(place, site(nice="'x'", usr="1"))
    assert lines(path, euid=OTHER) == [
        f"{path}:9: vhost.user: only root can start a site as 50001: this server would be {OTHER} (uid {OTHER})",
        f'{path}:12: vhost.nice: "x" is not a whole number',
        f"{path}:13: vhost.usr: unknown key (did you mean user?)",
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [("none.toml", "cannot be read: No such file or directory"), ("", "cannot be read: Is a directory")],
)
def test_without_a_file_nothing_more_is_said(place: Path, name: str, message: str) -> None:
    path = str(place / name)
    assert lines(path, euid=OTHER) == [f"{path}: {message}"]


@pytest.mark.skipif(ME == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(place: Path) -> None:
    path = write(place, site())
    os.chmod(path, 0)
    assert lines(path) == [f"{path}: cannot be read: Permission denied"]


@pytest.mark.skipif(ME != 0, reason="needs root, to give files away")
def test_root_refuses_what_another_could_change(place: Path) -> None:
    path = write(place, site())
    assert load(path).problems == ()
    os.chown(path, 54321, 0)
    assert lines(path) == [
        f"{path}: refused: {path} belongs to uid 54321 (only root may be able to change the configuration)"
    ]
    assert load(path, euid=OTHER).vhosts, "for an ordinary user's server it is fine"


def test_no_sites_are_a_note_and_no_listeners_an_error(place: Path) -> None:
    config = load(str(place / "itk.toml"), euid=OTHER)
    assert any("there is no [[vhost]]: nothing is served" in str(note) for note in config.notes)
    path = place / "itk.toml"
    path.write_text("")
    assert f"{path}: server.listen: there is no address to listen on" in lines(str(path))


def test_relative_names_stay_as_they_were_said(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(place, "x = 1\n")
    monkeypatch.chdir(place)
    assert lines("itk.toml", euid=OTHER)[0].startswith("itk.toml:7: server.x: unknown key")
