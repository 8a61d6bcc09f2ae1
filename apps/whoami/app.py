"""Which user does this site run as?  It makes a file and looks whose it is."""

import os
import tempfile


def application(environ, start_response):
    with tempfile.NamedTemporaryFile(prefix="whoami-") as file:
        status = os.stat(file.name)
        text = f"File is: {file.name}, UID is: {status.st_uid}, GID is: {status.st_gid}\n"
    body = text.encode()
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))])
    return [body]
