"""site-packages on sys.path, without asking who this is."""

import os
import pwd
import site
import sys

import pytest

from itkwsgi.runtime.packages import add_site_packages
from tests.support.forked import in_child


def test_site_packages_are_found_and_no_home_is_left_behind():
    def add():
        packages = [path for path in sys.path if path.endswith("site-packages")]
        sys.path = [path for path in sys.path if path not in packages]
        os.environ.pop("HOME", None)
        add_site_packages()
        return packages, sys.path, "HOME" in os.environ

    packages, path, home = in_child(add)
    assert packages
    assert set(packages) <= set(path)
    assert not home


def test_nobody_is_looked_up():
    def add():
        asked = []
        pwd.getpwuid = asked.append
        os.environ.pop("HOME", None)
        add_site_packages()
        return asked

    assert in_child(add) == []


def test_a_home_is_not_left_behind_after_a_failure(monkeypatch):
    def fail():
        raise RuntimeError("a .pth file")

    monkeypatch.setattr(site, "main", fail)
    monkeypatch.setenv("HOME", "/somewhere")  # so that it is put back
    with pytest.raises(RuntimeError):
        add_site_packages()
    assert "HOME" not in os.environ
