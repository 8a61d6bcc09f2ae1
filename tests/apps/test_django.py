"""Django keeps one set of settings per process, so these share one site."""

from __future__ import annotations

import re
import stat
import sys
from pathlib import Path

import pytest
from werkzeug.test import Client

ROOT = Path(__file__).parent.parent.parent / "apps" / "django"
HOST = "http://django.localhost"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("django")


@pytest.fixture(scope="module")
def client(data: Path, visitor):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATA_DIR", str(data))
        patch.setenv("DJANGO_SETTINGS_MODULE", "library.settings")
        patch.syspath_prepend(ROOT)
        from library.wsgi import application
        from prepare import prepare

        prepare()
        prepare()  # a second time changes nothing
        yield visitor(application)
        for name in [name for name in sys.modules if name.split(".")[0] in ("library", "prepare")]:
            del sys.modules[name]


@pytest.fixture
def admin(client: Client, data: Path) -> Client:
    """Logged in as the first user."""
    password = (data / "admin-password").read_text().strip()
    answer = log_in(client, password)
    assert (answer.status_code, answer.location) == (302, "/admin/")
    return client


def log_in(client: Client, password: str):
    form = client.get("/admin/login/", base_url=HOST).text
    data = {"username": "admin", "password": password, "csrfmiddlewaretoken": token(form), "next": "/admin/"}
    return client.post("/admin/login/", base_url=HOST, data=data)


def token(form: str) -> str:
    match = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form)
    assert match is not None
    return match[1]


def test_lists_books_and_leads_to_the_admin(client: Client) -> None:
    page = client.get("/", base_url=HOST)
    assert page.status_code == 200
    assert page.text.count("<li>") == 3
    assert "<strong>To the Lighthouse</strong> <span>Virginia Woolf, 1927</span>" in page.text
    assert 'href="/admin/"' in page.text


def test_answers_for_its_own_name_only(client: Client) -> None:
    assert client.get("/", base_url="http://elsewhere.example").status_code == 400


def test_what_is_not_there_says_so_and_leads_back(client: Client) -> None:
    answer = client.get("/nowhere", base_url=HOST)
    assert (answer.status_code, answer.mimetype) == (404, "text/html")
    assert 'href="/">Library</a>' in answer.text


def test_the_admin_asks_who_is_there(client: Client) -> None:
    answer = client.get("/admin/", base_url=HOST)
    assert (answer.status_code, answer.location) == (302, "/admin/login/?next=/admin/")
    assert "Please enter the correct username" in log_in(client, "guessed").text


@pytest.mark.parametrize("path", ["/static/admin/css/base.css", "/static/library/style.css"])
def test_style_sheets_are_served(client: Client, path: str) -> None:
    answer = client.get(path, base_url=HOST)
    assert (answer.status_code, answer.mimetype) == (200, "text/css")
    assert answer.data


def test_a_book_added_in_the_admin_is_on_the_page(admin: Client) -> None:
    form = admin.get("/admin/library/book/add/", base_url=HOST).text
    book = {"title": "<Emma>", "author": "Jane Austen", "year": "1815", "csrfmiddlewaretoken": token(form)}
    answer = admin.post("/admin/library/book/add/", base_url=HOST, data=book)
    assert (answer.status_code, answer.location) == (302, "/admin/library/book/")
    assert "&lt;Emma&gt;" in admin.get("/", base_url=HOST).text


def test_secrets_are_for_the_site_alone(client: Client, data: Path) -> None:
    for name in ("admin-password", "secret-key"):
        assert stat.S_IMODE((data / name).stat().st_mode) == 0o600
