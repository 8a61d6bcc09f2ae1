"""The registry of settings: each is whole, each parses what the contract says, and "none" clears."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itkwsgi.ini.registry import BY_NAME, SETTINGS
from itkwsgi.ini.setting import ADVISORY, ALL, KERNEL, PERDIR, RUNTIME, SYSTEM, Setting
from itkwsgi.ini.tighter import PROFILE
from tests.support.toml_values import faults_of, refusal, toml_values

# The contract's list; a name is here or it is known as one to come.
CONTRACT = [
    "memory_limit", "max_execution_time", "request_timeout", "max_input_time", "post_max_size", "open_basedir",
    "disable", "display_errors", "log_errors", "error_log", "slow_request", "timezone", "default_charset", "locale",
    "include_path", "auto_prepend_file", "auto_append_file", "tmp_dir", "umask", "revalidate", "update_protection",
    "output_buffering", "ignore_user_abort", "default_socket_timeout", "warnings", "optimize", "recursion_limit",
    "engine", "expose_server", "max_processes", "max_open_files", "max_file_size",
]  # fmt: skip

every_setting = pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)


def parse(name: str, raw: object) -> Any:
    return BY_NAME[name].parse(raw, "/etc/itkwsgi")


def test_every_name_of_the_contract_is_known_once() -> None:
    assert sorted(setting.name for setting in SETTINGS) == sorted(CONTRACT)


@every_setting
def test_a_setting_is_whole(setting: Setting) -> None:
    assert setting.help.endswith(".") and setting.kind.name and setting.kind.schema
    assert setting.mode in (ALL, PERDIR, SYSTEM)
    assert setting.enforced in (KERNEL, RUNTIME, ADVISORY)
    assert repr(setting) == f"Setting({setting.name!r})"


def test_who_may_set_what() -> None:
    """As the contract says."""
    modes = {mode: {setting.name for setting in SETTINGS if setting.mode == mode} for mode in (SYSTEM, PERDIR)}
    assert modes[SYSTEM] == {"disable", "max_processes", "expose_server"}
    assert modes[PERDIR] == {
        "post_max_size", "max_input_time", "request_timeout", "auto_prepend_file", "auto_append_file",
        "output_buffering", "optimize", "slow_request", "engine", "revalidate", "update_protection",
    }  # fmt: skip


def test_who_enforces_what() -> None:
    assert {setting.name for setting in SETTINGS if setting.enforced == KERNEL} == {
        "memory_limit", "max_execution_time", "open_basedir", "disable", "max_processes", "max_open_files",
        "max_file_size",
    }  # fmt: skip
    assert {name for name in PROFILE if BY_NAME[name].enforced != KERNEL} == {"optimize"}


def test_defaults() -> None:
    """PHP's, where PHP has the setting (ini.list), but for what the contract says otherwise."""
    said = {setting.name: setting.python(setting.default) for setting in SETTINGS}
    assert {name: default for name, default in said.items() if default is not None} == {
        "memory_limit": 128 * 2**20,
        "max_execution_time": 30.0,
        "post_max_size": 8 * 2**20,
        "max_open_files": 1024,
        "recursion_limit": 1000,
        "default_socket_timeout": 60.0,
        "engine": True,
        "expose_server": True,
        "display_errors": False,
        "log_errors": True,
        "timezone": "UTC",
        "default_charset": "UTF-8",
        "optimize": 0,
        "umask": 0o022,
        "output_buffering": 0,
        "ignore_user_abort": False,
        "revalidate": 2.0,
        "update_protection": 2.0,
    }


# What cannot be nothing.
ALWAYS_SOMETHING = {
    "recursion_limit", "engine", "expose_server", "display_errors", "log_errors", "optimize", "umask",
    "output_buffering", "ignore_user_abort", "update_protection",
}  # fmt: skip


@every_setting
@pytest.mark.parametrize("raw", ["none", "None", "NONE"])
def test_none_clears(setting: Setting, raw: str) -> None:
    assert setting.parse(raw, "/") == setting.none
    if setting.name not in ALWAYS_SOMETHING:
        assert setting.python(setting.none) is None
    elif setting.name != "update_protection":
        assert setting.none == setting.default


@pytest.mark.parametrize(
    ("name", "raw", "value"),
    [
        ("open_basedir", ["/srv/jess", "../x", "/"], ("/srv/jess", "/etc/x", "/")),
        ("open_basedir", "/srv/jess/", ("/srv/jess",)),
        ("disable", ["exec", "ptrace"], ("exec", "ptrace")),
        ("disable", "fork", ("fork",)),
        ("disable", [], ()),
        ("max_processes", 20, 20),
        ("max_open_files", 256, 256),
        ("max_file_size", "64M", 64 * 2**20),
        ("max_file_size", "1g", 2**30),
        ("max_file_size", 4096, 4096),
        ("umask", "0027", 0o027),
        ("umask", 0o077, 0o077),
        ("tmp_dir", "tmp", "/etc/itkwsgi/tmp"),
        ("memory_limit", "4M", 4 * 2**20),
        ("max_execution_time", 0, None),
        ("max_execution_time", "1.5s", 1.5),
        ("request_timeout", "500ms", 0.5),
        ("slow_request", 2, 2.0),
        ("max_input_time", "1m", 60.0),
        ("post_max_size", 0, None),
        ("post_max_size", "8M", 8 * 2**20),
        ("output_buffering", 0, 0),
        ("optimize", 2, 2),
        ("engine", "off", False),
        ("timezone", "CET-1CEST", "CET-1CEST"),
        ("warnings", "error", ("error",)),
        ("include_path", [], ()),
    ],
)
def test_values(name: str, raw: object, value: object) -> None:
    assert parse(name, raw) == value


@pytest.mark.parametrize(
    ("name", "raw", "message"),
    [
        ("open_basedir", [], 'it is empty (write "none" for no restriction)'),
        ("open_basedir", "", "it is empty"),
        ("open_basedir", ["~/x"], '"~/x": ~ is not expanded here (write the whole path)'),
        ("disable", ["Exec"], '"Exec" is none of exec, network, fork, ptrace (did you mean exec?)'),
        ("disable", ["exec", "exec"], '"exec" stands here twice'),
        ("disable", True, "true is not a list"),
        ("max_processes", 1, "1 is too small: at least 2 processes"),
        ("max_processes", "20", '"20" is not a whole number'),
        ("max_open_files", 3, "3 is too small: at least 16 files"),
        ("max_file_size", 0, "0 is too small: at least 1024 bytes"),
        ("max_file_size", "1T", '"1T" is not a size (write "256M", "64K" or a number of bytes)'),
        ("umask", 999, '999 is not a umask (write "0027" or 0o027)'),
        ("tmp_dir", ["/tmp"], "a list is not text"),
        ("memory_limit", "4095K", "4193280 is too small: at least 4194304 bytes"),
        ("max_execution_time", -1, "-1 is too short: it must be at least 0"),
        ("optimize", 3, "3 is too big: at most 2"),
        ("recursion_limit", 49, "49 is too small: at least 50 frames"),
    ],
)
def test_no_values(name: str, raw: object, message: str) -> None:
    assert refusal(lambda raw: parse(name, raw), raw) == message


@given(st.sampled_from(SETTINGS), toml_values)
def test_no_setting_fails_in_any_other_way(setting: Setting, raw: object) -> None:
    """And every message is one line of printable text."""
    for fault in faults_of(lambda raw: setting.parse(raw, "/etc"), raw):
        assert fault.message and (fault.message + fault.hint).isprintable()
