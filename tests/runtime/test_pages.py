"""The pages a site's process sends by itself: the front's, for every status there is."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from itkwsgi.front.pages import make_page
from itkwsgi.runtime import pages
from itkwsgi.runtime.pages import STATUSES, PageApp, answer_html

RUNTIME = Path(pages.__file__).parent


def answered(app: Any) -> tuple[str, dict[str, str], bytes]:
    said: list[Any] = []
    body = b"".join(app({}, lambda *args: said.append(args)))
    return said[0][0], dict(said[0][1]), body


@pytest.mark.parametrize("status", sorted(STATUSES))
def test_a_page_is_the_fronts(status: int) -> None:
    """A visitor need not know which of our processes refused."""
    line, headers, body = answered(PageApp(status, "abc123def456"))
    page = make_page(status, error_id="abc123def456")
    assert line == f"{page.status} {page.reason}"
    assert headers == {**dict(page.fields), "Content-Length": str(len(body))}
    if status != 403:  # the front has none: its words would be werkzeug's
        assert body == page.body


def test_a_page_has_the_id_it_was_given() -> None:
    assert b"abc123def456" in answered(PageApp(504, "abc123def456"))[2]
    assert b"abc123def456" not in answered(PageApp(504, "0123456789ab"))[2]


def refused_with(path: Path) -> list[int]:
    """The statuses of each ClientError in a source file."""
    return [
        ast.literal_eval(node.args[0])
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "ClientError"
    ]


def test_there_is_a_page_for_each_refusal() -> None:
    found = {status for path in RUNTIME.glob("*.py") for status in refused_with(path)}
    assert {403, 408, 413} <= found <= set(STATUSES)


def test_a_page_takes_the_place_of_what_the_app_began() -> None:
    """PEP 3333: only with exc_info may start_response be called a second time."""
    said: list[Any] = []
    assert answer_html("500 Sorry", b"<p>", lambda *args: said.append(args)) == [b"<p>"]
    assert len(said[0]) == 3 and said[0][2]
