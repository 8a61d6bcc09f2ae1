"""A visitor of the guest book."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tenants import Tenant
from visitor import Visitor

HOST = "flask.localhost"
SCRIPT = "<script>document.title = 'obeyed'</script>"


@pytest.fixture
def guest(visitor: Visitor) -> Visitor:
    visitor.go(HOST)
    return visitor


def write(guest: Visitor, name: str, message: str) -> None:
    guest.type("input[name=name]", name)
    guest.type("textarea[name=message]", message)
    guest.follow("button")


def test_an_empty_form_is_not_sent(guest: Visitor) -> None:
    guest.click("button")
    assert guest.find("input[name=name]").get_property("validationMessage")
    assert guest.driver.execute_script("return document.activeElement.name") == "name"
    assert guest.status == 200


def test_a_blank_form_is_sent_and_refused(guest: Visitor) -> None:
    write(guest, "  ", "  ")
    assert guest.status == 422
    assert guest.text.count("Please ") == 2
    assert "Please give a name of at most 40 characters." in guest.text
    assert "Thank you" not in guest.text
    notice = guest.style(".notice", "color")
    assert notice != guest.style("h1", "color"), "an error looks like one"
    # The browser says so, too.
    (complaint,) = guest.complaints()
    assert "422" in complaint


def test_an_entry_is_kept_and_its_markup_shown(guest: Visitor, data: Path, tenants: dict[str, Tenant]) -> None:
    write(guest, "Ada", f"Hello\n{SCRIPT}")
    assert guest.status == 200
    assert "Thank you for writing." in guest.text
    for _ in range(2):
        assert guest.driver.title == "Guest book"
        assert guest.find(".message").text == f"Hello\n{SCRIPT}"
        assert guest.find("article footer").text.startswith("Ada ")
        guest.driver.refresh()
    assert "Thank you" not in guest.text
    assert (data / "flask" / "guestbook.db").stat().st_uid == tenants["flask"].uid


def test_each_load_is_another_process_of_the_same_user(guest: Visitor, tenants: dict[str, Tenant]) -> None:
    seen = set()
    for _ in range(3):
        match = re.search(r"process (\d+) of user (\d+)\.", guest.text)
        assert match is not None
        seen.add(match[1])
        assert int(match[2]) == tenants["flask"].uid
        guest.driver.refresh()
    assert len(seen) == 3


def test_has_its_style(guest: Visitor) -> None:
    assert guest.style_sheets() == {"/static/style.css": 200}
    assert guest.style("form", "display") == "grid"
