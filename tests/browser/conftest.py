"""A real browser before the real daemon: headless Chromium, driven over WebDriver, and the sites of itk.toml.

The sites are served as itk.toml says, from the checkout, but on a free port and with data folders of the tests' own.
As root each runs as its user; an ordinary user runs them as oneself.  One server and one browser serve all tests; a
test begins without cookies.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemon import Daemon, descendants, wait_gone
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from tenants import IS_ROOT, Tenant, public_place
from visitor import Visitor

TOP = Path(__file__).parents[2]
USERS = {
    vhost["name"].partition(".")[0]: vhost["user"] for vhost in tomllib.loads((TOP / "itk.toml").read_text())["vhost"]
}

# Sites that fail, each in a way of its own.
BROKEN_AT_IMPORT = "raise RuntimeError('only the log may say this')\n"
BROKEN_AT_WORK = "import os\n\n\ndef application(environ, start_response):\n    os._exit(1)\n"

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-breakpad",
)


@pytest.fixture(scope="session")
def place() -> Iterator[Path]:
    with public_place("browser") as path:
        yield path


@pytest.fixture(scope="session")
def tenants() -> dict[str, Tenant]:
    """The users of the sites, by the first part of the site's name."""
    return {name: Tenant(uid) for name, uid in USERS.items()}


@pytest.fixture(scope="session")
def data(place: Path, tenants: dict[str, Tenant]) -> Path:
    """Data folders as script/setup makes them, and Django's database in one."""
    folders = {name: tenants[name].make_folder(place / "data" / name) for name in ("flask", "django")}
    env = {"PATH": os.defpath, "LANG": "C.UTF-8", "DATA_DIR": str(folders["django"])}
    tenants["django"].run([TOP / "var/sites/bin/python", "prepare.py"], env, TOP / "apps/django")
    return place / "data"


def sample_sites(data: Path) -> str:
    """The environment and the sites of itk.toml, as TOML that can stand in another folder."""
    text = "[environment" + (TOP / "itk.toml").read_text().partition("\n[environment")[2]
    for old, new in (
        ('"../../var/data/', f'"{data}/'),
        ('"var/sites"', f'"{TOP}/var/sites"'),
        ('"apps/', f'"{TOP}/apps/'),
    ):
        assert old in text
        text = text.replace(old, new)
    return text if IS_ROOT else re.sub(r"(?m)^(user|group) *=.*\n", "", text)


def failing_sites(place: Path) -> str:
    """import.localhost and work.localhost: 500, from within a site and in its place."""
    sites = ""
    for name, code in (("import", BROKEN_AT_IMPORT), ("work", BROKEN_AT_WORK)):
        (place / f"{name}.py").write_text(code)
        sites += f'\n[[vhost]]\nname = "{name}.localhost"\nroot = "{place}"\napp = "{name}.py"\n{Tenant(50001).toml}'
    return sites


@pytest.fixture(scope="session")
def server(place: Path, data: Path) -> Iterator[Daemon]:
    with Daemon(place / "server", sample_sites(data) + failing_sites(place)) as one:
        yield one


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """One browser with an empty profile.  Nothing of it may be alive afterwards."""
    home = tmp_path_factory.mktemp("chromium")
    options = Options()
    options.binary_location = "/usr/bin/chromium"
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in (*FLAGS, f"--user-data-dir={home}/profile"):
        options.add_argument(flag)
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8"}
    driver = webdriver.Chrome(options, Service("/usr/bin/chromedriver", env=env))
    driver.set_page_load_timeout(20)
    try:
        yield driver
    finally:
        chromedriver = driver.service.process.pid
        family = [chromedriver, *descendants(chromedriver)]
        driver.quit()
        assert wait_gone(family) == []


@pytest.fixture
def visitor(chromium: webdriver.Chrome, server: Daemon) -> Iterator[Visitor]:
    """A visitor whom no site knows yet.  What a page complains of on the browser's console fails the test."""
    one = Visitor(chromium, server.port)
    one.forget_everything()
    yield one
    assert one.complaints() == []
