"""The real daemon with real users.  Sites are root's files that everybody may read, where everybody may enter."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from daemon import Daemon

PROBE = Path(__file__).parents[1] / "system" / "sites" / "probe.py"
USERS = (50001, 50002, 50003)


@pytest.fixture(scope="session")
def place():
    """Not pytest's tmp_path: its parents are 0700, and no site could enter."""
    path = Path(tempfile.mkdtemp(prefix="itkwsgi-root-", dir="/var/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def sites(place):
    path = place / "sites"
    path.mkdir()
    shutil.copy(PROBE, path)
    os.chmod(path / "probe.py", 0o644)
    return path


@pytest.fixture
def daemon(place, sites, request):
    """Start daemons by TOML; each is stopped, and looked after, at the end."""
    started = []

    def start(vhosts, **more):
        name = "".join(letter if letter.isalnum() else "-" for letter in request.node.name)
        one = Daemon(place / f"{name}-{len(started)}", vhosts, **more)
        started.append(one)
        return one.start()

    yield start
    for one in started:
        one.stop()


@pytest.fixture
def site(sites):
    """TOML for one vhost of the probe site."""

    def make(name, more=""):
        return f"[[vhost]]\nname = {name!r}\nroot = {str(sites)!r}\napp = 'probe.py'\n{more}\n"

    return make


@pytest.fixture(scope="module")
def three(place, sites):
    """One daemon with three sites of three users, and one that names no user."""
    vhosts = "".join(
        f"[[vhost]]\nname = 'u{uid}.test'\nroot = {str(sites)!r}\napp = 'probe.py'\nuser = {uid}\n" for uid in USERS
    )
    vhosts += f"[[vhost]]\nname = 'nobody-named.test'\nroot = {str(sites)!r}\napp = 'probe.py'\n"
    with Daemon(place / "three", vhosts) as one:
        yield one
