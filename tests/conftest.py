"""What all tests share: which folder needs what, and hypothesis' manners.

A test's mark follows from its folder, so that none can be forgotten: tests/root needs root, tests/system an ordinary
user (script/test becomes one), tests/browser a Chromium, tests/third_party applications that script/test installs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.support.bomb import Bomb

TESTS = Path(__file__).parent
MARKED_FOLDERS = ("root", "system", "browser", "third_party")
# What the tests of a folder cannot do without.
NEEDED_FILES = (
    ("browser", Path("/usr/bin/chromium")),
    ("browser", Path("/usr/bin/chromedriver")),
    ("browser", TESTS.parent / "var/sites/bin/python"),
    ("third_party", TESTS.parent / "var/third/bin/python"),
)

# Two cores and several processes: how long an example takes says nothing.
hypothesis.settings.register_profile("here", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "here")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with its folder's name."""
    for item in items:
        if item.path.is_relative_to(TESTS):
            folder = item.path.relative_to(TESTS).parts[0]
            if folder in MARKED_FOLDERS:
                item.add_marker(folder)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what cannot run here, and say why."""
    is_root = os.geteuid() == 0
    if item.get_closest_marker("root") and not is_root:
        pytest.skip("needs root, to switch users")
    if item.get_closest_marker("system") and is_root:
        pytest.skip("needs an ordinary user; script/test becomes one for these")
    for marker, path in NEEDED_FILES:
        if item.get_closest_marker(marker) and not path.exists():
            pytest.skip(f"needs {path}, which script/test installs")


@pytest.fixture
def bomb() -> Iterator[Bomb]:
    """A descriptor that takes a minute to close, unless the test is over."""
    made = Bomb()
    yield made
    made.defuse()


@pytest.fixture
def checkout() -> Path:
    """The folder that holds itk.toml."""
    return TESTS.parent
