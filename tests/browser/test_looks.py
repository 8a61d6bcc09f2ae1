"""What pages look like: can all of it be read, on a phone and on a desk, by day and by night?

Contrast is that of WCAG 2.1, success criterion 1.4.3.  Each page is photographed into tmp_path, for people to look at.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
from daemon import Daemon
from visitor import Visitor

SMALLEST_TEXT = 12.0  # CSS pixels
LOWEST_CONTRAST = 4.5
WIDEST_LINE = 700.0  # CSS pixels: some 80 characters


class Page(NamedTuple):
    """What ``host``.localhost answers at ``path``: a status, and words that stand there."""

    host: str
    status: int
    words: str
    path: str = "/"

    @property
    def is_error(self) -> bool:
        return self.status >= 400


PAGES = (
    Page("nobody", 421, "421\nMisdirected Request\nThis server has no site of that name.\nitkwsgi"),
    Page(
        "import", 500, "500\nInternal Server Error\nThis site could not answer.\nWhoever runs this site finds the cause"
    ),
    Page(
        "work", 500, "500\nInternal Server Error\nThis site could not answer.\nWhoever runs this site finds the cause"
    ),
    Page("flask", 200, "Guest book"),
    Page("flask", 404, "Not found", "/nowhere"),
    Page("django", 200, "Library"),
    Page("django", 404, "Not found", "/nowhere"),
)


def luminance(color: list[float]) -> float:
    """Relative luminance of an sRGB color, 0 to 1 (WCAG 2.1)."""
    red, green, blue = (part / 3294.6 if part <= 10 else ((part / 255 + 0.055) / 1.055) ** 2.4 for part in color)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: list[float], other: list[float]) -> float:
    """From 1, nothing to be seen, to 21, black on white (WCAG 2.1)."""
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.host + page.path.replace("/", "-").rstrip("-"))
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_can_be_read(visitor: Visitor, tmp_path: Path, scheme: str, width: int, page: Page) -> None:
    visitor.prefer(scheme)
    visitor.look_through(width)
    visitor.go(f"{page.host}.localhost", page.path)
    visitor.photograph(tmp_path / "page.png")
    assert visitor.status == page.status
    assert page.words in visitor.text
    assert visitor.driver.title
    assert visitor.page_width <= width, "there is something beyond the right edge"
    for text in visitor.texts():
        assert text["size"] >= SMALLEST_TEXT, text
        assert contrast(text["ink"], text["paper"]) >= LOWEST_CONTRAST, text
        assert text["left"] >= 0 and text["right"] <= width, text
        assert text["right"] - text["left"] <= WIDEST_LINE or not page.is_error, text
    ground = luminance(visitor.ground)
    assert ground < 0.1 if scheme == "dark" else ground > 0.8
    assert bool(visitor.complaints()) == page.is_error


def test_an_error_page_tells_its_id_and_not_the_cause(visitor: Visitor, server: Daemon) -> None:
    visitor.go("import.localhost")
    assert "only the log" not in visitor.text
    error_id = visitor.find("code").text
    below = server.error_log().partition(f"[{error_id}]")[2]
    assert "RuntimeError: only the log may say this" in below
    assert len(visitor.complaints()) == 1
