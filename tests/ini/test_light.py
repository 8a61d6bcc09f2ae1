"""The registry is loaded by every pool, so it loads nothing that an interpreter does not start with."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).parent.parent.parent

LOADED = f"""
import os, sys
sys.path.insert(0, {str(TOP)!r})
before = set(sys.modules)
import itkwsgi.ini.registry
print(*sorted(set(sys.modules) - before))
"""


def test_it_loads_nothing_but_itself() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", LOADED], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.split() == [
        "__future__", "itkwsgi", "itkwsgi.ini", "itkwsgi.ini.kinds", "itkwsgi.ini.registry", "itkwsgi.ini.values",
    ]  # fmt: skip
