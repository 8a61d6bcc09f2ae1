"""The site of the settings, phpinfo() for Python, and the page of a traceback, as a person sees them.

A server of their own: what the tests expect stands in it, and nobody else's edits to itk.toml move it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from daemon import Daemon
from tenants import Tenant
from visitor import Visitor

from tests.browser.test_looks import LOWEST_CONTRAST, SMALLEST_TEXT, contrast, luminance

SITE = Path(__file__).parents[2] / "apps/settings"
HOST = "settings.localhost"
UID = 50004
SECRET = "plum-orchard-at-dusk"
TOML = f"""
[[vhost]]
name = "{HOST}"
root = "{SITE}"
public = "{SITE}/public"
app = "app:application"
env = {{ SECRET_KEY = "{SECRET}", CACHE = "redis://jess:{SECRET}@cache:6379/0" }}
{Tenant(UID).toml}
[vhost.value]
timezone = "Europe/Berlin"
request_timeout = "2s"
[vhost.admin_value]
memory_limit = "128M"
max_execution_time = "1s"
post_max_size = "64K"
[[vhost.directory]]
path = "{SITE}/public/reports"
admin_value = {{ memory_limit = "256M", max_execution_time = "2s" }}
[[vhost.location]]
path = "/uploads/"
admin_value = {{ post_max_size = "1M" }}
"""


@pytest.fixture(scope="module")
def server(place: Path) -> Iterator[Daemon]:
    """In the place of the one that serves the sample sites."""
    with Daemon(place / "settings", TOML) as one:
        yield one


@pytest.fixture
def complaining(visitor: Visitor) -> Iterator[Visitor]:
    """A visitor of pages whose status is an error's, of which the browser complains."""
    yield visitor
    assert all("Failed to load resource: the server responded with" in one for one in visitor.complaints())


def rows(visitor: Visitor, table: str = "table") -> dict[str, list[str]]:
    """A table: the first cell of each row, and the others."""
    script = f"return [...document.querySelectorAll('{table} tbody tr')].map(r => [...r.cells].map(c => c.innerText))"
    found: list[list[str]] = visitor.driver.execute_script(script)
    return {row[0]: row[1:] for row in found}


def line_of(server: Daemon, text: str) -> str:
    """Where that stands in the configuration, as settings tell it."""
    lines = server.config.read_text().splitlines()
    return f"{server.config}:{next(number for number, line in enumerate(lines, 1) if text in line)}"


def press(visitor: Visitor, folder: str, name: str) -> None:
    visitor.go(HOST, folder)
    visitor.follow(f"form[action={name}] button")


# --- which settings hold where


@pytest.mark.parametrize(
    ("folder", "name", "value", "said"),
    [
        ("/", "memory_limit", "128 MB", 'memory_limit = "128M"'),
        ("/", "display_errors", "False", "default"),
        ("/", "timezone", "Europe/Berlin", "timezone ="),
        ("/reports/", "memory_limit", "256 MB", 'memory_limit = "256M"'),
        ("/reports/", "timezone", "Asia/Tokyo", "public/reports/.itk.toml:"),
        ("/reports/", "post_max_size", "64 KB", 'post_max_size = "64K"'),
        ("/uploads/", "post_max_size", "1 MB", 'post_max_size = "1M"'),
        ("/uploads/", "memory_limit", "128 MB", 'memory_limit = "128M"'),
    ],
)
def test_each_folder_tells_its_settings_and_where_they_stand(
    visitor: Visitor, server: Daemon, folder: str, name: str, value: str, said: str
) -> None:
    visitor.go(HOST, folder)
    found, where = rows(visitor)[name]
    assert found == value
    assert where.startswith(line_of(server, said) if "=" in said else said)
    assert f"of user {Tenant(UID).uid}" in visitor.text


def test_what_differs_from_the_site_as_a_whole_is_marked(visitor: Visitor) -> None:
    visitor.go(HOST, "/uploads/")
    marked = visitor.driver.execute_script("return [...document.querySelectorAll('.own th')].map(one => one.innerText)")
    assert marked == ["post_max_size"]
    visitor.go(HOST)
    assert visitor.driver.execute_script("return document.querySelectorAll('.own').length") == 0


# --- what they do


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("memory", "MemoryError, after "),
        ("time", "TimeLimitExceeded, after 1.0 s of work: max_execution_time"),
        ("set", "umask was 0022, now it is 0077. memory_limit stays as it is: memory_limit is fixed at "),
    ],
)
def test_a_limit_that_the_site_itself_meets(visitor: Visitor, name: str, words: str) -> None:
    press(visitor, "/", name)
    assert visitor.status == 200
    assert words in visitor.find(".said").text


