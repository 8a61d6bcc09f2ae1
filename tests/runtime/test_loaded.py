"""Which files a pool loaded, and whether one of them is another now."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from itkwsgi.runtime.loaded import Loaded, stamp_of


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Pretend that the import brought a module of that name and file."""

    def bring(name: str, path: str | None) -> None:
        found = ModuleType(name)
        found.__file__ = path
        monkeypatch.setitem(sys.modules, name, found)

    return bring


def files_of(loaded: Loaded) -> list[str]:
    return [path for path, _ in loaded.files]


def test_only_what_the_import_brought_and_only_the_sites(module: Any, tmp_path: Path) -> None:
    (tmp_path / "old.py").touch()
    (tmp_path / "site.py").touch()
    (tmp_path / "first.py").touch()
    module("brought_before", str(tmp_path / "old.py"))
    loaded = Loaded()
    module("of_the_site", str(tmp_path / "site.py"))
    module("of_python", os.path.join(os.path.dirname(os.__file__), "antigravity.py"))
    module("without_a_file", None)
    module("of_nowhere", str(tmp_path / "missing.py"))
    loaded.note([str(tmp_path / "first.py")])
    assert files_of(loaded) == [str(tmp_path / "site.py"), str(tmp_path / "first.py")]


def test_packages_of_the_site_are_among_them(module: Any) -> None:
    loaded = Loaded()
    path = pytest.__file__
    module("a_package_of_the_site", path)
    loaded.note([])
    assert files_of(loaded) == [path]


@pytest.fixture
def one(tmp_path: Path) -> tuple[Loaded, Path]:
    file = tmp_path / "site.py"
    file.write_text("one")
    os.utime(file, (1000, 1000))
    loaded = Loaded()
    loaded.note([str(file)])
    return loaded, file


def test_a_change_is_seen_when_it_has_settled(one: tuple[Loaded, Path]) -> None:
    loaded, file = one
    assert loaded.changed(0.0) is None
    file.write_text("two")
    assert loaded.changed(60.0) is None and loaded.changed(0.0) == str(file)
    os.utime(file, (time.time() - 61,) * 2)
    assert loaded.changed(60.0) == str(file)


def test_one_that_is_gone_is_no_change_until_it_comes_back(one: tuple[Loaded, Path]) -> None:
    loaded, file = one
    file.rename(file.with_name("away"))
    assert loaded.changed(0.0) is None
    file.with_name("away").rename(file)
    assert loaded.changed(0.0) is None  # the same
    file.unlink()
    file.write_text("another")
    assert loaded.changed(0.0) == str(file)


def test_a_copy_with_the_old_time_is_another_file(one: tuple[Loaded, Path]) -> None:
    loaded, file = one
    new = file.with_name("new")
    new.write_text("eno")
    os.utime(new, (1000, 1000))
    new.rename(file)
    assert stamp_of(str(file)) is not None and loaded.changed(0.0) == str(file)
