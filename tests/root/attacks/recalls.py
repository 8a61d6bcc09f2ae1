"""A site that looks for a word of an earlier visitor's in its memory and in its pool's: the query, read backwards."""

from __future__ import annotations

import json
import os

from tests.root.attacks.attempt import Way, outcome_of
from tests.root.attacks.ways.memory import searching


def application(environ, start_response):
    body = environ["wsgi.input"].read()
    told = {"backwards": [environ["QUERY_STRING"]]}
    found = {
        "itself": outcome_of(Way(searching(os.getpid)), told),
        "its pool": outcome_of(Way(searching(os.getppid)), told),
        "body": len(body),
    }
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(found).encode()]
