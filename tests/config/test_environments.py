"""Whoever could change a file of an environment would own every site."""

from __future__ import annotations

import os

import pytest

from itkwsgi.config.environments import fault_in, interpreter, pth_paths


@pytest.fixture
def venv(pretence):
    """A pretended venv with its base interpreter beside it."""
    pretence.write("usr/python3")
    for name in ("pyvenv.cfg", "lib/python3/site-packages/flask/__init__.py", "bin/activate"):
        pretence.write(f"opt/venv/{name}")
    (pretence.directory / "opt/venv/bin/python").symlink_to("../../../usr/python3")
    (pretence.directory / "opt/venv/lib64").symlink_to("lib")
    return pretence


def fault(pretence, user: str = "root") -> str:
    return pretence.shorten(fault_in(str(pretence.directory / "opt/venv"), pretence.machine(user)))


def own(pretence, name: str, uid: int = 0, mode: int = 0o755) -> None:
    pretence.owned[str(pretence.directory / name)] = (uid, mode)


def test_what_is_roots_alone_is_fine(venv) -> None:
    assert fault(venv) == ""
    assert interpreter("/opt/venv") == "/opt/venv/bin/python"


@pytest.mark.parametrize(
    ("name", "uid", "mode", "said"),
    [
        ("opt", 5, 0o755, "opt belongs to uid 5"),
        ("opt", 0, 0o775, "opt is 0775: its group may write it"),
        ("opt/venv", 0, 0o1777, "opt/venv is 1777: everybody may write it"),
        ("opt/venv/bin", 5, 0o755, "opt/venv/bin belongs to uid 5"),
        ("opt/venv/pyvenv.cfg", 0, 0o666, "opt/venv/pyvenv.cfg is 0666: everybody may write it"),
        ("opt/venv/lib/python3/site-packages/flask", 0, 0o1777, "flask is 1777: everybody may write it"),
        ("opt/venv/lib/python3/site-packages/flask/__init__.py", 5, 0o644, "flask/__init__.py belongs to uid 5"),
        ("opt/venv/lib64", 5, 0o777, "opt/venv/lib64 belongs to uid 5"),
        ("usr/python3", 5, 0o755, "opt/venv/bin/python leads to where "),
        ("usr", 0, 0o777, "opt/venv/bin/python leads to where "),
    ],
)
def test_what_somebody_else_could_change(venv, name: str, uid: int, mode: int, said: str) -> None:
    own(venv, name, uid, mode)
    assert said in fault(venv)


def test_a_sticky_parent_is_fine(venv) -> None:
    own(venv, "opt", 0, 0o1777)
    assert fault(venv) == ""


def test_it_must_exist(pretence) -> None:
    assert fault(pretence) == "opt/venv does not exist"
    pretence.write("opt/venv")
    assert fault(pretence) == "opt/venv: Not a directory"


def test_an_ordinary_users_server_trusts_root_and_that_user(venv) -> None:
    own(venv, "opt/venv/bin", 1001)
    assert fault(venv, "jess") == ""
    assert fault(venv, "alice") == "opt/venv/bin belongs to uid 1001"


def test_what_a_link_leads_to_is_looked_at_whole(venv) -> None:
    venv.write("srv/dev/module/__init__.py")
    (venv.directory / "opt/venv/lib/python3/site-packages/module").symlink_to(venv.directory / "srv/dev/module")
    assert fault(venv) == ""
    own(venv, "srv/dev/module/__init__.py", 5, 0o644)
    assert fault(venv) == "srv/dev/module/__init__.py belongs to uid 5"
    own(venv, "srv/dev/module/__init__.py", 0, 0o644)
    own(venv, "srv/dev", 5)
    assert "site-packages/module leads to where " in fault(venv) and "srv/dev belongs to uid 5" in fault(venv)


def test_links_in_circles_end(venv) -> None:
    venv.write("srv/dev/x")
    (venv.directory / "srv/dev/back").symlink_to(venv.directory / "opt")
    (venv.directory / "opt/venv/out").symlink_to(venv.directory / "srv/dev")
    (venv.directory / "opt/venv/self").symlink_to(".")
    (venv.directory / "opt/venv/loop").symlink_to("loop")
    assert fault(venv) == ""


def test_a_link_to_nothing_that_anybody_could_make(venv) -> None:
    (venv.directory / "opt/venv/gone").symlink_to("nothing")
    assert fault(venv) == ""
    venv.write("open/x")
    own(venv, "open", 0, 0o1777)
    (venv.directory / "opt/venv/gap").symlink_to(venv.directory / "open/nothing")
    assert "does not exist, and anybody could make it" in fault(venv)


def test_what_a_pth_file_adds_is_looked_at(venv) -> None:
    venv.write("home/dev/src/module.py")
    venv.write("opt/venv/lib/python3/site-packages/dev.pth", f"# x\nimport os\n\n{venv.directory}/home/dev/src\n")
    assert fault(venv) == ""
    own(venv, "home/dev", 5)
    assert "site-packages/dev.pth: " in fault(venv) and "home/dev belongs to uid 5" in fault(venv)


def test_other_files_may_have_that_ending(venv) -> None:
    venv.write("opt/venv/lib/python3/site-packages/flask/weights.pth").write_bytes(b"\0\xff/home/dev\n")
    assert fault(venv) == ""


def test_lines_of_a_pth_file(tmp_path) -> None:
    path = tmp_path / "x.pth"
    path.write_bytes(b"# c\n\nimport x\nimport\tx\nrel\r\n/abs  \nimportant\nnul\0\n\xff\n")
    assert [os.fsencode(found) for found in pth_paths(str(path))] == [
        os.fsencode(tmp_path / "rel"),
        b"/abs",
        os.fsencode(tmp_path / "important"),
        os.fsencode(tmp_path) + b"/\xff",
    ]
