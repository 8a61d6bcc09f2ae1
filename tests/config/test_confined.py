"""open_basedir and disable: what is refused, what cannot be had, and which interpreter may run behind them."""

from __future__ import annotations

import dataclasses
import os

import pytest
from pretence import LISTEN, site

from itkwsgi.config.model import Said

JAIL = '{ open_basedir = "site" }'


def problems(pretence, vhost) -> list[str]:
    """Without file and line."""
    return [pretence.shorten(str(problem).partition(": ")[2]) for problem in vhost.problems]


def notes(pretence, **keys: str) -> list[str]:
    return [pretence.shorten(str(note)) for note in pretence.load(LISTEN + site(**keys)).notes]


# --- what it becomes


def test_settings_are_said_with_their_place(pretence, one_site) -> None:
    vhost = one_site(
        value='{ umask = "0027", max_open_files = 64 }', admin_value='{ disable = ["exec"], umask = "0077" }'
    )
    assert {name: Said(said.value, said.fixed, "") for name, said in vhost.settings.items()} == {
        "umask": Said(0o077, True, ""),
        "max_open_files": Said(64, False, ""),
        "disable": Said(("exec",), True, ""),
    }
    assert pretence.shorten(vhost.settings["umask"].where) == "itk.toml:9"
    assert (vhost.setting("umask"), vhost.setting("disable"), vhost.setting("open_basedir")) == (0o077, ("exec",), ())
    assert (vhost.setting("max_processes"), vhost.setting("max_open_files")) == (None, 64)
    assert vhost.problems == () and vhost.binary is None


def test_what_is_said_twice(pretence) -> None:
    assert notes(pretence, value="{ umask = 0 }", admin_value='{ umask = "0077" }') == [
        "itk.toml:8: vhost.value.umask: has no effect: [vhost.admin_value] fixes it at itk.toml:9"
    ]


def test_none_clears(one_site) -> None:
    vhost = one_site(value='{ open_basedir = "none", max_open_files = "None", disable = "none" }', no_new_privs="false")
    assert [said.value for said in vhost.settings.values()] == [(), None, ()]
    assert vhost.problems == ()


# --- what is refused


def test_setuid_programs_would_be_a_way_out(refused_site) -> None:
    assert refused_site(no_new_privs="false", value=JAIL, admin_value='{ disable = "exec" }') == [
        "vhost.no_new_privs: false does not go together with open_basedir at itk.toml:9 and disable at itk.toml:10"
    ]


def test_limits_alone_take_no_such_thing(one_site) -> None:
    assert one_site(no_new_privs="false", admin_value="{ max_processes = 20, disable = [] }").problems == ()


# --- what this kernel lacks


@pytest.mark.parametrize(
    ("lacks", "said", "message"),
    [
        (
            {"landlock": 0},
            JAIL,
            "open_basedir: cannot be had: this kernel has no Landlock"
            " (Linux 6.2 and later, with landlock among its lsm=)",
        ),
        (
            {"landlock": 2},
            JAIL,
            "open_basedir: cannot be had: this kernel has Landlock 2, and it takes 3 (Linux 6.2)",
        ),
        (
            {"seccomp": False},
            '{ disable = ["network"] }',
            "disable: cannot be had: this kernel has no seccomp filters for this processor",
        ),
        (
            {"landlock": 0},
            '{ disable = ["ptrace"] }',
            "disable: cannot be had: this kernel has no Landlock (Linux 5.19 and later, with landlock among its lsm=)",
        ),
    ],
)
def test_what_this_kernel_lacks_is_the_sites_problem(pretence, one_site, lacks, said: str, message: str) -> None:
    pretence.abilities = dataclasses.replace(pretence.abilities, **lacks)
    assert problems(pretence, one_site(value=said)) == [f"vhost.value.{message}"]


