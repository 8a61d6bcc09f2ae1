"""The JSON schema of itk.toml: no stricter than the reader, and not empty either."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from itkwsgi.cli.schema import whole_schema
from itkwsgi.config import keys
from itkwsgi.ini.registry import BY_NAME
from itkwsgi.ini.values import Wrong

TOP = Path(__file__).parent.parent.parent
SCHEMA = whole_schema()
WHOLE = Draft202012Validator(SCHEMA)

TABLES = {
    "server": keys.SERVER,
    "environment": keys.ENVIRONMENT,
    "vhost": keys.VHOST,
    "directory": keys.DIRECTORY,
    "location": keys.LOCATION,
    "settings": keys.VALUE,
}
KEYS = [pytest.param(table, key, id=f"{table}.{key.name}") for table in TABLES for key in TABLES[table].keys]

WRITTEN = [
    "", "/", "/srv/jess", "x", "app.py", "blog.wsgi:application", "jess", "#50001", "a.example", "*.a.example", "none",
    "NONE", "None", "127.0.0.1:80", "[::1]:80", "unix:/run/x", "30s", "500ms", "1h", "256M", "0027", "660", "on", "Off",
    "app", "framework", "prod", "full", "off", "exec", "network", "values", "memory_limit", "UTF-8", "UTC", "error",
    "Europe/Berlin", "CET-1CEST", "de_DE.UTF-8", "ignore::DeprecationWarning", "flask", 0, 1, 2, 18, 416, 1000, 59999,
    2**22, 10**6, 2**40, -5, 0.5, 30.0, True, False,
]  # fmt: skip
SCALARS = st.sampled_from(WRITTEN) | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = (
    SCALARS
    | st.lists(st.sampled_from(WRITTEN), max_size=3)
    | st.dictionaries(st.sampled_from(["path", "A", "owner", "mode", "memory_limit", "engine"]), SCALARS, max_size=3)
)


def validator(table: str, name: str) -> Any:
    """Of one key, within the whole, so that what it refers to is found."""
    return WHOLE.evolve(schema={**SCHEMA["$defs"][table]["properties"][name], "$defs": SCHEMA["$defs"]})


def accepts(table: str, name: str, raw: object) -> bool:
    return bool(validator(table, name).is_valid(raw))


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_the_command_writes_it(operator: Any) -> None:
    done = operator.run("schema")
    assert (json.loads(done.stdout), done.stderr, done.returncode) == (SCHEMA, "", 0)


def test_the_sample_file_is_fine() -> None:
    assert [error.message for error in WHOLE.iter_errors(tomllib.loads((TOP / "itk.toml").read_text()))] == []


@pytest.mark.parametrize("table", TABLES)
def test_every_key_is_described_and_no_other(table: str) -> None:
    found = SCHEMA["$defs"][table]
    assert list(found["properties"]) == [key.name for key in TABLES[table].keys]
    assert all(each["description"] for each in found["properties"].values())
    assert found["additionalProperties"] is False


def test_the_top_has_every_table() -> None:
    assert set(SCHEMA["properties"]) == keys.TOP.names


@pytest.mark.parametrize(("table", "key"), KEYS)
def test_a_default_is_a_value(table: str, key: Any) -> None:
    for default in (key.default, key.ordinary):
        assert default is None or accepts(table, key.name, default)


@pytest.mark.parametrize(("table", "key"), KEYS)
@given(raw=VALUES)
def test_what_the_reader_takes_it_takes(table: str, key: Any, raw: object) -> None:
    try:
        key.kind.parse(raw, "/srv")
    except Wrong:
        return
    assert accepts(table, key.name, raw)


@pytest.mark.parametrize(("table", "key"), KEYS)
def test_each_key_takes_something_and_refuses_something(table: str, key: Any) -> None:
    """The property above would hold for a schema that says nothing, or for values that no reader takes."""
    tried = [*WRITTEN, *([word] for word in WRITTEN), {}, [], [{"path": "/x"}], {"path": "/x"}, {"venv": "/x"}, [1, 2]]
    verdicts = {accepts(table, key.name, raw) for raw in tried}
    assert verdicts == {True, False}
    assert any(taken(key, raw) for raw in tried)


def taken(key: Any, raw: object) -> bool:
    try:
        key.kind.parse(raw, "/srv")
    except Wrong:
        return False
    return True


@pytest.mark.parametrize("name", BY_NAME)
@pytest.mark.parametrize("none", ["none", "None", "NONE"])
def test_none_is_a_value_of_every_setting(name: str, none: str) -> None:
    assert accepts("settings", name, none)


@pytest.mark.parametrize(
    "text",
    [
        "x = 1",
        "include = 1",
        "[server]\nlistne = []",
        "[server]\nfronts = -1",
        "[server]\nfronts = '1'",
        "[server]\nserver_tokens = 'PROD'",
        "[vhost]\nname = 'a.example'",
        "[[vhost]]\nuser = 'jess'",
        "[environment.a]\npreload = []",
        "[environment.'a b']\nvenv = '/x'",
        "[[vhost]]\nname = 'a'\napp = 'a'\n[vhost.value]\nmemory_limits = '1M'",
        "[[vhost]]\nname = 'a'\napp = 'a'\n[vhost.value]\nmax_open_files = 'many'",
        "[[vhost]]\nname = 'a'\napp = 'a'\n[vhost.admin_value]\ndisable = ['forks']",
        "[[vhost]]\nname = 'a'\napp = 'a'\n[[vhost.directory]]\nengine = false",
        "[[vhost]]\nname = 'a'\napp = 'a'\n[[vhost.location]]\npath = 'shop'",
        "[[vhost]]\nname = 'a'\napp = 'a'\nallow_override = ['disable']",
    ],
)
def test_what_it_refuses(text: str) -> None:
    assert not WHOLE.is_valid(tomllib.loads(text))


def test_what_it_takes() -> None:
    text = """
include = ["sites.d/*.toml"]
[server]
listen = ["127.0.0.1:8080"]
[environment.shared]
venv = "/opt/venv"
[[vhost]]
name = "a.example"
app = "app.py"
[vhost.value]
max_open_files = "none"
warnings = "error"
[vhost.admin_value]
disable = ["exec", "network"]
umask = 0o027
[[vhost.directory]]
path = "/srv/a"
engine = false
value = { timezone = "UTC" }
[[vhost.location]]
path = "/shop/"
admin_value = { post_max_size = "1M" }
"""
    assert [error.message for error in WHOLE.iter_errors(tomllib.loads(text))] == []
