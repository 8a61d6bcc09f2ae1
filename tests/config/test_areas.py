"""[[vhost.directory]] and [[vhost.location]]: what is read, what is refused, what is noted."""

from __future__ import annotations

import dataclasses
import os

import pytest
from pretence import LISTEN, Pretence, site

from itkwsgi.config.model import Said
from itkwsgi.config.values import OVERRIDABLE

GOOD = LISTEN + site()  # 7 lines


def notes(pretence: Pretence, text: str) -> list[str]:
    return [pretence.shorten(str(note)) for note in pretence.load(GOOD + text).notes]


# --- what it becomes


def test_areas_are_sorted_and_have_their_places(pretence: Pretence) -> None:
    (vhost,) = pretence.load(
        GOOD
        + '[[vhost.directory]]\npath = "site/b"\nvalue = { umask = "0027", max_file_size = "1M" }\n'
        + 'admin_value = { umask = "0077" }\n'
        + '[[vhost.directory]]\npath = "site"\nengine = false\n'
        + '[[vhost.location]]\npath = "/shop//a/"\nvalue = { tmp_dir = "t" }\n[[vhost.location]]\npath = "/"\n'
    ).vhosts
    place = str(pretence.directory)
    assert [(area.path, pretence.shorten(area.where)) for area in vhost.directories] == [
        (f"{place}/site", "itk.toml:12"),
        (f"{place}/site/b", "itk.toml:8"),
    ]
    assert vhost.directories[0].settings == {"engine": Said(False, True, f"{place}/itk.toml:14")}
    assert vhost.directories[1].settings == {
        "umask": Said(0o077, True, f"{place}/itk.toml:11"),
        "max_file_size": Said(2**20, False, f"{place}/itk.toml:10"),
    }
    assert [(area.path, pretence.shorten(area.where)) for area in vhost.locations] == [
        ("", "itk.toml:18"),
        ("/shop/a", "itk.toml:15"),
    ]
    assert vhost.locations[1].settings["tmp_dir"].value == f"{place}/t"


@pytest.mark.parametrize(
    ("said", "granted"),
    [
        (None, OVERRIDABLE),
        ('["values"]', OVERRIDABLE),
        ("[]", ()),
        ('["umask", "timezone", "umask"]', ("timezone", "umask")),
        ('["umask", "values"]', OVERRIDABLE),
    ],
)
def test_what_a_sites_own_files_may_set(pretence: Pretence, said: str | None, granted: tuple[str, ...]) -> None:
    (vhost,) = pretence.load(GOOD + (f"allow_override = {said}\n" if said else "")).vhosts
    assert vhost.allow_override == granted
    assert "memory_limit" in OVERRIDABLE and "disable" not in OVERRIDABLE and "expose_server" not in OVERRIDABLE


