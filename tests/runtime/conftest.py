"""A pool in a fork, as whoever runs the tests."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

import pytest

from itkwsgi.runtime.main import run_pool
from tests.support.running import SMALL_SITE, RunningPool, ended, nobody_left


@pytest.fixture
def place():
    """A directory with a short path that every user may enter: sockets are bound in it."""
    with tempfile.TemporaryDirectory() as made:
        os.chmod(made, 0o755)
        yield Path(made)


@pytest.fixture
def pool(place):
    """Start one pool, which says ``said`` while it starts; at the end it drains, and nothing it started is left."""
    started = []

    def start(source=SMALL_SITE, said=b"SR", run=run_pool, **plan):
        one = RunningPool(place, run, source, **plan)
        started.append(one)
        found = b"".join(one.said() for _ in said)
        assert found == said, one.log()
        return one

    with nobody_left():
        yield start
        for one in started:
            one.close()
            with contextlib.suppress(ChildProcessError, ProcessLookupError):
                one.kill()
                ended(one.pid)
