"""Every key of itk.toml, declared once: name, kind, default, help.

From these tables come the parser, the defaults, the help, and whatever describes the keys elsewhere.  Defaults are
written as in the file and read by the same parser.  Directive names in capitals are Apache's and mpm-itk's.
"""

from __future__ import annotations

from itkwsgi.config import server_keys
from itkwsgi.config.declare import Key, Table, part, record, tables
from itkwsgi.config.kinds import (
    APP,
    GROUP,
    HOST,
    LISTEN,
    LOCATION_PATH,
    MODULE,
    OVERRIDES,
    SOCKET_PATH,
    URL_PATH,
    USER,
    VARIABLES,
)
from itkwsgi.ini.kinds import (
    FLAG,
    MODE,
    PATH,
    TEXT,
    TIME,
    TIME_ABOVE_0,
    Kind,
    choice,
    integer,
    list_of,
    plain,
)
from itkwsgi.ini.registry import SETTINGS

SERVER = server_keys.SERVER

ENVIRONMENT = Table(
    "[environment.NAME]",
    (
        Key(
            "venv",
            PATH,
            None,
            "A virtual environment that only root can write.",
            required="is needed: the path of a virtual environment",
        ),
        Key("preload", list_of(MODULE, unique=True), [], "Modules to import once for all its sites."),
    ),
)

POOL_SOCKET = Table(
    "pool_socket",
    (
        Key("path", SOCKET_PATH, None, "Where the socket is.", required="is needed: where the socket is to be"),
        Key("owner", USER, None, "Whom it belongs to.", otherwise="who starts the server"),
        Key("group", GROUP, None, "Its group.", otherwise="the primary group of owner"),
        Key("mode", MODE, "0660", "Its permission bits; who may write may connect."),
    ),
)


def _settings(title: str) -> Table:
    """A table of settings, as the registry declares them."""
    return Table(
        title,
        tuple(
            Key(
                setting.name,
                Kind(setting.kind.name, setting.parse, setting.kind.schema, setting.kind.unit),
                help=setting.help,
            )
            for setting in SETTINGS
        ),
        noun="setting",
    )


def _some_of(table: Table) -> Kind:
    """What is said of these settings."""
    return part("table of settings", table, lambda: TABLES)


VALUE = _settings("[vhost.value]")
ADMIN_VALUE = _settings("[vhost.admin_value]")

_AREA = (
    Key("value", _some_of(VALUE), {}, "Settings there that the site's files and code may change (php_value)."),
    Key("admin_value", _some_of(ADMIN_VALUE), {}, "Settings there that are final (php_admin_value)."),
    Key("engine", FLAG, None, "false: nothing in there runs (php_admin_flag engine).", otherwise="as above it"),
)
_AREA_LATER = (
    "options",
    "index",
    "require",
    "require_all",
    "auth",
    "handlers",
    "headers",
    "request_buffering",
    "redirect",
    "error_document",
)
_OF_AREA = (_settings("value"), _settings("admin_value"))  # what messages call them there


def _elsewhere() -> tuple[Table, ...]:
    """Where a key may belong that stands in a directory or a location."""
    return (*_OF_AREA, *(table for table in TABLES if table not in (VALUE, ADMIN_VALUE)))


DIRECTORY = Table(
    "[[vhost.directory]]",
    (
        Key("path", PATH, None, "It and all below it (<Directory>).", required="is needed: the path of a directory"),
        *_AREA,
    ),
    frozenset(_AREA_LATER),
)

# Of the vhost's keys those that a location can have in the full configuration, and has not in this version.
_LOCATION_LATER = (
    "user", "group", "groups", "app", "root", "public", "environment", "venv", "python", "env", "nice", "preload",
    "requests_per_child", "min_spare", "idle_timeout", "startup_timeout", "no_new_privs", "private_tmp", "exit_grace",
    "warmup", "server_signature", "access_log", "error_log", "pool_socket", "allow_override", "max_clients",
    "max_clients_static", "busy_status", "queue", "queue_timeout", "fork_check", "on_broken", "alias", "userdir",
)  # fmt: skip
LOCATION = Table(
    "[[vhost.location]]",
    (
        Key(
            "path",
            LOCATION_PATH,
            None,
            "URLs whose path begins with that, in whole segments (<Location>).",
            required="is needed: the path of a URL",
        ),
        *_AREA,
    ),
    frozenset((*_AREA_LATER, *_LOCATION_LATER)),
)

