"""A guest book: one table in SQLite, one page, one form.

The process that serves a request was forked for it and ends after it.  So what many requests share lives in DATA_DIR
(the database, the key that signs cookies), and what takes time is done here, at import: once, before the fork.
"""

import os
import secrets
import sqlite3
from contextlib import closing
from pathlib import Path

from flask import Flask, flash, redirect, render_template, request, url_for

DATA = Path(os.environ["DATA_DIR"]).resolve()
NAME_LENGTH = 40
MESSAGE_LENGTH = 500


def secret_key(path: Path) -> str:
    """The key that signs cookies, made on first use; a draft takes its place in one step."""
    if not path.exists():
        draft = path.with_suffix(f".{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_hex(32))
        draft.replace(path)
    return path.read_text()


application = Flask(__name__)
application.secret_key = secret_key(DATA / "secret-key")
application.config["TEMPLATES_AUTO_RELOAD"] = True
application.jinja_env.get_template("guestbook.html")  # compiled once, and again only when it was edited

TABLE = "CREATE TABLE IF NOT EXISTS entry (name TEXT, message TEXT, written TEXT DEFAULT CURRENT_TIMESTAMP)"


def database() -> sqlite3.Connection:
    """Opened for each request: a connection must not cross a fork."""
    connection = sqlite3.connect(DATA / "guestbook.db")
    connection.row_factory = sqlite3.Row
    connection.execute(TABLE)
    return connection


def complaints(name: str, message: str) -> list[str]:
    """What is wrong with an entry; nothing when it may be kept."""
    wrong = []
    if not 1 <= len(name) <= NAME_LENGTH:
        wrong.append(f"Please give a name of at most {NAME_LENGTH} characters.")
    if not 1 <= len(message) <= MESSAGE_LENGTH:
        wrong.append(f"Please write a message of at most {MESSAGE_LENGTH} characters.")
    return wrong


def page(name: str = "", message: str = "") -> str:
    with closing(database()) as connection:
        entries = connection.execute("SELECT * FROM entry ORDER BY rowid DESC LIMIT 50").fetchall()
    limits = {"name_length": NAME_LENGTH, "message_length": MESSAGE_LENGTH}
    return render_template(
        "guestbook.html", entries=entries, name=name, message=message, pid=os.getpid(), uid=os.getuid(), **limits
    )


@application.get("/")
def read():
    return page()


@application.post("/")
def write():
    name = request.form.get("name", "").strip()
    message = request.form.get("message", "").replace("\r\n", "\n").strip()
    wrong = complaints(name, message)
    if wrong:
        for complaint in wrong:
            flash(complaint, "error")
        return page(name, message), 422
    with closing(database()) as connection, connection:
        connection.execute("INSERT INTO entry (name, message) VALUES (?, ?)", (name, message))
    flash("Thank you for writing.", "success")
    return redirect(url_for("read"), 303)


@application.errorhandler(404)
def missing(error):
    return render_template("missing.html"), 404
