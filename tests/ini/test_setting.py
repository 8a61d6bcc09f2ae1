"""How values are spelled: what is written is read again as the same."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itkwsgi.ini.registry import BY_NAME, SETTINGS
from itkwsgi.ini.setting import Setting
from itkwsgi.ini.values import LONGEST_TIME, Wrong

every_setting = pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)

paths = st.sampled_from(["/a", "b/../c", "none/", "/a, b", "ü"])
numbers = st.integers(0, 2000)
# What can stand for a value of each kind, by its name.
RAW: dict[str, st.SearchStrategy[Any]] = {
    "size": st.builds(lambda number, shift: number << shift, numbers, st.sampled_from([0, 10, 20, 30, 40]))
    | st.builds("{}{}".format, numbers, st.sampled_from("kKmMgG")),
    "time": st.floats(0, LONGEST_TIME)
    | st.floats(0, 1)
    | numbers
    | st.builds("{}.{:03}{}".format, numbers, st.integers(0, 999), st.sampled_from(["", "ms", "s", "m", "h"])),
    "number": st.integers(0, 2**31),
    "flag": st.booleans() | st.sampled_from(["on", "No", "TRUE", "0"]),
    "path": paths,
    "list of path": paths | st.lists(paths, unique=True, max_size=3),
    "list of word": st.lists(st.sampled_from(["exec", "fork"]), unique=True) | st.just("ptrace"),
    "list of filter of warnings": st.lists(st.sampled_from(["error", " ignore :: x "]), unique=True),
    "time zone": st.sampled_from(["Europe/Berlin", "CET-1CEST,M3.5.0,M10.5.0/3", "UTC"]),
    "locale": st.just("de_DE.UTF-8"),
    "charset": st.just("UTF-8"),
    "umask": st.sampled_from(["0027", "077"]) | st.integers(0, 0o777),
}


@every_setting
@given(data=st.data())
def test_what_is_written_is_read_again_as_the_same(setting: Setting, data: st.DataObject) -> None:
    try:
        value = setting.parse(data.draw(RAW[setting.kind.name] | st.just("none")), "/etc")
    except Wrong:  # not within the bounds of this one
        return
    again = setting.parse(setting.written(value), "/somewhere/else")
    assert again == value and type(again) is type(value)
    if setting.kind.name in ("size", "time", "umask", "flag") or isinstance(value, str):
        assert setting.parse(setting.text(value), "/somewhere/else") == value


@every_setting
def test_defaults_can_be_written(setting: Setting) -> None:
    assert setting.parse(setting.written(setting.default), "/etc") == setting.default
    assert setting.text(setting.default)


@pytest.mark.parametrize(
    ("name", "value", "text", "written"),
    [
        ("memory_limit", 128 * 2**20, "128M", "128M"),
        ("memory_limit", 2**30, "1G", "1G"),
        ("memory_limit", 2**30 + 1024, "1048577K", "1048577K"),
        ("memory_limit", None, "none", "none"),
        ("max_file_size", 2**20 + 1, "1048577", "1048577"),
        ("output_buffering", 0, "0", "0"),
        ("max_execution_time", 30.0, "30s", "30s"),
        ("max_execution_time", 60.0, "60s", "60s"),
        ("max_execution_time", 120.0, "2m", "2m"),
        ("max_execution_time", 90.0, "90s", "90s"),
        ("max_execution_time", 0.5, "500ms", "500ms"),
        ("max_execution_time", 0.0005, "0.0005s", "0.0005s"),
        ("max_execution_time", 1e-9, "0.000000001s", "0.000000001s"),
        ("max_execution_time", 1.5, "1.5s", "1.5s"),
        ("max_open_files", 256, "256", 256),
        ("display_errors", True, "on", True),
        ("display_errors", False, "off", False),
        ("umask", 0o027, "0027", "0027"),
        ("umask", 0, "0000", "0000"),
        ("optimize", 0, "0", 0),
        ("open_basedir", ("/a", "/b"), "/a, /b", ["/a", "/b"]),
        ("open_basedir", ("/a",), "/a", ["/a"]),
        ("open_basedir", (), "none", "none"),
        ("timezone", "UTC", "UTC", "UTC"),
        ("timezone", None, "none", "none"),
    ],
)
def test_spellings(name: str, value: Any, text: str, written: Any) -> None:
    assert (BY_NAME[name].text(value), BY_NAME[name].written(value)) == (text, written)


@pytest.mark.parametrize(
    ("name", "value", "python"),
    [("open_basedir", (), None), ("open_basedir", ("/a",), ["/a"]), ("memory_limit", None, None), ("umask", 0, 0)],
)
def test_as_code_has_it(name: str, value: Any, python: Any) -> None:
    assert BY_NAME[name].python(value) == python