def test_a_folder_with_more_memory_gives_more(visitor: Visitor) -> None:
    taken = []
    for folder in ("/", "/reports/"):
        press(visitor, folder, "memory")
        taken.append(int(visitor.find(".said").text.partition("after ")[2].split()[0]))
    assert 64 < taken[0] < 128 < taken[1] < 256


def test_who_waits_too_long_is_told_so(complaining: Visitor, server: Daemon) -> None:
    press(complaining, "/", "wait")
    assert complaining.status == 504
    error_id = complaining.find("code").text
    assert f"[{error_id}] POST /wait: request_timeout: 2 s are over" in server.error_log()


@pytest.mark.parametrize(("folder", "status"), [("/", 413), ("/uploads/", 200)])
def test_a_file_may_be_larger_where_more_may_be_sent(
    complaining: Visitor, tmp_path: Path, folder: str, status: int
) -> None:
    file = tmp_path / "large"
    file.write_bytes(bytes(100_000))
    complaining.go(HOST, folder)
    complaining.find("input[type=file]").send_keys(str(file))
    complaining.follow("form[action=send] button")
    assert complaining.status == status
    assert (" bytes came in." in complaining.text) == (status == 200)


def test_display_errors_shows_the_cause_and_its_absence_does_not(complaining: Visitor, server: Daemon) -> None:
    press(complaining, "/", "fail")
    assert complaining.status == 500 and "ZeroDivisionError" not in complaining.text
    assert f"POST /fail: failed [{complaining.find('code').text}]" in server.error_log()
    press(complaining, "/reports/", "fail")
    assert complaining.status == 500
    assert complaining.find("h1").text.startswith("ZeroDivisionError: ")
    assert "return str(1 // 0)" in complaining.find("li b").text
    assert complaining.find("li u").text == "1 // 0"
    assert "itkwsgi/runtime" not in complaining.text
    assert f"POST /reports/fail: failed [{complaining.find('p code').text}]" in server.error_log()


def test_the_traceback_can_be_had_as_text(complaining: Visitor) -> None:
    press(complaining, "/reports/", "fail")
    assert "Traceback (most recent call last)" not in complaining.text
    complaining.click("summary")
    assert "Traceback (most recent call last)" in complaining.find("details pre").text


# --- phpinfo()


def test_info_says_who_and_under_which_settings(visitor: Visitor, server: Daemon) -> None:
    visitor.go(HOST, "/info")
    assert visitor.status == 200
    assert f"(uid {Tenant(UID).uid})" in rows(visitor, "#identity + table")["user"][0]
    where = line_of(server, 'memory_limit = "128M"') + " (fixed)"
    assert rows(visitor, "#settings + table")["memory_limit"] == ["128M", "128M", "ALL", where, "kernel"]
    assert rows(visitor, "#limits-of-the-kernel + table")["RLIMIT_DATA"] == [str(128 * 2**20)] * 2


def test_info_hides_secrets(visitor: Visitor) -> None:
    visitor.go(HOST, f"/info?token={SECRET}&a=1")
    assert SECRET not in visitor.driver.page_source
    found = rows(visitor, "#process-environment + table")
    assert found["SECRET_KEY"] == ["(hidden)"] and found["CACHE"] == ["redis://jess:(hidden)@cache:6379/0"]
    assert rows(visitor, "#request + table")["QUERY_STRING"] == ["token=(hidden)&a=1"]


def test_info_needs_nothing_but_itself(visitor: Visitor) -> None:
    visitor.go(HOST, "/info")
    loaded = "return performance.getEntriesByType('resource').map(e => e.name).filter(n => !n.endsWith('/favicon.ico'))"
    assert visitor.driver.execute_script(loaded) == []
    assert visitor.driver.execute_script("return document.scripts.length") == 0
    aims = "return [...document.querySelectorAll('nav a')].every(a => document.querySelector(a.getAttribute('href')))"
    assert visitor.driver.execute_script(aims) is True


# --- looks


@pytest.mark.parametrize("page", ["/info", "/reports/", "/reports/fail"])
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_can_be_read(complaining: Visitor, tmp_path: Path, scheme: str, width: int, page: str) -> None:
    complaining.prefer(scheme)
    complaining.look_through(width)
    if page == "/reports/fail":
        press(complaining, "/reports/", "fail")
    else:
        complaining.go(HOST, page)
    complaining.photograph(tmp_path / "page.png")
    assert complaining.page_width <= width, "there is something beyond the right edge"
    for text in complaining.texts():
        assert text["size"] >= SMALLEST_TEXT, text
        assert contrast(text["ink"], text["paper"]) >= LOWEST_CONTRAST, text
        assert text["left"] >= 0 and text["right"] <= width, text
    ground = luminance(complaining.ground)
    assert ground < 0.1 if scheme == "dark" else ground > 0.8
