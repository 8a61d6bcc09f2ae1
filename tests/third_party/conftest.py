"""Other people's applications from PyPI, as they are, as sites of the real daemon: httpbin and Radicale.

They were written with other servers in mind: what they need of one was not chosen by us.  As root each runs as a user
of its own; else as oneself.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from curl import Curl
from daemon import Daemon
from tenants import Tenant, public_place

VENV = Path(__file__).parents[2] / "var/third"

SITES = """
[environment.third]
venv = "{venv}"
preload = ["flask"]

[[vhost]]
name = "httpbin.localhost"
environment = "third"
root = "{place}/httpbin"
app = "httpbin:app"
{httpbin.toml}
[[vhost]]
name = "radicale.localhost"
environment = "third"
root = "{place}/radicale"
app = "radicale:application"
env = {{ RADICALE_CONFIG = "{place}/radicale/config" }}
{radicale.toml}
"""
RADICALE_CONFIG = """
[auth]
type = htpasswd
htpasswd_filename = {place}/radicale/users
htpasswd_encryption = plain
delay = 0.1
[storage]
filesystem_folder = {storage}
"""


@pytest.fixture(scope="session")
def place() -> Iterator[Path]:
    with public_place("third") as path:
        yield path


@pytest.fixture(scope="session")
def tenants() -> dict[str, Tenant]:
    """Whom each site runs as."""
    return {"httpbin": Tenant(50001), "radicale": Tenant(50002)}


@pytest.fixture(scope="session")
def passwords() -> dict[str, str]:
    """Radicale's users."""
    return {"alice": "wonderland", "bob": "builder"}


@pytest.fixture(scope="session")
def storage(place: Path, tenants: dict[str, Tenant], passwords: dict[str, str]) -> Path:
    """Radicale's own folder; its configuration is the administrator's."""
    folder = tenants["radicale"].make_folder(place / "data")
    site = place / "radicale"
    site.mkdir()
    (site / "config").write_text(RADICALE_CONFIG.format(place=place, storage=folder))
    (site / "users").write_text("".join(f"{name}:{password}\n" for name, password in passwords.items()))
    return folder


@pytest.fixture(scope="session")
def server(place: Path, storage: Path, tenants: dict[str, Tenant]) -> Iterator[Daemon]:
    """Both sites.  An application may refuse a request; it has no cause to fail at one."""
    (place / "httpbin").mkdir()
    with Daemon(place / "server", SITES.format(venv=VENV, place=place, **tenants)) as one:
        yield one
        assert "Traceback" not in one.error_log()


@pytest.fixture
def curl(server: Daemon) -> Curl:
    """Asks httpbin."""
    return Curl("httpbin.localhost", server.port)
