"""What failed: ids, the page, the log, the site's own error_log."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from itkwsgi.front.pages import make_page
from itkwsgi.runtime.failures import FailedApp, append_to, log_error, new_id

ID = "abc123def456"


def failure(message: str = "a plum fell") -> BaseException:
    try:
        raise RuntimeError(message)
    except RuntimeError as error:
        return error


def answered(app: FailedApp, **environ: Any) -> tuple[str, dict[str, str], bytes]:
    said: list[Any] = []
    body = b"".join(app(environ, lambda *args: said.append(args)))
    return said[0][0], dict(said[0][1]), body


def told(**settings: Any) -> Any:
    """Settings as the runtime has them."""
    return {"log_errors": True, "error_log": None, "display_errors": False, **settings}


def test_ids_can_be_found_and_differ() -> None:
    ids = {new_id() for _ in range(200)}
    assert len(ids) == 200
    assert all(re.fullmatch(r"[0-9a-f]{12}", each) and re.search(r"\d", each) for each in ids)


# --- the page


@pytest.mark.parametrize("environ", [{}, {"itkwsgi.settings": told()}], ids=["no settings", "display_errors off"])
def test_the_page_is_the_fronts_and_does_not_have_the_cause(environ: dict[str, Any]) -> None:
    """A visitor need not know which of our processes noticed a failure."""
    status, headers, body = answered(FailedApp(ID, failure()), **environ)
    page = make_page(500, error_id=ID)
    assert status == f"{page.status} {page.reason}" and body == page.body
    assert headers == {**dict(page.fields), "Content-Length": str(len(body))}
    assert b"a plum fell" not in body


def test_with_display_errors_it_has_the_cause() -> None:
    environ = {"itkwsgi.settings": told(display_errors=True)}
    status, _, body = answered(FailedApp(ID, failure()), **environ)
    assert status.startswith("500 ") and b"RuntimeError: a plum fell" in body and ID.encode() in body
    assert b"a plum fell" not in answered(FailedApp(ID), **environ)[2]  # what is not known cannot be shown


# --- the log


def test_the_log_has_the_id_and_the_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    log_error("GET /: failed", failure(), ID)
    logged = capfd.readouterr().err
    assert logged.startswith(f"GET /: failed [{ID}]\nTraceback")
    assert logged.endswith("RuntimeError: a plum fell\n")


def test_log_errors_off_logs_nothing_anywhere(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "errors"
    log_error("GET /: failed", failure(), ID, told(log_errors=False, error_log=str(file)))
    assert capfd.readouterr().err == "" and not file.exists()
    log_error("GET /: failed", failure(), ID, told(error_log=str(file)))
    assert ID in capfd.readouterr().err and ID in file.read_text()


def test_error_log_begins_with_the_time_and_is_added_to(tmp_path: Path) -> None:
    file = tmp_path / "errors"
    for message in ("one", "two"):
        log_error("GET /: failed", failure(message), ID, told(error_log=str(file)))
    heads = [line for line in file.read_text().splitlines() if line.endswith(f"[{ID}]")]
    assert len(heads) == 2
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} GET /: failed \[\w+\]", head) for head in heads)
    assert file.read_text().endswith("RuntimeError: two\n")
    assert file.stat().st_mode & 0o777 & ~0o640 == 0


def test_what_is_appended_is_neither_changed_nor_followed_by_anything(tmp_path: Path) -> None:
    """print(..., file=wsgi.errors) writes a line and its end apart."""
    for piece in ("a line", "\n", "half \udcff", "\n\n"):
        append_to(str(tmp_path / "errors"), piece)
    assert (tmp_path / "errors").read_bytes() == b"a line\nhalf \\udcff\n\n"


@pytest.mark.parametrize("kind", ["link", "fifo", "folder", "missing folder"])
def test_what_cannot_be_written_is_said_and_holds_nobody_up(
    kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path, aim = tmp_path / "errors", tmp_path / "aim"
    if kind == "link":
        path.symlink_to(aim)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path = path / "errors"
    append_to(str(path), "text\n")
    logged = capfd.readouterr().err
    assert logged.startswith(f"error_log = '{path}' cannot be written: ") and logged.count("\n") == 1
    assert not aim.exists()
