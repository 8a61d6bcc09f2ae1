"""curl as a visitor: the HTTP client that most people know, and none of ours."""

from __future__ import annotations

import subprocess
from typing import NamedTuple


class Fetched(NamedTuple):
    """What it brought: of several answers that it followed, the last."""

    status: int
    redirects: int
    body: bytes


class Curl:
    """``curl("/path", "--option", ...)`` asks one site of the server at that port."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port

    def __call__(self, path: str, *options: str) -> Fetched:
        manners = ["--disable", "--silent", "--show-error", "--noproxy", "*", "--max-time", "20"]
        found_at = ["--resolve", f"{self.host}:{self.port}:127.0.0.1"]
        told = ["--write-out", "%{stderr}%{http_code} %{num_redirects}"]
        url = f"http://{self.host}:{self.port}{path}"
        done = subprocess.run(["curl", *manners, *found_at, *told, *options, url], capture_output=True, timeout=30)
        assert done.returncode == 0, done.stderr
        status, redirects = done.stderr.split()
        return Fetched(int(status), int(redirects), done.stdout)
