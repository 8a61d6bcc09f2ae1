"""Configurations as the loader makes them, for tests that need no file: all is said, and anything otherwise."""

from __future__ import annotations

import os

from itkwsgi.config.model import Environment, Ids, Listen, Server, Vhost

ME = Ids(os.getuid(), os.getgid(), (), "me", "/home/me", "/bin/sh")
LISTEN = Listen("tcp", "127.0.0.1", 8080, "", "127.0.0.1:8080")


def make_server(base, **more):
    """[server] with its files below ``base``."""
    said = {
        "listen": (LISTEN,), "user": None, "group": None, "front_user": "f", "zygote_user": "z", "log_user": "l",
        "uid_range": (1, 2**31), "gid_range": (1, 2**31), "id_namespace": False, "fronts": 1,
        "max_clients": 256, "keepalive_timeout": 5.0,
        "header_timeout": 20.0, "body_timeout": 20.0, "body_min_rate": 500, "limit_request_line": 8190,
        "limit_request_fields": 100, "limit_request_field_size": 8190, "max_connections_per_address": 256,
        "server_tokens": "prod", "run_dir": f"{base}/run", "access_log": f"{base}/log/access.log",
        "error_log": f"{base}/log/error.log", "graceful_timeout": 30.0, "max_pools": 100, "max_imports": 4,
        "spool_dir": f"{base}/spool", "spool_max": 1 << 30, "log_max": 1 << 30,
        "user_id": ME, "front_ids": ME, "zygote_ids": ME, "log_ids": ME, **more,
    }  # fmt: skip
    return Server(**said)


def make_vhost(index=0, **more):
    """[[vhost]] for the system's interpreter."""
    said = {
        "index": index, "name": f"site{index}.example", "aliases": (), "listens": (LISTEN,), "default": False,
        "user": None, "ids": ME, "app": "/srv/app.py", "root": "/srv", "environment": None, "venv": None,
        "python": None, "env": (), "nice": 0, "preload": "app", "requests_per_child": 1, "min_spare": 1,
        "idle_timeout": 300.0, "startup_timeout": 60.0, "no_new_privs": True, "exit_grace": 2.0, "warmup": (),
        "server_signature": True, "access_log": None, "error_log": None, "pool_socket": None, "private_tmp": False,
        "private_var_tmp": False, "settings": {}, "binary": None, "problems": (),
        "where": "itk.toml:1", "public": None, "directories": (), "locations": (), "allow_override": (),
        "part_of": None, "prefix": "", "file": "/srv/app.py", **more,
    }  # fmt: skip
    return Vhost(**{"holding": said["settings"], **said})


def make_environment(name, **more):
    return Environment(**{"name": name, "venv": f"/venvs/{name}", "preload": ("flask",), "where": "itk.toml:9", **more})
