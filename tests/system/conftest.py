"""The real daemon, run by an ordinary user."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from daemon import Daemon

SITES = Path(__file__).parent / "sites"


@pytest.fixture(scope="session")
def sites(tmp_path_factory) -> Path:
    """A copy of the test sites where compiled files may be written."""
    place = tmp_path_factory.mktemp("sites")
    for file in SITES.glob("*.py"):
        shutil.copy(file, place)
    return place


@pytest.fixture
def site(sites):
    """TOML for one vhost of the probe site."""

    def make(name="a.test", app="probe.py", **keys):
        lines = [f"[[vhost]]\nname = {name!r}\nroot = {str(sites)!r}\napp = {app!r}"]
        lines += [f"{key} = {toml(value)}" for key, value in keys.items()]
        return "\n".join(lines) + "\n"

    return make


def toml(value):
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(each)}" for key, each in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(toml(each) for each in value) + "]"
    return repr(value)


@pytest.fixture
def daemon(tmp_path):
    """Start daemons; each is stopped, and looked after, at the end."""
    started = []

    def start(vhosts, **more):
        one = Daemon(tmp_path / f"daemon{len(started)}", vhosts, **more)
        started.append(one)
        return one.start()

    yield start
    for one in started:
        one.stop()


@pytest.fixture(scope="module")
def probe(tmp_path_factory, sites):
    """One daemon with the probe site, for a whole module: a.test one-shot, many.test reusing its children."""
    vhosts = "".join(
        f"[[vhost]]\nname = {name!r}\nroot = {str(sites)!r}\napp = 'probe.py'\nrequests_per_child = {each}\n"
        for name, each in (("a.test", 1), ("many.test", 0))
    )
    with Daemon(tmp_path_factory.mktemp("probe"), vhosts) as one:
        yield one
