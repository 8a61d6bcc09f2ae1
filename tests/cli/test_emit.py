"""The writer of TOML: what it writes is read back the same, or it writes nothing."""

from __future__ import annotations

import dataclasses
import os
import tomllib
from pathlib import Path
from typing import Any

import pytest
import toml
from hypothesis import given
from hypothesis import strategies as st
from pretence import LISTEN, Pretence, site

from itkwsgi.cli import emit
from itkwsgi.config import private_tmp
from itkwsgi.config.load import load_on
from itkwsgi.config.model import Config, Said
from itkwsgi.errors import Bug


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("plain é", '"plain é"'),
        ('a"b\\c', '"a\\"b\\\\c"'),
        ("\n\t\r\b\f", '"\\n\\t\\r\\b\\f"'),
        ("\x00\x1f\x7f\x80\xad", '"\\u0000\\u001f\\u007f\\u0080\\u00ad"'),
        ("\U000e0001", '"\\U000e0001"'),
        ("^/\\x", '"^/\\\\x"'),
        ("\\x2f", '"\\\\x2f"'),
    ],
)
def test_strings(text: str, written: str) -> None:
    """The last two are what toml 0.10.2 itself gets wrong."""
    assert emit.basic_string(text) == written


@given(st.text(st.characters(codec="utf-8")))
def test_any_string_comes_back(text: str) -> None:
    assert tomllib.loads(f"key = {emit.basic_string(text)}") == {"key": text}


bare = st.from_regex(r"[A-Za-z0-9_-]{1,6}", fullmatch=True)
scalars = st.text(st.characters(codec="utf-8"), max_size=12) | st.integers(-(2**63), 2**63 - 1) | st.booleans()
tables = st.dictionaries(bare, scalars | st.lists(scalars, max_size=3), min_size=1, max_size=3)


@given(st.dictionaries(bare, tables | st.lists(tables, min_size=1, max_size=3), max_size=4))
def test_any_tables_come_back(document: dict[str, Any]) -> None:
    text = emit.dump(document)
    assert tomllib.loads(text) == document


def test_nothing_wrong_is_handed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Bug, match="means something else"):
        emit.dump({"a": {"lost": {}, "list": [{"also": {}}]}})
    monkeypatch.setattr(toml, "dumps", lambda *args, **kwargs: "[")
    with pytest.raises(Bug, match="wrote TOML that is none"):
        emit.dump({"a": 1})


def test_values_as_the_operator_would_write_them() -> None:
    assert (
        emit.dump({"t": {"a": ["x", 1], "b": 0.5, "c": True, "d": []}})
        == '[t]\na = ["x", 1]\nb = 0.5\nc = true\nd = []\n'
    )


# --- whole configurations


@pytest.fixture
def pretence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pretence:
    monkeypatch.setattr(private_tmp, "TMP", "/elsewhere")  # the test itself is in /tmp
    pretence = Pretence(tmp_path)
    pretence.write("venv/pyvenv.cfg")
    pretence.write("venv/bin/python").chmod(0o755)
    return pretence


def meaning(config: Config) -> Any:
    """All of it but where it was said."""
    tables = without_places(dataclasses.asdict(config))
    for table in (*tables["vhosts"], *tables["environments"].values()):
        del table["where"]
    for vhost in tables["vhosts"]:
        vhost["problems"] = len(vhost["problems"])
        for area in (*vhost["directories"], *vhost["locations"]):
            del area["where"]
    del tables["notes"], tables["path"], tables["server"]["group"]
    return tables


def without_places(value: Any) -> Any:
    """What was said, as value and whether it is fixed."""
    if isinstance(value, Said):
        return value.value, value.fixed
    if isinstance(value, dict):
        return {name: without_places(each) for name, each in value.items()}
    if isinstance(value, (tuple, list)):
        return [without_places(each) for each in value]
    return value


def same_again(pretence: Pretence, text: str, user: str = "root", groups: tuple[int, ...] = ()) -> Config:
    """Load, write, load again, compare."""
    config = pretence.load(text, user, groups)
    path = pretence.write("elsewhere/itk.toml", emit.dump_config(config))
    again = load_on(pretence.machine(user, groups), str(path))
    assert meaning(again) == meaning(config)
    assert emit.dump_config(again) == emit.dump_config(config)
    return config


