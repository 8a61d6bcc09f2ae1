"""The smallest Flask application, the same file for every server that runs Flask."""

from __future__ import annotations

from flask import Flask

application = Flask(__name__)


@application.get("/")
def hello() -> tuple[str, dict[str, str]]:
    """Answer the same bytes as the other sites."""
    return "hello\n", {"Content-Type": "text/plain"}
