"""The site that is attacked: it has a child that waits in a request, and a word in its environment."""

from __future__ import annotations

import json
import os
import time


def application(environ, start_response):
    if environ["PATH_INFO"] == "/say":
        print(environ["QUERY_STRING"])
    if environ["PATH_INFO"] == "/hold":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return hold()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"pid": os.getpid(), "pool": os.getppid(), "tmp": os.environ["TMPDIR"]}).encode()]


def hold():
    """A child that is there as long as its visitor."""
    yield f"{os.getpid()}\n".encode()
    while True:
        time.sleep(0.2)
        yield b"."
