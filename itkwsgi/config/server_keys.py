"""Every key of [server], declared once, as `itkwsgi.config.keys` does for the other tables."""

from __future__ import annotations

from itkwsgi.config.declare import Key, Table
from itkwsgi.config.kinds import GROUP, ID_RANGE, LISTEN, USER
from itkwsgi.ini.kinds import FLAG, PATH, SIZE, TIME, TIME_ABOVE_0, choice, integer, list_of, size

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
