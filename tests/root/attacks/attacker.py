"""A site that attacks: all it can think of, when it is imported or when it is asked.  The answer is what it got."""

from __future__ import annotations

import json
import os

from tests.root.attacks import table
from tests.root.attacks.attempt import try_apart


def targets(where):
    with open(os.environ["TARGETS"]) as file:
        found = json.load(file)
    return {**found, "own": os.environ["TMPDIR"], "descriptors": found["descriptors of"][where]}


def attempts(what, told):
    """One after the other; what each brought."""
    ways = {**table.FORBIDDEN, "allowed": table.ALLOWED, "limits": table.LIMITS}.get(what, table.WAYS)
    return {name: try_apart(way, told) for name, way in ways.items()}


# What to try at import: "import", for all, or a setting, for what that one forbids.
WHEN = os.environ.get("WHEN", "")
AT_IMPORT = attempts(WHEN, targets("import")) if WHEN else {}


def application(environ, start_response):
    """``/``: what was tried at import, or else all; ``/SETTING`` what that setting forbids; ``/one?NAME`` just one."""
    start_response("200 OK", [("Content-Type", "application/json")])
    what = environ["PATH_INFO"].strip("/")
    if what == "one":
        return [
            json.dumps(try_apart(table.WAYS[environ["QUERY_STRING"].replace("_", " ")], targets("request"))).encode()
        ]
    return [json.dumps(attempts(what, targets("request")) if what or not WHEN else AT_IMPORT).encode()]
