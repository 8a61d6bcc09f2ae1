"""Error pages and their ids."""

import re

from itkwsgi.front.pages import make_page
from itkwsgi.runtime.failures import FailedApp, log_error, new_id


def test_ids_can_be_found_and_differ():
    ids = {new_id() for _ in range(200)}
    assert len(ids) == 200
    assert all(re.fullmatch(r"[0-9a-f]{12}", each) and re.search(r"\d", each) for each in ids)


def test_the_page_has_the_id_and_not_the_cause():
    said = []
    body = b"".join(FailedApp("abc123def456")({}, lambda *args: said.append(args)))
    assert said[0][0].startswith("500 ")
    assert b"abc123def456" in body
    assert dict(said[0][1])["Content-Length"] == str(len(body))


def test_the_page_is_the_fronts():
    """A visitor need not know which of our processes noticed a failure."""
    said = []
    body = b"".join(FailedApp("abc123def456")({}, lambda *args: said.append(args)))
    page = make_page(500, error_id="abc123def456")
    assert body == page.body
    assert said[0][0] == f"{page.status} {page.reason}"
    assert set(page.fields) <= set(said[0][1])


def test_the_log_has_the_id_and_the_traceback(capfd):
    try:
        raise RuntimeError("the cause")
    except RuntimeError as error:
        log_error("GET /: failed", error, "abc123def456")
    logged = capfd.readouterr().err
    assert logged.startswith("GET /: failed [abc123def456]\nTraceback")
    assert "RuntimeError: the cause" in logged
