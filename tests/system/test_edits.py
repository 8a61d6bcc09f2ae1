"""A site's files are edited while it serves: the next visitor gets the new code, and nobody is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import Daemon, wait_until

APP = """
from itkwsgi import settings
from other import NAME

def application(environ, start_response):
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{{VERSION}} {{NAME}} {{len(body)}}".encode()]

VERSION = {}
"""
VALUE = "[vhost.value]\nrevalidate = {}\nupdate_protection = {}\n"


@pytest.fixture
def edited(tmp_path: Path) -> Any:
    """Start a site with these values; its files are written by ``write``."""
    started: list[Daemon] = []

    def start(revalidate: str = "0", protection: str = "0", more: str = "") -> Daemon:
        root = tmp_path / f"edited-{len(started)}"
        root.mkdir()
        write(root / "app.py", APP.format(1))
        write(root / "other.py", "NAME = 'one'")
        value = VALUE.format(revalidate, protection)
        vhost = f"[[vhost]]\nname = 'a.example'\nroot = {str(root)!r}\napp = 'app:application'\n{more}\n{value}"
        one = Daemon(tmp_path / f"server-{len(started)}", vhost)
        one.root = root  # type: ignore[attr-defined]
        started.append(one)
        return one.start()

    yield start
    for one in started:
        one.stop()


def write(file: Path, text: str) -> None:
    """As an editor writes: another file takes the name."""
    new = file.with_name(file.name + "~")
    new.write_text(text)
    new.rename(file)


def get(one: Daemon) -> str:
    answer = one.get("a.example")
    assert answer.status == 200, answer.text + one.error_log()
    return answer.text


def test_an_edit_shows_with_the_next_request(edited: Callable[..., Any]) -> None:
    one = edited()
    assert get(one) == "1 one 0"
    write(one.root / "other.py", "NAME = 'two'")
    assert get(one) == "1 two 0"
    write(one.root / "app.py", APP.format(22))
    for _ in range(5):
        assert get(one) == "22 two 0"
    assert f"{one.root}/other.py changed: the site is imported anew" in one.error_log()


def test_nothing_is_imported_anew_without_an_edit(edited: Callable[..., Any]) -> None:
    one = edited()
    get(one)
    (one.root / "unrelated.py").write_text("")
    for _ in range(10):
        get(one)
    assert "changed" not in one.error_log()


def test_a_post_is_answered_once_by_the_new_code(edited: Callable[..., Any]) -> None:
    one = edited(more="")
    get(one)
    write(one.root / "other.py", "NAME = 'two'")
    body = b"x" * 300_000
    assert one.ask("POST", "a.example", body=body).text == f"1 two {len(body)}"


def test_a_page_broken_by_an_edit_and_mended_again(edited: Callable[..., Any]) -> None:
    one = edited()
    get(one)
    write(one.root / "app.py", "def broken(:")
    assert one.get("a.example").status == 500
    wait_until(lambda: "SyntaxError" in one.error_log(), what="why")
    write(one.root / "app.py", APP.format(3))
    deadline = time.monotonic() + 10
    while one.get("a.example").status != 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert get(one) == "3 one 0"


@pytest.mark.parametrize(("revalidate", "protection"), [("'none'", "0"), ("'1h'", "0"), ("0", "'1h'")])
def test_what_the_settings_hold_back(edited: Callable[..., Any], revalidate: str, protection: str) -> None:
    one = edited(revalidate, protection)
    get(one)  # and looks for the first time
    write(one.root / "other.py", "NAME = 'two'")
    for _ in range(3):
        assert get(one) == "1 one 0"


def test_a_protected_file_shows_when_it_has_settled(edited: Callable[..., Any]) -> None:
    one = edited("0", "'1s'")
    get(one)
    write(one.root / "other.py", "NAME = 'two'")
    assert get(one) == "1 one 0"
    time.sleep(1.1)
    assert get(one) == "1 two 0"


def test_edits_under_load_lose_nobody(edited: Callable[..., Any]) -> None:
    one = edited()
    get(one)
    statuses: list[int] = []
    over = threading.Event()

    def visit() -> None:
        while not over.is_set():
            statuses.append(one.get("a.example").status)

    visitors = [threading.Thread(target=visit) for _ in range(4)]
    for visitor in visitors:
        visitor.start()
    for number in range(10):
        write(one.root / "other.py", f"NAME = 'n{number}'")
        time.sleep(0.15)
    over.set()
    for visitor in visitors:
        visitor.join()
    assert set(statuses) == {200} and len(statuses) > 40
    assert get(one) == "1 n9 0"


@pytest.mark.parametrize("more", ["requests_per_child = 0", "requests_per_child = 20"])
def test_in_processes_that_go_on(edited: Callable[..., Any], more: str) -> None:
    one = edited(more=more)
    assert get(one) == "1 one 0"
    write(one.root / "other.py", "NAME = 'two'")
    assert get(one) == "1 two 0"