@pytest.mark.parametrize(
    ("lacks", "said"),
    [
        ({"landlock": 3}, JAIL),
        ({"landlock": 2}, '{ disable = ["ptrace"] }'),
        ({"landlock": 0}, '{ disable = ["exec", "network", "fork"] }'),
        ({"landlock": 0, "seccomp": False}, "{ max_processes = 9 }"),
        ({"landlock": 0, "seccomp": False}, '{ open_basedir = "none", disable = "none" }'),
    ],
)
def test_what_is_not_asked_for_is_not_missed(pretence, one_site, lacks, said: str) -> None:
    pretence.abilities = dataclasses.replace(pretence.abilities, **lacks)
    assert one_site(value=said).problems == ()


def test_limits_beyond_the_servers_own(pretence) -> None:
    pretence.hard_limits = {"max_open_files": 4096}
    assert notes(pretence, value="{ max_open_files = 5000, max_processes = 90000 }") == [
        "itk.toml:8: vhost.value.max_open_files: 5000 is beyond the 4096 files of the server itself: 4096 is used"
    ]
    assert notes(pretence, value="{ max_open_files = 4096 }") == []


def test_without_fork_the_children_import(pretence) -> None:
    assert notes(pretence, value='{ disable = "fork" }') == [
        'itk.toml:8: vhost.value.disable: without fork each child imports the app itself, as with preload = "framework"'
    ]
    assert notes(pretence, value='{ disable = "fork" }', preload='"none"') == []


# --- open_basedir on the disk


def test_entries_must_be_there_for_the_sites_user(pretence, one_site) -> None:
    pretence.write("closed/x")
    pretence.write("file.txt")
    pretence.owned[str(pretence.directory / "closed")] = (0, 0o700)
    assert problems(pretence, one_site(value='{ open_basedir = ["site", "nowhere", "closed", "file.txt"] }')) == [
        "vhost.value.open_basedir: nowhere does not exist",
        "vhost.value.open_basedir: closed is 0700: user 50001 cannot enter",
    ]


@pytest.mark.parametrize("basedir", ["site", ".", "site/../site", "/"])
def test_a_site_inside(one_site, basedir: str) -> None:
    assert one_site(value=f'{{ open_basedir = "{basedir}" }}').problems == ()


@pytest.mark.parametrize("basedir", ["other", "site/static", "sit"])
def test_a_site_outside(pretence, one_site, basedir: str) -> None:
    """A directory's name is no prefix: PHP once took /srv/a for /srv/ab too."""
    for name in ("other", "site/static", "sit"):
        (pretence.directory / name).mkdir(parents=True)
    assert problems(pretence, one_site(value=f'{{ open_basedir = "{basedir}" }}')) == [
        "vhost.root: site is outside open_basedir at itk.toml:8: the site could not start"
    ]


def test_an_app_outside_alone(pretence, one_site) -> None:
    pretence.write("apps/a.py")
    assert problems(pretence, one_site(app='"../apps/a.py"', value=JAIL)) == [
        "vhost.app: apps/a.py is outside open_basedir at itk.toml:8: the site could not start"
    ]


def test_links_count_by_where_they_lead(pretence, one_site) -> None:
    pretence.write("real/app.py")
    os.symlink("real", pretence.directory / "link")
    assert one_site(root='"link"', value='{ open_basedir = "real" }').problems == ()
    assert one_site(root='"real"', value='{ open_basedir = "link" }').problems == ()
    os.symlink("../real", pretence.directory / "site/inside")
    assert problems(pretence, one_site(root='"site/inside"', value=JAIL)) == [
        "vhost.root: site/inside is outside open_basedir at itk.toml:8: the site could not start"
    ]


def test_what_a_site_gets_by_itself_is_not_outside(pretence, one_site) -> None:
    pretence.write("venv/bin/python").chmod(0o755)
    pretence.write("venv/lib/app/app.py")
    assert one_site(root='"venv/lib/app"', venv='"venv"', value=JAIL).problems == ()