# --- what is refused


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ('"values"', '"values" is not a list (write ["values"], [] or names of settings)'),
        ('["value"]', '"value" is no setting (did you mean values?)'),
        ('["timezon"]', '"timezon" is no setting (did you mean timezone?)'),
        ("[1]", "1 is not the name of a setting"),
        ('["disable"]', "disable cannot be granted: only the administrator may set it"),
        ('["options"]', "options: this version of itkwsgi does not have it yet"),
    ],
)
def test_what_cannot_be_granted(pretence: Pretence, said: str, line: str) -> None:
    assert pretence.refusal(f"{GOOD}allow_override = {said}\n") == [f"itk.toml:8: vhost.allow_override: {line}"]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("location = 1\n", ["8: vhost.location: 1 stands where a list of tables must (write [[vhost.location]])"]),
        (
            "[vhost.directory]\npath = 'x'\n",
            ["8: vhost.directory: a table stands where a list of tables must (write [[vhost.directory]])"],
        ),
        ("location = [1]\n", ["8: vhost.location: 1 stands where a table must (write [[vhost.location]])"]),
        ("[[vhost.directory]]\n", ["8: vhost.directory.path: is needed: the path of a directory"]),
        (
            "[[vhost.location]]\npath = 'a'\n",
            ['9: vhost.location.path: "a" is not the path of a URL (write "/" or "/path")'],
        ),
        (
            "[[vhost.location]]\npath = '/a?b'\n",
            ['9: vhost.location.path: "/a?b" is not the path of a URL (write "/" or "/path")'],
        ),
        (
            "[[vhost.location]]\npath = '/a%20b'\n",
            [
                '9: vhost.location.path: "/a%20b" is compared with decoded paths'
                " (write the characters themselves, without %)"
            ],
        ),
        (
            "[[vhost.location]]\npath = '/a/../b'\n",
            ['9: vhost.location.path: "/a/../b" is no path of a request: there is no . and no .. in them'],
        ),
        (
            "[[vhost.location]]\npath = '/'\n[[vhost.location]]\npath = '/x'\noptions = []\nap = 'x'\napp = 'y'\n"
            "value = { umask = 'x', umsk = 1 }\nmemory_limit = 1\n",
            [
                "12: vhost.location.options: unknown key: this version of itkwsgi does not have it yet",
                "13: vhost.location.ap: unknown key",
                "14: vhost.location.app: unknown key: this version of itkwsgi does not have it yet",
                '15: vhost.location.value.umask: "x" is not a umask (write "0027" or 0o027)',
                "15: vhost.location.value.umsk: unknown setting (did you mean umask?)",
                "16: vhost.location.memory_limit: unknown key (it belongs in value or admin_value)",
            ],
        ),
        (
            "[[vhost.directory]]\npath = 'site'\nname = 'x'\nhandlers = {}\n",
            [
                "10: vhost.directory.name: unknown key (it belongs in [[vhost]])",
                "11: vhost.directory.handlers: unknown key: this version of itkwsgi does not have it yet",
            ],
        ),
        (
            "[[vhost.directory]]\npath = 'site'\n[[vhost.directory]]\npath = 'site/../site/'\n",
            ["11: vhost.directory.path: is that of the table at itk.toml:8 too"],
        ),
        (
            "[[vhost.location]]\npath = '/a'\n[[vhost.location]]\npath = '//a/'\n",
            ["11: vhost.location.path: is that of the table at itk.toml:8 too"],
        ),
        (
            "[[vhost.location]]\npath = '/a'\nengine = false\nadmin_value = { engine = true }\n",
            ["10: vhost.location.engine: stands in admin_value too: say it once"],
        ),
    ],
)
def test_what_is_refused(pretence: Pretence, text: str, lines: list[str]) -> None:
    assert pretence.refusal(GOOD + text) == [f"itk.toml:{line}" for line in lines]


# --- what is noted

PUBLIC = 'public = "site"\n'
SERVES_NOTHING = "itk.toml:8: vhost.public: none of its files is served by this version: every request goes to the app"


def test_public_serves_nothing_yet(pretence: Pretence) -> None:
    assert notes(pretence, PUBLIC) == [SERVES_NOTHING]
    assert notes(pretence, 'public = "none"\n') == ["itk.toml:8: vhost.public: none does not exist", SERVES_NOTHING]


def test_a_directory_that_is_not_there(pretence: Pretence) -> None:
    text = PUBLIC + '[[vhost.directory]]\npath = "site/none"\n'
    assert notes(pretence, text) == [SERVES_NOTHING, "itk.toml:10: vhost.directory.path: site/none does not exist"]
    assert len(pretence.load(GOOD + text, look=False).notes) == 1


def test_a_directory_that_no_request_is_in(pretence: Pretence) -> None:
    (pretence.directory / "other").mkdir()
    text = '[[vhost.directory]]\npath = "other"\n'
    assert notes(pretence, text) == [
        "itk.toml:9: vhost.directory.path: has no effect: without public every request is in the app's directory,"
        " that of site/app.py"
    ]
    assert notes(pretence, PUBLIC + text)[1:] == [
        "itk.toml:10: vhost.directory.path: has no effect: every URL means a file in public, site"
    ]
    assert notes(pretence, '[[vhost.directory]]\npath = "site"\n') == []


@pytest.mark.parametrize(("package", "covered"), [(False, False), (True, True)])
def test_a_modules_file_is_where_it_would_be(pretence: Pretence, package: bool, covered: bool) -> None:
    pretence.write("site/shop/main/x" if package else "site/shop/x")
    text = LISTEN + site(app='"shop.main:app"') + '[[vhost.directory]]\npath = "site/shop/main"\n'
    config = pretence.load(text)
    assert any("no effect" in note.message for note in config.notes) != covered
    ending = "main/__init__.py" if package else "main.py"
    assert config.vhosts[0].file == f"{pretence.directory}/site/shop/{ending}"