FULL = (
    "[server]\nlisten = ['127.0.0.1:8080', '[::1]:8080', 'unix:http.sock']\nuser = 'jess'\nlog_user = 70000\n"
    "keepalive_timeout = '500ms'\nspool_max = '3M'\nserver_tokens = 'off'\n"
    "[environment.shared]\nvenv = 'venv'\npreload = ['flask', 'a.b']\n"
    + site(
        aliases="['*.A.example', 'bücher.example']",
        env="""{ A = 'x"y\\z', B = "\\u0007" }""",
        environment="'shared'",
        pool_socket="{ path = 'x.sock', owner = 'nginx', mode = 0o600 }",
        groups="['web', 3000]",
        warmup="['/']",
        default="true",
        access_log="'own.log'",
    )
    + site(name="'b.example'", user="", listen="['127.0.0.1:9000']", idle_timeout="0.25", venv="'venv'")
    + site(name="'c.example'", user="", group="'web'", python="'venv/bin/python'", no_new_privs="false")
    + site(name="'d.example'", user="'jess'", app="'mod:call.able'")
    + site(
        name="'e.example'",
        private_tmp="true",
        value="{ open_basedir = ['site', 'package'], umask = 0o27, max_file_size = '64M', tmp_dir = 'none' }",
        admin_value="{ disable = 'exec', max_processes = 20, max_open_files = 'none', umask = '0007' }",
    )
)
AREAS = (
    LISTEN
    + site(public='"site"', allow_override='["timezone", "memory_limit"]')
    + "[[vhost.directory]]\npath = 'site/a'\nvalue = { umask = '0027', include_path = ['site', 'lib'] }\n"
    + "admin_value = { memory_limit = '1G', request_timeout = '500ms', post_max_size = 0 }\n"
    + "[[vhost.directory]]\npath = 'site'\nengine = false\n"
    + "[[vhost.location]]\npath = '/a b'\n"
    + "[[vhost.location]]\npath = '/'\nadmin_value = { open_basedir = 'none', disable = ['exec', 'fork'] }\n"
    + "[[vhost.location]]\npath = '/free'\nadmin_value = { disable = [], optimize = 1 }\n"
    + site(name="'b.example'", user="50002", allow_override="[]")
    + "[vhost.admin_value]\nmemory_limit = '64M'\n[[vhost.location]]\npath = '/x'\nvalue = { slow_request = 1.5 }\n"
)


def test_everything_comes_back(pretence: Pretence) -> None:
    config = same_again(pretence, FULL)
    assert config.problems == ()


def test_directories_and_locations_come_back(pretence: Pretence) -> None:
    config = same_again(pretence, AREAS)
    assert [vhost.prefix for vhost in config.vhosts] == ["", "", "/free"], "parts are no sites"
    text = emit.dump_config(config).replace(f"{pretence.directory}/", "/x/")
    assert text.count("[[vhost]]") == 2 and text.count("[[vhost.location]]") == 4
    assert (
        '[[vhost.directory]]\npath = "/x/site/a"\n\n'
        '[vhost.directory.value]\numask = "0027"\ninclude_path = ["/x/site", "/x/lib"]\n'
        '[vhost.directory.admin_value]\nmemory_limit = "1G"\nrequest_timeout = "500ms"\npost_max_size = "none"\n'
    ) in text
    assert 'allow_override = ["memory_limit", "timezone"]\n' in text and "allow_override = []\n" in text


def test_all_that_can_be_granted_is_a_word(pretence: Pretence) -> None:
    assert 'allow_override = ["values"]\n' in emit.dump_config(pretence.load(LISTEN + site()))


def test_settings_are_written_as_an_operator_would(pretence: Pretence) -> None:
    text = emit.dump_config(pretence.load(FULL)).replace(f"{pretence.directory}/", "/x/")
    assert text.partition("[vhost.value]\n")[2] == (
        'open_basedir = ["/x/site", "/x/package"]\nmax_file_size = "64M"\ntmp_dir = "none"\n'
        '[vhost.admin_value]\numask = "0007"\ndisable = ["exec"]\nmax_processes = 20\nmax_open_files = "none"\n'
    )


def test_sites_that_are_broken_come_back_broken(pretence: Pretence) -> None:
    config = same_again(pretence, LISTEN + site(user="'none'") + site(name="'b.example'", root="'none'", app="'x'"))
    assert [len(vhost.problems) for vhost in config.vhosts] == [1, 1]


def test_without_an_account_for_the_default(pretence: Pretence) -> None:
    del pretence.accounts.users["www-data"]
    same_again(pretence, LISTEN + site())


def test_an_ordinary_users(pretence: Pretence) -> None:
    same_again(pretence, LISTEN + site(user="") + site(name="'b.example'", user="'jess'"), "jess", (2000,))


def test_no_sites_at_all(pretence: Pretence) -> None:
    same_again(pretence, LISTEN)


def test_the_order_is_that_of_the_contract(pretence: Pretence) -> None:
    text = emit.dump_config(pretence.load(FULL))
    assert [line for line in text.splitlines() if line.startswith("[")] == [
        "[server]",
        "[environment.shared]",
        "[[vhost]]",
        "[vhost.env]",
        "[vhost.pool_socket]",
        "[[vhost]]",
        "[[vhost]]",
        "[[vhost]]",
        "[[vhost]]",
        "[vhost.value]",
        "[vhost.admin_value]",
    ]
    assert os.linesep == "\n" and text.endswith("\n")
