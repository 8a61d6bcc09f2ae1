"""Finding the WSGI callable."""

import sys

import pytest

from itkwsgi.runtime.loader import NoApplication, load

SOURCE = "def application(environ, start_response): return [b'application']\n"


@pytest.fixture(autouse=True)
def _forget_modules():
    before = set(sys.modules), list(sys.path)
    yield
    for name in set(sys.modules) - before[0]:
        del sys.modules[name]
    sys.path[:] = before[1]


@pytest.mark.parametrize("name", ["site_one.py", "site_one.wsgi"])
def test_a_file_whatever_its_ending(tmp_path, name):
    (tmp_path / name).write_text(SOURCE)
    assert load(f"{tmp_path}/{name}")({}, None) == [b"application"]


def test_a_file_and_its_callable(tmp_path):
    (tmp_path / "site_two.py").write_text(SOURCE)
    assert load(f"{tmp_path}/site_two.py:application")({}, None) == [b"application"]


def test_a_module_and_its_callable(tmp_path):
    (tmp_path / "site_three.py").write_text("class Factory:\n    main = staticmethod(lambda e, s: [b'main'])\n")
    sys.path.insert(0, str(tmp_path))
    assert load("site_three:Factory.main")({}, None) == [b"main"]


def test_app_when_there_is_no_application(tmp_path):
    (tmp_path / "site_four.py").write_text("def app(environ, start_response): return [b'app']\n")
    assert load(f"{tmp_path}/site_four.py")({}, None) == [b"app"]


@pytest.mark.parametrize("app", ["site_five.py", "site_five.py:other", "site_five.py:number"])
def test_no_callable_says_what_was_looked_for(tmp_path, app):
    (tmp_path / "site_five.py").write_text("number = 5\n")
    with pytest.raises(NoApplication, match="has no callable"):
        load(f"{tmp_path}/{app}")


def test_a_failed_import_leaves_no_half_module(tmp_path):
    (tmp_path / "site_six.py").write_text("import sys\nraise RuntimeError('no')\n")
    with pytest.raises(RuntimeError):
        load(f"{tmp_path}/site_six.py")
    assert "site_six" not in sys.modules


def test_a_dataclass_in_a_file_finds_its_module(tmp_path):
    (tmp_path / "site_seven.py").write_text(
        "from __future__ import annotations\nimport dataclasses\n"
        "@dataclasses.dataclass\nclass A:\n    x: int = 1\n" + SOURCE
    )
    assert load(f"{tmp_path}/site_seven.py")({}, None) == [b"application"]


def test_a_module_may_be_called_wsgi(tmp_path):
    (tmp_path / "site_eight").mkdir()
    (tmp_path / "site_eight" / "wsgi.py").write_text(SOURCE)
    sys.path.insert(0, str(tmp_path))
    assert load("site_eight.wsgi:application")({}, None) == [b"application"]
