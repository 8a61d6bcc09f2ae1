"""phpinfo() for Python: what it shows agrees with the kernel, and secrets stay hidden."""

from __future__ import annotations

import os
import resource
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import itkwsgi.info
from itkwsgi.ini.registry import SETTINGS
from itkwsgi.runtime.info import HIDDEN, Section, account, sections, server, shown, without_secrets
from itkwsgi.runtime.info_page import html, text
from tests.runtime.test_settings import governing

MEGA = 2**20
PAGE_TAGS = {"html", "meta", "title", "style", "h1", "nav", "a", "h2", "table", "thead", "tbody", "tr", "th", "td"}


def asked(**environ: Any) -> tuple[dict[str, str], str]:
    said: list[Any] = []
    whole = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "HTTP_HOST": "a.example", **environ}
    body = b"".join(itkwsgi.info.application(whole, lambda *args: said.append(args)))
    status, headers = said[0]
    assert status == "200 OK" and dict(headers)["Content-Length"] == str(len(body))
    return dict(headers), body.decode()


@pytest.fixture
def settings() -> Any:
    site = {"memory_limit": (64 * MEGA, True, "itk.toml:9"), "open_basedir": (("/srv/a", "/usr"), False, "itk.toml:3")}
    return governing(site).settings


def rows(page: str, title: str) -> dict[str, list[str]]:
    part = page.partition(f"== {title} ==\n")[2].partition("\n\n== ")[0]
    found = [line.split("\t") for line in part.splitlines()]
    return {row[0]: row[1:] for row in found}


def test_every_setting_with_where_it_comes_from(settings: Any) -> None:
    _, page = asked(QUERY_STRING="format=text", **{"itkwsgi.settings": settings})
    found = rows(page, "Settings")
    assert list(found) == [setting.name for setting in SETTINGS]
    assert found["memory_limit"] == ["64M", "64M", "ALL", "itk.toml:9 (fixed)", "kernel"]
    assert found["open_basedir"] == ["/srv/a, /usr", "/srv/a, /usr", "ALL", "itk.toml:3", "kernel"]
    assert found["display_errors"] == ["off", "off", "ALL", "default", "runtime"]


def test_a_value_that_is_not_the_sites_is_marked(settings: Any) -> None:
    assert 'class="own"' not in asked(**{"itkwsgi.settings": settings})[1]
    settings.importing = False
    settings.set("recursion_limit", 1234)
    try:
        page = asked(**{"itkwsgi.settings": settings})[1]
    finally:
        settings.restore()
    assert page.count('class="own"') == 1
    assert '<tr class="own"><th>recursion_limit</th><td title="local value">1234</td>' in page


def test_it_says_what_the_kernel_says(settings: Any) -> None:
    _, page = asked(QUERY_STRING="format=text", **{"itkwsgi.settings": settings})
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert rows(page, "Limits of the kernel")["RLIMIT_NOFILE"] == [str(soft), str(hard)]
    assert rows(page, "Identity")["user"][0].endswith(f"(uid {os.getuid()})")
    mask = os.umask(0o027)
    try:
        assert rows(asked(QUERY_STRING="format=text")[1], "Walls")["umask"] == ["0027"]
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(mask)


@pytest.mark.parametrize(
    ("query", "accept", "kind"),
    [
        ("", "*/*", "html"),
        ("", "text/html", "html"),
        ("format=text", "text/html", "plain"),
        ("", "text/plain", "plain"),
    ],
)
def test_html_or_text(query: str, accept: str, kind: str) -> None:
    headers, page = asked(QUERY_STRING=query, HTTP_ACCEPT=accept)
    assert headers["Content-Type"] == f"text/{kind}; charset=utf-8" and headers["X-Robots-Tag"] == "noindex"
    assert page.startswith("<!doctype html>") == (kind == "html")


@pytest.mark.parametrize(
    "name",
    ["SECRET_KEY", "aws_secret_access_key", "API_TOKEN", "DB_PASSWORD", "MYSQL_PASS", "HTTP_AUTHORIZATION",
     "HTTP_COOKIE", "SENTRY_DSN", "MYSQL_PWD", "SLACK_WEBHOOK_URL",
     "DATABASE_URL", "GOOGLE_CREDENTIALS", "SESSION_ID", "HTTP_X_CSRF", "SSH_PRIVATE"],
)  # fmt: skip
def test_secrets_are_hidden(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(name, "plum-orchard") == HIDDEN
    monkeypatch.setenv(name, "plum-orchard")
    for query in ("", "format=text"):
        _, page = asked(QUERY_STRING=query, **{name: "plum-orchard"})
        assert "plum-orchard" not in page and name in page


@pytest.mark.parametrize(
    ("given_", "found"),
    [
        ("postgres://jess:plum@db/x?y", f"postgres://jess:{HIDDEN}@db/x?y"),
        ("see redis://:plum@h:1/0 now", f"see redis://:{HIDDEN}@h:1/0 now"),
        ("https://example.org/a:b@c", "https://example.org/a:b@c"),
        ("https://jess@example.org/", "https://jess@example.org/"),
        ("no url", "no url"),
        ('["redis://:plum@a","redis://u:plum@b"]', f'["redis://:{HIDDEN}@a","redis://u:{HIDDEN}@b"]'),
        ("amqp://jess:pl@um@host/v", f"amqp://jess:{HIDDEN}@host/v"),
        ("a=1&access_token=plum&b=2", f"a=1&access_token={HIDDEN}&b=2"),
        ("https://example.org/?api_key=plum#x", f"https://example.org/?api_key={HIDDEN}"),
        ("host=db password=plum dbname=x", f"host=db password={HIDDEN} dbname=x"),
        ("Endpoint=sb://x/;SharedAccessKey=plum=;", f"Endpoint=sb://x/;SharedAccessKey={HIDDEN};"),
        ("text/html;q=0.9", "text/html;q=0.9"),
    ],
)
def test_secrets_within_a_text(given_: str, found: str) -> None:
    assert without_secrets(given_) == found


def test_other_objects_show_their_type_and_no_more() -> None:
    assert shown("wsgi.input", object()) == "<builtins.object>"
    assert shown("app.state", ("plum", b"orchard")) == "<builtins.tuple>"
    assert shown("wsgi.version", (1, 0)) == "(1, 0)"


def test_a_user_without_an_account_or_whose_name_may_not_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    assert account(0) == "root" and account(4_000_000_001) == "no account"

    def refused(uid: int) -> None:
        raise PermissionError

    monkeypatch.setattr("pwd.getpwuid", refused)
    assert account(0) == "no account"


def test_how_it_is_served() -> None:
    for once, answer in ((True, "yes"), (False, "no: it serves several")):
        assert ("a process for each request", answer) in list(server({"wsgi.run_once": once}))


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)


@given(st.text(), st.text())
def test_whatever_it_shows_is_escaped(name: str, value: str) -> None:
    section = Section("Request", [(name, value, value)], ("a", "b", "c"))
    parser = Tags()
    parser.feed(html([section], value))
    assert parser.tags <= PAGE_TAGS
    assert text([section], "title").startswith("title\n")


def test_it_says_nothing_of_settings_where_there_are_none() -> None:
    assert "Settings" not in [section.title for section in sections({})]
