"""A site that runs the code it is sent, as its owner could put it there, and says what that found."""

import json
import os
import resource
import socket
import subprocess
import sys
import time

from itkwsgi import settings  # type: ignore[attr-defined]

PIECES = (json, os, resource, socket, subprocess, sys, time, settings)


def application(environ, start_response):
    given = {**globals(), "environ": environ, "found": None}
    exec(environ["wsgi.input"].read(), given)
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(given["found"], default=repr).encode()]
