"""Bytecode of files that were only just written is not kept; that of others is."""

from __future__ import annotations

import importlib
import os
import sys
import time
from pathlib import Path

import pytest

from itkwsgi.runtime.bytecode import is_young, keep_none_of_young_files
from tests.support.forked import in_child


def imported_twice(directory: Path, old: bool) -> tuple[str, str, bool]:
    """Import a module, write another of that length within the second, import again; and whether bytecode is kept."""
    keep_none_of_young_files()
    sys.dont_write_bytecode = False
    sys.path.insert(0, str(directory))
    file = directory / "edited.py"
    when = time.time() - (100 if old else 0)
    found = []
    for text in ("NAME = 'one'", "NAME = 'two'"):
        file.write_text(text)
        os.utime(file, (when, when))
        importlib.invalidate_caches()
        sys.modules.pop("edited", None)
        found.append(importlib.import_module("edited").NAME)
    return found[0], found[1], any((directory / "__pycache__").glob("edited.*.pyc"))


def test_an_edit_within_the_second_is_seen(tmp_path: Path) -> None:
    assert in_child(imported_twice, tmp_path, False) == ("one", "two", False)


def test_settled_files_are_compiled_once(tmp_path: Path) -> None:
    """And this is what Python makes of an edit that leaves size and time: the control."""
    assert in_child(imported_twice, tmp_path, True) == ("one", "one", True)


@pytest.mark.parametrize(("age", "young"), [(0.0, True), (1.5, True), (5.0, False), (-100.0, True)])
def test_what_is_young(tmp_path: Path, age: float, young: bool) -> None:
    file = tmp_path / "x.py"
    file.touch()
    os.utime(file, (time.time() - age,) * 2)
    assert is_young(str(file)) == young
    assert is_young(str(tmp_path / "missing.py"))
