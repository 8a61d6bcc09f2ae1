"""Every key of itk.toml, declared once: name, kind, default, help.

From these tables come the parser, the defaults, the help, and whatever describes the keys elsewhere.  Defaults are
written as in the file and read by the same parser.  Directive names in capitals are Apache's and mpm-itk's.
"""

from __future__ import annotations

from itkwsgi.config.declare import Key, Table, part, record
from itkwsgi.config.kinds import (
    APP,
    GROUP,
    HOST,
    ID_RANGE,
    LISTEN,
    MODULE,
    SOCKET_PATH,
    URL_PATH,
    USER,
    VARIABLES,
)
from itkwsgi.ini.kinds import (
    FLAG,
    MODE,
    PATH,
    SIZE,
    TEXT,
    TIME,
    TIME_ABOVE_0,
    Kind,
    choice,
    integer,
    list_of,
    plain,
    size,
)
from itkwsgi.ini.registry import LATER, SETTINGS

SERVER = Table(
    "[server]",
    (
        Key("listen", list_of(LISTEN, unique=True), [], "Addresses to listen on, HOST:PORT, [IPv6]:PORT or unix:PATH."),
        Key("user", USER, None, "Who a site is that names no user.", otherwise="www-data"),
        Key("group", GROUP, None, "Its group.", otherwise="www-data, or the primary group of user"),
        Key("front_user", USER, None, "Who the fronts are, and no site.", otherwise="the account itkwsgi, else 65530"),
        Key(
            "zygote_user",
            USER,
            None,
            "Who the zygotes are, and no site.",
            otherwise="the account itkwsgi-zygote, else 65531",
        ),
        Key("log_user", USER, None, "Who the log is, and no site.", otherwise="the account itkwsgi-log, else 65532"),
        Key("uid_range", ID_RANGE, [1000, 59999], "Users that a site may name (LimitUIDRange); never 0."),
        Key("gid_range", ID_RANGE, [1000, 59999], "Groups of sites, supplementary ones too (LimitGIDRange); never 0."),
        Key(
            "id_namespace",
            FLAG,
            False,
            "Zygotes in a user namespace of uid_range, gid_range and the server's own user: no other id exists there.",
        ),
        Key("fronts", integer(0, 256), 0, "How many fronts; 0 is one for every two cores, at least one.", "processes"),
        Key(
            "max_clients",
            integer(1, 100_000),
            256,
            "Children serving requests, of all sites together (MaxRequestWorkers).",
            "requests",
        ),
        Key("keepalive_timeout", TIME, "5s", "How long an idle connection is kept (KeepAliveTimeout)."),
        Key(
            "header_timeout",
            TIME_ABOVE_0,
            "20s",
            "For the whole head of a request; a silent connection ends too (RequestReadTimeout).",
        ),
        Key("body_timeout", TIME_ABOVE_0, "20s", "Between two pieces of a request's body."),
        Key("body_min_rate", SIZE, 500, "What a body must keep up after body_timeout; 0 is any.", "bytes per second"),
        Key("limit_request_line", size(64, 2**20), 8190, "The longest request line (LimitRequestLine); beyond it 414."),
        Key(
            "limit_request_fields",
            integer(1, 10_000),
            100,
            "The most header fields of a request (LimitRequestFields); beyond it 431.",
            "fields",
        ),
        Key(
            "limit_request_field_size",
            size(64, 2**20),
            8190,
            "The longest header field (LimitRequestFieldSize); beyond it 431.",
        ),
        Key("max_connections_per_address", integer(1, 1_000_000), 256, "Connections of one address.", "connections"),
        Key("server_tokens", choice("prod", "full", "off"), "prod", "What the Server field says (ServerTokens)."),
        Key(
            "run_dir",
            PATH,
            "/run/itkwsgi",
            "The server's sockets; made when missing.",
            ordinary="~/.local/state/itkwsgi/run",
        ),
        Key(
            "access_log",
            PATH,
            "/var/log/itkwsgi/access.log",
            "Requests of the sites that have no access_log.",
            ordinary="~/.local/state/itkwsgi/log/access.log",
        ),
        Key(
            "error_log",
            PATH,
            "/var/log/itkwsgi/error.log",
            "The server's own log, and that of sites without one.",
            ordinary="~/.local/state/itkwsgi/log/error.log",
        ),
        Key("graceful_timeout", TIME, "30s", "How long a stop waits for running requests (GracefulShutdownTimeout)."),
        Key("max_pools", integer(1, 1_000_000), 1000, "Sites awake at once; the longest idle goes first.", "pools"),
        Key("max_imports", integer(1, 1000), 4, "Sites starting at once.", "pools"),
        Key(
            "spool_dir",
            PATH,
            "/var/spool/itkwsgi",
            "Request bodies too large for memory; made when missing.",
            ordinary="~/.local/state/itkwsgi/spool",
        ),
        Key("spool_max", SIZE, "1G", "Of all sites in spool_dir; beyond it 503."),
        Key(
            "log_max",
            SIZE,
            "1G",
            "What one site writes into a log until the log is opened anew; its further lines are lost.  0 is no limit.",
        ),
    ),
    frozenset(
        (
            "tls_listen",
            "trusted_proxies",
            "proxy_protocol",
            "buffer_memory",
            "health_listen",
            "drain_time",
        )
    ),
)

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
        LATER,
        "setting",
    )


def _some_of(table: Table) -> Kind:
    """What is said of these settings."""
    return part("table of settings", table, lambda: TABLES)


VALUE = _settings("[vhost.value]")
ADMIN_VALUE = _settings("[vhost.admin_value]")

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
        Key("value", _some_of(VALUE), {}, "Settings that the site's code may change (php_value)."),
        Key("admin_value", _some_of(ADMIN_VALUE), {}, "Settings that are final (php_admin_value)."),
    ),
    frozenset(
        (
            "tls_listen",
            "public",
            "max_clients",
            "max_clients_static",
            "busy_status",
            "queue",
            "queue_timeout",
            "fork_check",
            "on_broken",
            "allow_override",
            "tls",
            "alias",
            "directory",
            "location",
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
TABLES = (TOP, SERVER, ENVIRONMENT, VHOST, VALUE, ADMIN_VALUE)
