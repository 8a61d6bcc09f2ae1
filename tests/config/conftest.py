"""A pretended machine for every test, and one site to change key by key."""

from __future__ import annotations

from pathlib import Path

import pytest
from pretence import LISTEN, Pretence, site


@pytest.fixture
def pretence(tmp_path: Path) -> Pretence:
    """See `Pretence`."""
    return Pretence(tmp_path)


@pytest.fixture
def one_site(pretence: Pretence):
    """Load a configuration of one site that says these keys (as TOML; "" leaves one out); returns the site."""

    def load(**keys: str):
        return pretence.load(LISTEN + site(**keys)).vhosts[0]

    return load


@pytest.fixture
def refused_site(pretence: Pretence):
    """As `one_site`, for one that refuses the whole configuration; returns its lines without their place."""

    def load(**keys: str) -> list[str]:
        lines = pretence.refusal(LISTEN + site(**keys))
        return [line.split(": ", 1)[1] for line in lines]

    return load
