"""TOML, by whichever reader there is."""

from __future__ import annotations

import sys
import tomllib
import types
from pathlib import Path

import pytest

from itkwsgi.ini import toml_reader
from itkwsgi.ini.toml_reader import READERS, loads, positioned


def test_by_the_standard_library() -> None:
    assert toml_reader.reader() is tomllib.loads
    assert loads("a = [1]") == {"a": [1]}


@pytest.mark.parametrize("name", READERS[1:])
def test_without_it_by_another(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As before Python 3.11; the name in sys.modules stands for an installed package."""
    module = types.ModuleType(name)
    module.loads = lambda text: {"by": name}  # type: ignore[attr-defined]
    for other in READERS:
        monkeypatch.setitem(sys.modules, other, module if other == name else None)
    assert loads("") == {"by": name}


def test_in_the_packages_of_an_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are not on sys.path when a pool begins, nor afterwards."""
    packages = tmp_path / f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    packages.mkdir(parents=True)
    (packages / "a_reader_of_toml.py").write_text("def loads(text):\n    return {'read': text}\n")
    monkeypatch.setattr(toml_reader, "READERS", ("no_reader_of_toml", "a_reader_of_toml"))
    path = list(sys.path)
    with pytest.raises(ImportError):
        loads("x")
    monkeypatch.setattr(sys, "executable", f"{tmp_path}/bin/python")
    assert loads("x") == {"read": "x"}
    assert sys.path == path
    del sys.modules["a_reader_of_toml"]


def test_the_path_stays_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where these packages are on it already, before others."""
    path = ["/first", toml_reader.site_packages(), "/last"]
    monkeypatch.setattr(sys, "path", list(path))
    assert loads("a = 1") == {"a": 1}
    assert sys.path == path


def test_without_any(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in READERS:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError):
        loads("")


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ("a = 1\nb = \n", "Invalid value, in column 5", 2),
        ("a = 1\na = 2\n", "Cannot overwrite a value, in column 6", 2),
        ("a = [1,\n2\n", "Unclosed array, at the end of the file", 2),
    ],
)
def test_where_the_fault_is(text: str, message: str, line: int) -> None:
    with pytest.raises(ValueError, match=" ") as caught:
        loads(text)
    assert positioned(str(caught.value), text) == (message, line)


def test_not_every_fault_says_where_it_is() -> None:
    assert positioned("too long", "a = 1") == ("too long", 0)
