from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from werkzeug.test import Client


@pytest.fixture
def guestbook(load_app):
    return load_app("flask/app.py")


@pytest.fixture
def client(guestbook, visitor):
    return visitor(guestbook.application)


def test_starts_empty_and_names_its_process(client: Client) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert "Nobody has written yet." in page.text
    assert f"process {os.getpid()} of user {os.getuid()}." in page.text


def test_an_entry_is_kept_and_thanked_for_once(client: Client) -> None:
    answer = client.post("/", data={"name": "Ada", "message": "First line\r\nsecond"})
    assert (answer.status_code, answer.location) == (303, "/")
    page = client.get("/").text
    assert "Thank you for writing." in page
    assert "Ada" in page and "First line\nsecond" in page
    assert "Thank you" not in client.get("/").text


def test_the_newest_entry_comes_first(client: Client) -> None:
    for name in ("Ada", "Grace"):
        client.post("/", data={"name": name, "message": "hello"})
    page = client.get("/").text
    assert page.index("Grace") < page.index("Ada")


@pytest.mark.parametrize(
    ("name", "message", "complaint"),
    [
        ("", "hello", "Please give a name"),
        ("x" * 41, "hello", "Please give a name"),
        ("Ada", " \n ", "Please write a message"),
        ("Ada", "x" * 501, "Please write a message"),
    ],
)
def test_a_wrong_entry_is_not_kept(client: Client, name: str, message: str, complaint: str) -> None:
    answer = client.post("/", data={"name": name, "message": message})
    assert answer.status_code == 422
    assert complaint in answer.text
    assert "Nobody has written yet." in client.get("/").text


def test_what_was_typed_stays_in_the_form(client: Client) -> None:
    assert 'value="Ada &amp; Grace"' in client.post("/", data={"name": "Ada & Grace", "message": ""}).text


def test_markup_is_shown_not_obeyed(client: Client) -> None:
    client.post("/", data={"name": "<b>Ada</b>", "message": "<script>alert(1)</script>"})
    page = client.get("/").text
    assert "<script>" not in page and "<b>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_serves_its_style_sheet(client: Client) -> None:
    answer = client.get("/static/style.css")
    assert (answer.status_code, answer.mimetype) == (200, "text/css")


def test_what_is_not_there_says_so_and_leads_back(client: Client) -> None:
    answer = client.get("/nowhere")
    assert (answer.status_code, answer.mimetype) == (404, "text/html")
    assert '<a href="/">' in answer.text


def test_two_processes_share_key_and_entries(load_app, visitor, guestbook, client: Client, tmp_path: Path) -> None:
    client.post("/", data={"name": "Ada", "message": "hello"})
    another = load_app("flask/app.py")
    assert another.application is not guestbook.application
    assert another.application.secret_key == guestbook.application.secret_key
    assert "Ada" in visitor(another.application).get("/").text
    assert stat.S_IMODE((tmp_path / "secret-key").stat().st_mode) == 0o600
