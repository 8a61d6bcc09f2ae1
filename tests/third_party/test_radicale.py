"""Radicale: a calendar client's day, two users who may not see each other's, files that are the site's.

CalDAV is RFC 4791, what stands below it (PROPFIND, If-Match) RFC 4918 and RFC 9110.
"""

from __future__ import annotations

import base64
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from daemon import Answer, Daemon
from tenants import Tenant

HOST = "radicale.localhost"
DAV = {"d": "DAV:", "c": "urn:ietf:params:xml:ns:caldav"}

EVENT = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//itkwsgi//tests//EN
BEGIN:VEVENT
UID:{uid}
DTSTAMP:20260101T000000Z
DTSTART:202601{day:02}T100000Z
DTEND:202601{day:02}T110000Z
SUMMARY:{summary}
END:VEVENT
END:VCALENDAR
"""
MKCALENDAR = """<?xml version="1.0" encoding="utf-8"?>
<c:mkcalendar xmlns:d="DAV:" xmlns:c="urn:ietf:params:xml:ns:caldav">
  <d:set><d:prop><d:displayname>Büro</d:displayname></d:prop></d:set>
</c:mkcalendar>
"""
PROPFIND = """<?xml version="1.0" encoding="utf-8"?>
<d:propfind xmlns:d="DAV:"><d:prop><d:displayname/><d:getetag/></d:prop></d:propfind>
"""
REPORT = """<?xml version="1.0" encoding="utf-8"?>
<c:calendar-query xmlns:d="DAV:" xmlns:c="urn:ietf:params:xml:ns:caldav">
  <d:prop><d:getetag/><c:calendar-data/></d:prop>
  <c:filter><c:comp-filter name="VCALENDAR"><c:comp-filter name="VEVENT">
    <c:time-range start="20260110T000000Z" end="20260120T000000Z"/>
  </c:comp-filter></c:comp-filter></c:filter>
</c:calendar-query>
"""

Ask = Callable[..., Answer]


def event(uid: str, day: int = 1, summary: str = "Meeting") -> bytes:
    return EVENT.format(uid=uid, day=day, summary=summary).replace("\n", "\r\n").encode()


def member(server: Daemon, passwords: dict[str, str], name: str) -> Ask:
    """Requests of one user."""
    token = base64.b64encode(f"{name}:{passwords[name]}".encode()).decode()

    def ask(method: str, path: str, body: bytes | str = b"", **headers: str) -> Answer:
        fields = {"Authorization": f"Basic {token}", **{key.replace("_", "-"): value for key, value in headers.items()}}
        data = body.encode() if isinstance(body, str) else body
        return server.ask(method, HOST, path, body=data or None, headers=fields)

    return ask


@pytest.fixture
def alice(server: Daemon, passwords: dict[str, str]) -> Ask:
    return member(server, passwords, "alice")


@pytest.fixture
def bob(server: Daemon, passwords: dict[str, str]) -> Ask:
    return member(server, passwords, "bob")


@pytest.fixture
def calendar(alice: Ask) -> Iterator[str]:
    """Alice's, with one event; its path."""
    path = "/alice/office/"
    assert alice("MKCALENDAR", path, MKCALENDAR, Content_Type="application/xml").status == 201
    assert alice("PUT", f"{path}first.ics", event("first"), Content_Type="text/calendar").status == 201
    yield path
    assert alice("DELETE", path).status == 200
    assert alice("PROPFIND", path).status == 404


def multistatus(answer: Answer) -> dict[str, ElementTree.Element]:
    """The responses of a 207, by path (RFC 4918 section 13)."""
    assert answer.status == 207
    found = {}
    for response in ElementTree.fromstring(answer.body).findall("d:response", DAV):
        href = response.find("d:href", DAV)
        assert href is not None and href.text
        found[href.text] = response
    return found


def text_in(response: ElementTree.Element, path: str) -> str:
    found = response.find(path, DAV)
    assert found is not None and found.text
    return found.text


def test_its_pages_lead_somewhere(server: Daemon) -> None:
    first = server.get(HOST, "/")
    assert (first.status, first.headers["location"]) == (302, "/.web")
    page = server.get(HOST, "/.web/")
    assert page.status == 200
    assert "<title>Radicale Web Interface</title>" in page.text


def test_what_it_can_do(alice: Ask) -> None:
    answer = alice("OPTIONS", "/")
    assert answer.status == 200
    assert "calendar-access" in answer.headers["dav"]
    assert {"MKCALENDAR", "PROPFIND", "REPORT"} <= set(answer.headers["allow"].split(", "))