def test_a_temporary_directory_must_be_writable(pretence, one_site) -> None:
    pretence.write("mine/x"), pretence.write("shut/x")
    pretence.owned[str(pretence.directory / "mine")] = (50001, 0o700)
    assert one_site(value='{ tmp_dir = "mine" }').problems == ()
    assert problems(pretence, one_site(value='{ tmp_dir = "shut" }')) == [
        "vhost.value.tmp_dir: shut is 0755: user 50001 cannot write"
    ]
    assert problems(pretence, one_site(admin_value='{ tmp_dir = "no" }')) == [
        "vhost.admin_value.tmp_dir: no does not exist"
    ]
    assert problems(pretence, one_site(value='{ tmp_dir = "site/app.py" }')) == [
        "vhost.value.tmp_dir: site/app.py is not a directory"
    ]


# --- the interpreter behind walls


@pytest.fixture
def venv(pretence):
    """A venv whose interpreter is a link to a binary of root's."""
    pretence.write("usr/bin/python3.12").chmod(0o755)
    pretence.write("venv/pyvenv.cfg")
    pretence.write("venv/bin/x")
    os.symlink("../../usr/bin/python3.12", pretence.directory / "venv/bin/python")
    return pretence


def owned(pretence, name: str) -> None:
    """Give it to the site."""
    pretence.owned[str(pretence.directory / name)] = (50001, 0o755)


def test_a_venv_of_roots_is_executed_as_it_is(venv, one_site) -> None:
    assert one_site(venv='"venv"', value=JAIL).binary is None


@pytest.mark.parametrize("name", ["venv", "venv/bin", "venv/bin/python", "venv/pyvenv.cfg"])
def test_of_a_venv_that_the_site_can_change_the_binary_is_executed(venv, one_site, name: str) -> None:
    owned(venv, name)
    vhost = one_site(venv='"venv"', value=JAIL)
    assert vhost.problems == () and vhost.binary == str(venv.directory / "usr/bin/python3.12")
    assert one_site(venv='"venv"', admin_value='{ disable = ["ptrace"] }').binary == vhost.binary
    assert one_site(python='"venv/bin/python"', value=JAIL).binary == vhost.binary


def test_without_walls_nothing_is_asked_of_the_interpreter(venv, one_site) -> None:
    for name in ("venv", "usr/bin/python3.12"):
        owned(venv, name)
    vhost = one_site(venv='"venv"', admin_value="{ max_processes = 20 }")
    assert vhost.problems == () and vhost.binary is None


@pytest.mark.parametrize("name", ["usr", "usr/bin", "usr/bin/python3.12"])
@pytest.mark.parametrize("said", [JAIL, '{ disable = "exec" }'])
def test_a_binary_that_the_site_can_change_is_no_interpreter(venv, one_site, name: str, said: str) -> None:
    owned(venv, name)
    vhost = one_site(venv='"venv"', value=said)
    wall = "open_basedir" if said == JAIL else "disable"
    assert problems(venv, vhost) == [
        f"vhost.venv: {name} belongs to uid 50001: with {wall} nobody but root may change what is executed"
    ]
    assert vhost.binary is None


def test_nor_is_one_beside_a_configuration_that_the_site_can_change(venv, one_site) -> None:
    """pyvenv.cfg names the library, which is read before any wall is up."""
    venv.write("usr/pyvenv.cfg")
    owned(venv, "usr/pyvenv.cfg")
    assert problems(venv, one_site(venv='"venv"', value=JAIL)) == [
        "vhost.venv: usr/pyvenv.cfg belongs to uid 50001: with open_basedir nobody but root may change what is executed"
    ]


def test_an_interpreter_that_is_not_there_is_said_once(pretence, one_site) -> None:
    vhost = one_site(venv='"none"', value=JAIL)
    assert problems(pretence, vhost) == ["vhost.venv: none does not exist"] and vhost.binary is None
