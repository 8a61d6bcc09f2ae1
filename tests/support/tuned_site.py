"""A site that does what it is told in a header, and says what came of it."""

import json
import os
import resource
import signal
import socket
import sys
import tempfile
import time
import warnings

from itkwsgi import SettingLocked, TimeLimitExceeded, settings  # type: ignore[attr-defined]

PIECES = (json, os, resource, signal, socket, sys, tempfile, time, warnings, SettingLocked, TimeLimitExceeded, settings)


def application(environ, start_response):
    given = {**globals(), "environ": environ, "found": None, "answer": None, "kind": "text/plain"}
    exec(environ.get("HTTP_DO", "pass"), given)
    if given["answer"] is not None:
        return given["answer"](environ, start_response)
    start_response("200 OK", [("Content-Type", given["kind"])])
    return [json.dumps(given["found"], default=repr).encode()]
