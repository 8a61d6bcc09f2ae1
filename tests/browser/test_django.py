"""A visitor of the library, who turns out to be its admin."""

from __future__ import annotations

from pathlib import Path

import pytest
from tenants import Tenant
from visitor import Visitor

HOST = "django.localhost"


@pytest.fixture
def password(data: Path) -> str:
    return (data / "django" / "admin-password").read_text().strip()


def log_in(visitor: Visitor, password: str) -> None:
    visitor.go(HOST)
    visitor.follow("a.button")
    visitor.type("input[name=username]", "admin")
    visitor.type("input[name=password]", password)
    visitor.follow("input[type=submit]")


def test_the_login_page_has_its_style(visitor: Visitor) -> None:
    visitor.go(HOST, "/admin/")
    assert visitor.path == "/admin/login/"
    loaded = visitor.style_sheets()
    assert {"/static/admin/css/base.css", "/static/admin/css/login.css"} <= loaded.keys()
    assert set(loaded.values()) == {200}
    assert visitor.style("#header", "background-color") == "rgba(65, 118, 144, 1)"  # base.css: --secondary
    assert visitor.style("#header", "display") == "flex"


def test_a_wrong_password_is_refused(visitor: Visitor) -> None:
    log_in(visitor, "guessed")
    assert visitor.path == "/admin/login/"
    assert "Please enter the correct username and password" in visitor.text


def test_the_admin_adds_a_book_and_leaves(
    visitor: Visitor, password: str, data: Path, tenants: dict[str, Tenant]
) -> None:
    log_in(visitor, password)
    assert visitor.path == "/admin/"
    assert "WELCOME, ADMIN" in visitor.text.upper()
    visitor.follow("#content a[href='/admin/library/book/add/']")
    for field, text in (("title", "Middlemarch"), ("author", "George Eliot"), ("year", "1871")):
        visitor.type(f"input[name={field}]", text)
    visitor.follow("input[name=_save]")
    assert "Middlemarch (George Eliot, 1871)” was added successfully." in visitor.text

    visitor.go(HOST)
    assert "Middlemarch George Eliot, 1871" in " ".join(visitor.text.split())
    assert (data / "django" / "library.db").stat().st_uid == tenants["django"].uid

    visitor.go(HOST, "/admin/")
    visitor.follow("#logout-form button")
    assert "Logged out" in visitor.text
    visitor.go(HOST, "/admin/")
    assert visitor.path == "/admin/login/"
