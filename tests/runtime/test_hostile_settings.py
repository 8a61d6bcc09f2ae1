"""What a site's own child, its environment and a visitor can do with settings where they run."""

from __future__ import annotations

import marshal
import resource
import sys
from pathlib import Path
from typing import Any

import pytest

from itkwsgi.ini import toml_reader
from itkwsgi.runtime.governing import Governing
from itkwsgi.runtime.info import shown
from itkwsgi.runtime.limits import ProcessorTime
from itkwsgi.runtime.scopes import Scopes
from tests.support.forked import in_child


def told(root: Path, **more: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {"site": {}, "holding": {}, "directories": [], "locations": [], "override": ["umask"]}
    return {**plain, "public": "", "root": str(root), "filters": {}, "domain": None, "untraced": None, **more}


# --- what a child reports


@pytest.mark.parametrize(
    "report",
    [
        5,
        (),
        ("key", []),
        (([], (), ()), []),
        (((7,), (), ()), []),
        (((), (), (7,)), []),
        (((), (("/srv/a", (1, 1, 1, 1)),), ()), [("/srv/a", (1, 1, 1, 1), 5)]),
    ],
)
def test_no_report_ends_the_pool(tmp_path: Path, report: Any) -> None:
    """A child below a location's walls may not signal its pool; it must not end it otherwise."""
    scopes = Scopes(told(tmp_path), f"{tmp_path}/app.py")
    assert scopes.learn(marshal.dumps(report)) is None


def test_no_report_brings_a_value_that_the_setting_does_not_have(tmp_path: Path) -> None:
    scopes = Scopes(told(tmp_path), f"{tmp_path}/app.py")
    (tmp_path / ".itk.toml").write_text("[value]\numask = '0027'\n")
    key = scopes.key_of("/")
    ((directory, stamp),) = key[1]
    file: Any = (f"{directory}/.itk.toml", [("umask", "not a number", "forged")], [])
    scopes.learn(marshal.dumps((key, [(directory, stamp, file)], "/")))
    assert scopes.of_request("/").value("umask") == 0o027


# --- no code of the site in a pool that must fork


def test_a_reader_of_toml_from_the_sites_packages_is_not_loaded_into_a_pool_without_fork(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python before 3.11, with a venv of the site's own: there the first reader that is found is the site's file."""
    (tmp_path / ".itk.toml").write_text("[value]\numask = '0027'\n")
    packages = tmp_path / "site-packages"
    packages.mkdir()
    (packages / "reader_of_the_site.py").write_text("loads = lambda text: {}\n")
    monkeypatch.setattr(toml_reader, "READERS", ("reader_of_the_site",))
    monkeypatch.setattr(toml_reader, "site_packages", lambda: str(packages))
    plan = {"settings": told(tmp_path), "app": "app", "root": str(tmp_path), "tmp_dir": None, "env": {}}
    walls = {"landlock": None, "seccomp": None, "child_landlock": None, "child_seccomp": b"filter"}
    Governing({**plan, "requests_per_child": 1, "confine": walls})
    assert sys.modules.pop("reader_of_the_site", None) is None


# --- processor time, one request after the other in one process


def hard_after(*steps: tuple[float, bool]) -> tuple[int, bool]:
    """The hard limit, and whether the process would be ended before the next request."""
    time = ProcessorTime(lasting=True)
    for seconds, fixed in steps:
        time.start(seconds, fixed)
        time.stop()
    return resource.getrlimit(resource.RLIMIT_CPU)[1], time.worn()


def test_a_stricter_limit_that_is_fixed_is_the_hard_one_whatever_was_before() -> None:
    hard, _ = in_child(hard_after, (1000.0, True), (1.0, True))
    assert 0 < hard <= 20


def test_a_process_under_a_strict_hard_limit_serves_none_that_may_take_longer() -> None:
    hard, worn = in_child(hard_after, (1.0, True), (1000.0, False))
    assert worn or not 0 < hard < 1000


# --- secrets on the page


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CONNECTION", "Server=db;Uid=sa;Pwd=hunter2;"),  # ODBC
        ("CONNINFO", "host=db password='hunter2' user=a"),  # libpq, where a value may be in quotes
        ("CONNINFO", "host=db password = hunter2"),  # and have spaces before it
        ("VCAP_SERVICES", '{"db": {"password": "hunter2"}}'),
    ],
)
def test_a_secret_is_hidden_in_whatever_form_it_stands_in_a_value(name: str, value: str) -> None:
    assert "hunter2" not in shown(name, value)