VHOST = Table(
    "[[vhost]]",
    (
        Key("name", HOST, None, "The site's host name (ServerName).", required="is needed: the site's host name"),
        Key("aliases", list_of(HOST), [], "Further names, *.example.org for all below it (ServerAlias)."),
        Key(
            "listen",
            list_of(LISTEN, unique=True),
            None,
            "Addresses it answers on, and on no others.",
            otherwise="all of [server]",
        ),
        Key("default", FLAG, False, "Answers for names that no site on its listeners has; else they get 421."),
        Key("user", USER, None, "Who the site is (AssignUserID).", otherwise="[server] user"),
        Key("group", GROUP, None, "Its group.", otherwise="the user's primary group, or the number of the user"),
        Key(
            "groups",
            list_of(GROUP),
            None,
            "Supplementary groups.",
            otherwise="the user's own, less those outside gid_range",
        ),
        Key(
            "app",
            APP,
            None,
            "The WSGI callable: module:callable, or a file below root with or without :callable.",
            required="is needed: this version does not find an app by itself",
        ),
        Key(
            "root",
            PATH,
            None,
            "The site's directory: its working directory and the first on sys.path.",
            otherwise="the directory of app, when that is a file named by its whole path",
        ),
        Key(
            "public",
            PATH,
            None,
            "Which file a URL means, for directories and files of settings (DocumentRoot); it serves none of them yet.",
            otherwise="each request is in the directory of the app",
        ),
        Key(
            "environment",
            TEXT,
            None,
            "The [environment.NAME] it runs in.",
            otherwise='the environment "default" if there is one, else the system\'s interpreter',
        ),
        Key("venv", PATH, None, "A virtual environment of its own, instead of environment."),
        Key("python", PATH, None, "An interpreter of its own, instead of environment."),
        Key("env", VARIABLES, {}, "The process environment, set before the import."),
        Key("nice", integer(-(2**63), 2**63 - 1), 0, "Scheduling priority, -20 to 19 (NiceValue)."),
        Key(
            "preload",
            choice("none", "framework", "app"),
            "app",
            "What the pool has imported before a request comes: nothing, the environment's modules, or the app.",
        ),
        Key(
            "requests_per_child",
            integer(0, 10**9),
            1,
            "Requests that one process serves (MaxConnectionsPerChild); 0 is no limit.",
            "requests",
        ),
        Key("min_spare", integer(0, 1000), 1, "Children kept waiting (MinSpareServers).", "processes"),
        Key("idle_timeout", TIME, "5m", "After so long without a request the pool ends; 0 is never."),
        Key("startup_timeout", TIME_ABOVE_0, "60s", "For the import of the app."),
        Key("no_new_privs", FLAG, True, "false lets setuid and setgid programs such as sendmail work."),
        Key("private_tmp", FLAG, False, "A /tmp of its own, which no other site and no login sees."),
        Key("exit_grace", TIME, "2s", "For threads and atexit work of a request after its answer."),
        Key("warmup", list_of(URL_PATH), [], "Requests run in a new pool before it serves."),
        Key("server_signature", FLAG, True, "Whether the server's error pages name it (ServerSignature)."),
        Key("access_log", PATH, None, "Its own access log.", otherwise="the server's, the site's name in each line"),
        Key("error_log", PATH, None, "Its own error log.", otherwise="the server's, the site's name in each line"),
        Key("pool_socket", record("table", POOL_SOCKET), None, "A FastCGI socket for another web server."),
        Key(
            "allow_override",
            OVERRIDES,
            ["values"],
            "What a .itk.toml may set (AllowOverride): names of settings, or values for all of them; [] reads none.",
        ),
        Key("value", _some_of(VALUE), {}, "Settings that the site's code may change (php_value)."),
        Key("admin_value", _some_of(ADMIN_VALUE), {}, "Settings that are final (php_admin_value)."),
        Key(
            "directory",
            tables("list of tables", DIRECTORY, _elsewhere),
            [],
            "Settings by the file that a URL means: in that directory and below (<Directory>).",
        ),
        Key(
            "location",
            tables("list of tables", LOCATION, _elsewhere),
            [],
            "Settings by the path of a URL: what begins with that prefix (<Location>).",
        ),
    ),
    frozenset(
        (
            "tls_listen",
            "max_clients",
            "max_clients_static",
            "busy_status",
            "queue",
            "queue_timeout",
            "fork_check",
            "on_broken",
            "tls",
            "alias",
            "userdir",
            "redirect",
            "error_document",
        )
    ),
)

INCLUDE = Key(
    "include", list_of(TEXT), [], "Further files or patterns, relative to this one, with sites and environments."
)

TOP = Table(
    "the top of the file",
    (
        INCLUDE,
        *(
            Key(name, plain("table", lambda raw: raw, {"type": "object"}))
            for name in ("server", "environment", "vhost")
        ),
    ),
)
TABLES = (TOP, SERVER, ENVIRONMENT, VHOST, VALUE, ADMIN_VALUE, DIRECTORY, LOCATION)
