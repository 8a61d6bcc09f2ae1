"""The declarations against the contract's defaults, and against the model."""

from __future__ import annotations

import dataclasses

import pytest

from itkwsgi.config import keys
from itkwsgi.config.declare import Table, defaults
from itkwsgi.config.model import Environment, Server, Vhost
from itkwsgi.config.values import OVERRIDABLE
from itkwsgi.ini.registry import SETTINGS


def test_defaults_of_the_server() -> None:
    assert defaults(keys.SERVER, "/etc") == {
        "listen": (),
        "user": None,
        "group": None,
        "front_user": None,
        "zygote_user": None,
        "log_user": None,
        "uid_range": (1000, 59999),
        "gid_range": (1000, 59999),
        "id_namespace": False,
        "fronts": 0,
        "max_clients": 256,
        "keepalive_timeout": 5.0,
        "header_timeout": 20.0,
        "body_timeout": 20.0,
        "body_min_rate": 500,
        "limit_request_line": 8190,
        "limit_request_fields": 100,
        "limit_request_field_size": 8190,
        "max_connections_per_address": 256,
        "server_tokens": "prod",
        "run_dir": "/run/itkwsgi",
        "access_log": "/var/log/itkwsgi/access.log",
        "error_log": "/var/log/itkwsgi/error.log",
        "graceful_timeout": 30.0,
        "max_pools": 1000,
        "max_imports": 4,
        "spool_dir": "/var/spool/itkwsgi",
        "spool_max": 2**30,
        "log_max": 2**30,
    }


def test_an_ordinary_users_server_has_its_files_at_home() -> None:
    own = defaults(keys.SERVER, "/etc", "/home/jess")
    assert {key: own[key] for key in ("run_dir", "spool_dir", "access_log", "error_log")} == {
        "run_dir": "/home/jess/.local/state/itkwsgi/run",
        "spool_dir": "/home/jess/.local/state/itkwsgi/spool",
        "access_log": "/home/jess/.local/state/itkwsgi/log/access.log",
        "error_log": "/home/jess/.local/state/itkwsgi/log/error.log",
    }
    assert own["max_clients"] == 256


def test_defaults_of_a_site() -> None:
    said = {key: value for key, value in defaults(keys.VHOST, "/etc").items() if value is not None}
    assert said == {
        "aliases": (),
        "default": False,
        "env": (),
        "nice": 0,
        "preload": "app",
        "requests_per_child": 1,
        "min_spare": 1,
        "idle_timeout": 300.0,
        "startup_timeout": 60.0,
        "no_new_privs": True,
        "private_tmp": False,
        "exit_grace": 2.0,
        "warmup": (),
        "server_signature": True,
        "allow_override": OVERRIDABLE,
        "value": {},
        "admin_value": {},
        "directory": (),
        "location": (),
    }


@pytest.mark.parametrize(
    ("table", "model", "resolved", "unresolved"),
    [
        (keys.SERVER, Server, {"user_id", "front_ids", "zygote_ids", "log_ids"}, set()),
        (keys.ENVIRONMENT, Environment, {"name", "where"}, set()),
        (
            keys.VHOST,
            Vhost,
            {"index", "file", "listens", "ids", "settings", "directories", "locations", "holding", "part_of", "prefix"}
            | {"binary", "private_var_tmp", "problems", "where"},
            {"listen", "group", "groups", "value", "admin_value", "directory", "location"},
        ),
    ],
)
def test_the_model_has_the_keys_as_fields(table: Table, model: type, resolved: set[str], unresolved: set[str]) -> None:
    fields = {field.name for field in dataclasses.fields(model)}
    assert fields - resolved == table.names - unresolved


@pytest.mark.parametrize(
    "table",
    [keys.SERVER, keys.ENVIRONMENT, keys.VHOST, keys.POOL_SOCKET, keys.DIRECTORY, keys.LOCATION],
    ids=lambda table: table.title,
)
def test_every_key_is_described(table: Table) -> None:
    for key in table.keys:
        assert key.help.endswith("."), key.name
        assert key.default is not None or key.otherwise or key.required or key.name in ("venv", "python", "pool_socket")
        assert key.kind.name and key.kind.schema
    assert len(table.names) == len(table.keys)
    assert not table.names & table.later


@pytest.mark.parametrize("table", [keys.VALUE, keys.ADMIN_VALUE], ids=lambda table: table.title)
def test_the_tables_of_settings_are_the_registry(table: Table) -> None:
    assert [key.name for key in table.keys] == [setting.name for setting in SETTINGS]
    assert not table.later and table.noun == "setting"


def test_every_key_of_a_site_is_one_of_a_location_or_will_be() -> None:
    """The contract: but name, aliases, listen and tls; a default for unknown names is no matter of a path."""
    never = {"name", "aliases", "listen", "default", "tls", "tls_listen", "directory", "location"}
    assert (keys.VHOST.names | keys.VHOST.later) - never - keys.LOCATION.names - keys.LOCATION.later == set()
    assert keys.DIRECTORY.names == keys.LOCATION.names and keys.DIRECTORY.later <= keys.LOCATION.later