def test_a_calendar_lists_its_events(alice: Ask, calendar: str) -> None:
    alice("PUT", f"{calendar}second.ics", event("second", day=15))
    listed = multistatus(alice("PROPFIND", calendar, PROPFIND, Depth="1"))
    assert set(listed) == {calendar, f"{calendar}first.ics", f"{calendar}second.ics"}
    assert text_in(listed[calendar], ".//d:displayname") == "Büro"
    assert set(multistatus(alice("PROPFIND", calendar, PROPFIND, Depth="0"))) == {calendar}


def test_a_report_finds_what_happens_in_a_time(alice: Ask, calendar: str) -> None:
    alice("PUT", f"{calendar}second.ics", event("second", day=15, summary="Frühstück"))
    found = multistatus(alice("REPORT", calendar, REPORT, Depth="1"))
    assert set(found) == {f"{calendar}second.ics"}
    assert "SUMMARY:Frühstück" in text_in(found[f"{calendar}second.ics"], ".//c:calendar-data")


def test_an_event_comes_back_as_it_was_put(alice: Ask, calendar: str) -> None:
    got = alice("GET", f"{calendar}first.ics")
    assert got.status == 200
    assert got.headers["content-type"].startswith("text/calendar")
    assert "UID:first\r\n" in got.text
    assert alice("HEAD", f"{calendar}first.ics").headers["etag"] == got.headers["etag"]


def test_nobody_overwrites_what_they_have_not_seen(alice: Ask, calendar: str) -> None:
    path = f"{calendar}first.ics"
    seen = alice("GET", path).headers["etag"]
    changed = alice("PUT", path, event("first", summary="Moved"), If_Match=seen)
    assert changed.status == 204 and changed.headers["etag"] != seen
    assert alice("PUT", path, event("first", summary="Lost"), If_Match=seen).status == 412
    assert alice("PUT", path, event("first", summary="Lost"), If_None_Match="*").status == 412
    assert alice("DELETE", path, If_Match=seen).status == 412
    assert "SUMMARY:Moved" in alice("GET", path).text


def test_what_is_deleted_is_gone(alice: Ask, calendar: str) -> None:
    path = f"{calendar}first.ics"
    assert alice("DELETE", path).status == 200
    assert alice("GET", path).status == 404
    assert alice("DELETE", path).status == 404


def test_a_password_is_asked_for(server: Daemon, calendar: str) -> None:
    asked = server.ask("PROPFIND", HOST, calendar)
    assert asked.status == 401
    assert asked.headers["www-authenticate"].startswith("Basic ")
    assert member(server, {"alice": "guessed"}, "alice")("PROPFIND", calendar).status == 401


def test_what_is_alices_is_not_bobs(alice: Ask, bob: Ask, calendar: str) -> None:
    assert bob("PROPFIND", "/bob/", PROPFIND, Depth="0").status == 207
    for method, path in (("GET", f"{calendar}first.ics"), ("PROPFIND", calendar), ("DELETE", calendar)):
        assert bob(method, path).status == 403, method
    assert bob("PUT", f"{calendar}his.ics", event("his")).status == 403
    assert bob("MKCALENDAR", "/alice/his/", MKCALENDAR).status == 403
    assert alice("GET", f"{calendar}first.ics").status == 200


def test_many_write_at_once(alice: Ask, calendar: str) -> None:
    """Each request is a process of its own, and their locks hold between processes."""
    stored: list[int] = []

    def put(number: int) -> None:
        stored.append(alice("PUT", f"{calendar}{number}.ics", event(f"many-{number}", day=number)).status)

    writers = [threading.Thread(target=put, args=(number,)) for number in range(1, 9)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert stored == [201] * 8
    assert len(multistatus(alice("PROPFIND", calendar, PROPFIND, Depth="1"))) == 1 + 1 + 8


def test_what_it_keeps_is_its_users_alone(
    calendar: str, storage: Path, server: Daemon, tenants: dict[str, Tenant]
) -> None:
    kept = [storage, *storage.rglob("*")]
    assert storage / "collection-root" / calendar.strip("/") / "first.ics" in kept
    assert {(path.stat().st_uid, path.stat().st_gid) for path in kept} == {
        (tenants["radicale"].uid, tenants["radicale"].gid)
    }
    assert stat.S_IMODE(storage.stat().st_mode) == 0o700
