"""Kinds of values that only itk.toml has; the others are in `itkwsgi.ini.kinds`."""

from __future__ import annotations

from itkwsgi.config.addresses import parse_host, parse_listen, parse_socket_path
from itkwsgi.config.apps import parse_app
from itkwsgi.config.values import (
    ALL_OVERRIDABLE,
    HIGHEST_ID,
    OVERRIDABLE,
    parse_id,
    parse_id_range,
    parse_location,
    parse_module,
    parse_overrides,
    parse_url_path,
    parse_variables,
)
from itkwsgi.ini.kinds import TEXT_SCHEMA, Kind, plain

SOCKET_PATH = Kind("path", parse_socket_path, TEXT_SCHEMA)
USER = plain("user", parse_id, {"type": ["string", "integer"]})
GROUP = plain("group", parse_id, {"type": ["string", "integer"]})
ID_RANGE = plain(
    "range of ids",
    parse_id_range,
    {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": HIGHEST_ID}, "minItems": 2, "maxItems": 2},
)
LISTEN = Kind("address", parse_listen, TEXT_SCHEMA)
HOST = plain("host name", parse_host, TEXT_SCHEMA)
APP = plain("app", parse_app, TEXT_SCHEMA)
MODULE = plain("module", parse_module, TEXT_SCHEMA)
URL_PATH = plain("URL path", parse_url_path, {"type": "string", "pattern": "^/"})
LOCATION_PATH = plain("URL path", parse_location, {"type": "string", "pattern": "^/"})
OVERRIDES = plain(
    "list of settings", parse_overrides, {"type": "array", "items": {"enum": [ALL_OVERRIDABLE, *OVERRIDABLE]}}
)
VARIABLES = plain("table of text", parse_variables, {"type": "object", "additionalProperties": {"type": "string"}})