def test_values_that_are_fixed_above(pretence: Pretence) -> None:
    text = (
        '[vhost.admin_value]\numask = "0077"\n'  # 9
        '[[vhost.directory]]\npath = "site"\nadmin_value = { recursion_limit = 500 }\n'  # 12
        "value = { umask = 0, recursion_limit = 600, timezone = 'UTC' }\n"  # 13
        '[[vhost.location]]\npath = "/a"\nvalue = { umask = 0, recursion_limit = 600, timezone = "UTC" }\n'  # 16
        "admin_value = { display_errors = true }\n"  # 17
        '[[vhost.location]]\npath = "/a/b"\nvalue = { display_errors = false }\n'  # 20
        '[[vhost.location]]\npath = "/ab"\nvalue = { display_errors = false }\nadmin_value = { umask = 0 }\n'
    )
    fixed = "has no effect: an admin_value fixes it at itk.toml"
    assert notes(pretence, text) == [
        f"itk.toml:13: vhost.directory.value.recursion_limit: {fixed}:12",
        f"itk.toml:13: vhost.directory.value.umask: {fixed}:9",
        f"itk.toml:16: vhost.location.value.recursion_limit: {fixed}:12",
        f"itk.toml:16: vhost.location.value.umask: {fixed}:9",
        f"itk.toml:20: vhost.location.value.display_errors: {fixed}:17",
    ]


def test_limits_of_areas_beyond_the_servers_own(pretence: Pretence) -> None:
    pretence.hard_limits = {"memory_limit": 2**27}
    assert notes(pretence, '[[vhost.location]]\npath = "/a"\nvalue = { memory_limit = "1G" }\n') == [
        "itk.toml:10: vhost.location.value.memory_limit:"
        " 1073741824 is beyond the 134217728 bytes of the server itself: 134217728 is used"
    ]


# --- walls of areas

WALL = '[[vhost.location]]\npath = "/a"\nadmin_value = { open_basedir = ["site", "none"] }\n'


def problems(pretence: Pretence, text: str) -> list[str]:
    return [pretence.shorten(str(problem)) for problem in pretence.load(text).problems]


def test_entries_of_areas_must_be_there(pretence: Pretence) -> None:
    assert problems(pretence, GOOD + WALL) == [
        "itk.toml:10: vhost.location.admin_value.open_basedir: none does not exist"
    ]
    assert problems(pretence, GOOD + WALL.replace(', "none"', "")) == []


def test_what_this_kernel_lacks(pretence: Pretence) -> None:
    pretence.abilities = dataclasses.replace(pretence.abilities, landlock=2)
    (line,) = problems(pretence, GOOD + WALL.replace(', "none"', ""))
    assert line.startswith(
        "itk.toml:10: vhost.location.admin_value.open_basedir: cannot be had: this kernel has Landlock 2"
    )


def test_walls_of_areas_take_no_new_privs(pretence: Pretence) -> None:
    assert pretence.refusal(LISTEN + site(no_new_privs="false") + WALL.replace(', "none"', "")) == [
        "itk.toml:8: vhost.no_new_privs: false does not go together with open_basedir at itk.toml:11"
    ]


def test_walls_of_areas_bind_the_interpreter(pretence: Pretence) -> None:
    """Else a binary of the site's own would be asked to put them up."""
    pretence.write("usr/python3").chmod(0o755)
    pretence.write("venv/bin/x")
    os.symlink("../../usr/python3", pretence.directory / "venv/bin/python")
    text = LISTEN + site(venv='"venv"') + WALL.replace(', "none"', "")
    assert pretence.load(text).vhosts[0].binary is None
    pretence.owned[str(pretence.directory / "venv")] = (50001, 0o755)
    assert pretence.load(text).vhosts[0].binary == str(pretence.directory / "usr/python3")
    pretence.owned[str(pretence.directory / "usr/python3")] = (50001, 0o755)
    assert problems(pretence, text) == [
        "itk.toml:8: vhost.venv: usr/python3 belongs to uid 50001: with open_basedir nobody but root may change what is"
        " executed"
    ]
