"""What a pool loads of the settings, before any file is read: nothing but these modules.

Each stays in the memory of every pool and child.  The reader of TOML and regular expressions come with the first file.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).parent.parent.parent

LOADED = f"""
import os, sys
sys.path.insert(0, {str(TOP)!r})
before = set(sys.modules)
import itkwsgi.ini.match, itkwsgi.ini.override_file, itkwsgi.ini.registry
loaded = set(sys.modules) - before
itkwsgi.ini.override_file.stamp("/")
itkwsgi.ini.override_file.load("/nowhere", ["/nowhere"], frozenset())
itkwsgi.ini.match.canonical("/a/../b")
assert set(sys.modules) - before == loaded
print(*sorted(loaded))
itkwsgi.ini.override_file.parse("[value]", "/nowhere", frozenset())
print(*sorted({{"re", "tomllib"}}.intersection(sys.modules)))
"""


def test_it_loads_nothing_but_itself() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", LOADED], capture_output=True, text=True, timeout=30, check=True
    )
    loaded, for_a_file = done.stdout.splitlines()
    assert loaded.split() == [
        "__future__", "errno", "itkwsgi", "itkwsgi.ini", "itkwsgi.ini.kinds", "itkwsgi.ini.match", "itkwsgi.ini.merge",
        "itkwsgi.ini.override_file", "itkwsgi.ini.registry", "itkwsgi.ini.setting", "itkwsgi.ini.tighter",
        "itkwsgi.ini.values",
    ]  # fmt: skip
    assert for_a_file.split() == ["re", "tomllib"]  # so the test would see them
