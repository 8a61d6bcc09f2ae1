"""The page of a traceback: what it shows, and what it never does."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itkwsgi.runtime import trace_page as module
from itkwsgi.runtime.trace_page import answer_traceback, page, plain

SECRET = "plum-" + "orchard-at-dusk"


def raised(function: Any) -> BaseException:
    try:
        function()
    except BaseException as error:
        return error
    raise AssertionError


def fail_with_a_secret() -> None:
    password = "-".join(["plum", "orchard", "at", "dusk"])
    raise ValueError(f"of {len(password)} <script>alert(1)</script>")


def answered(error: BaseException, **environ: str) -> tuple[str, dict[str, str], str]:
    said: list[Any] = []
    whole = {"REQUEST_METHOD": "GET", "PATH_INFO": "/a&b", "SCRIPT_NAME": "", **environ}
    body = b"".join(answer_traceback(error, "abc123def456", whole, lambda *args: said.append(args)))
    status, headers = said[0][:2]
    assert dict(headers)["Content-Length"] == str(len(body))
    return status, dict(headers), body.decode()


def test_it_has_the_source_the_message_and_the_id_escaped() -> None:
    status, headers, text = answered(raised(fail_with_a_secret), HTTP_COOKIE=SECRET, HTTP_AUTHORIZATION=SECRET)
    assert status == "500 Internal Server Error" and headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["Cache-Control"] == "no-store"
    assert "abc123def456" in text and "GET /a&amp;b" in text and "fail_with_a_secret" in text
    assert "raise ValueError(" in text and "password = " in text  # lines of source
    assert "&lt;script&gt;" in text and "<script" not in text
    assert SECRET not in text  # no values


def test_who_asks_for_no_html_gets_text() -> None:
    _, headers, text = answered(raised(fail_with_a_secret), HTTP_ACCEPT="application/json")
    assert headers["Content-Type"].startswith("text/plain") and "Traceback (most recent call last)" in text


@pytest.mark.parametrize("accept", ["text/html,application/xhtml+xml", "*/*", "application/json, */*;q=0.1"])
def test_who_takes_html_gets_it(accept: str) -> None:
    assert answered(raised(fail_with_a_secret), HTTP_ACCEPT=accept)[2].startswith("<!doctype html>")


def chained(explicit: bool) -> None:
    try:
        os.environ["MISSING_HERE"]
    except KeyError as error:
        if explicit:
            raise RuntimeError("outer") from error
        raise RuntimeError("outer")  # noqa: B904


@pytest.mark.parametrize(("explicit", "why"), [(True, "Caused by"), (False, "Raised while handling")])
def test_it_shows_where_an_exception_comes_from(explicit: bool, why: str) -> None:
    text = page(raised(lambda: chained(explicit)), "id", "GET /")
    assert f"<h2>{why}: KeyError: &#x27;MISSING_HERE&#x27;</h2>" in text and "RuntimeError: outer" in text


def test_a_chain_that_bites_its_tail_ends() -> None:
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    assert page(one, "id", "GET /").count("Caused by: ") == 1


@pytest.mark.skipif(sys.version_info < (3, 11), reason="groups are of Python 3.11")
def test_the_members_of_a_group() -> None:
    text = page(ExceptionGroup("both", [ValueError("first"), TypeError("second")]), "id", "GET /")
    assert text.count("In the group: ") == 2 and "TypeError: second" in text


def deep(number: int) -> int:
    return deep(number - 1) if number else 1 // 0


def test_a_deep_one_is_cut_in_the_middle() -> None:
    text = page(raised(lambda: deep(300)), "id", "GET /")
    assert "more frames" in text and text.count("<li>") == module.MOST_FRAMES and "1 // 0" in text


def test_the_servers_own_frames_are_left_out_and_no_others(tmp_path: Path) -> None:
    """A site may lie in a folder of that name."""
    theirs = str(tmp_path / "itkwsgi/runtime/app.py")
    for file, is_shown in ((f"{module.OURS}wsgi.py", False), (theirs, True)):
        error = raised(lambda file=file: exec(compile("1 / 0", file, "exec")))
        assert (f"<code>{file}:1</code>" in page(error, "id", "GET /")) == is_shown


def test_a_syntax_error_shows_the_line_it_is_on(tmp_path: Path) -> None:
    file = tmp_path / "app.py"
    file.write_text("first = 1\nsecond = = 2\nthird = 3\n")
    text = page(raised(lambda: compile(file.read_text(), str(file), "exec")), "id", "GET /")
    assert "<h1>SyntaxError: invalid syntax</h1>" in text
    assert f"<code>{file}:2</code></p>" in text and "<b><i>2</i>second = = 2</b>" in text and "third = 3" in text
    assert page(SyntaxError("of no file"), "id", "GET /").count("<li>") == 0


@pytest.mark.skipif(sys.version_info < (3, 11), reason="columns are of Python 3.11")
def test_the_part_of_the_line_that_failed_is_underlined(tmp_path: Path) -> None:
    file = tmp_path / "app.py"
    file.write_text("table = {}\nname = 'grün' + table['<b>'] + 'more'\n", "utf-8")
    text = page(raised(lambda: exec(compile(file.read_text("utf-8"), str(file), "exec"))), "id", "GET /")
    assert "<b><i>2</i>name = &#x27;grün&#x27; + <u>table[&#x27;&lt;b&gt;&#x27;]</u> + &#x27;more&#x27;</b>" in text


def test_the_lines_around_are_those_of_the_file(tmp_path: Path) -> None:
    """Empty ones too, and none before its beginning or after its end."""
    file = tmp_path / "app.py"
    file.write_text("first = 1\n\n1 / 0\n\nlast = 2\n")
    text = page(raised(lambda: exec(compile(file.read_text(), str(file), "exec"))), "id", "GET /")
    found = text.partition("<pre>")[2].partition("</pre>")[0].replace("<u>", "").replace("</u>", "")
    assert found == (
        "<span><i>1</i>first = 1</span><span><i>2</i></span><b><i>3</i>1 / 0</b>"
        "<span><i>4</i></span><span><i>5</i>last = 2</span>"
    )


@pytest.mark.parametrize("length", [module.LONGEST_LINE - 10, module.LONGEST_LINE + 10])
def test_a_long_line_is_cut(length: int, tmp_path: Path) -> None:
    file = tmp_path / "app.py"
    file.write_text(f"1 / 0  # {'x' * (length - 10)}!\n")
    text = page(raised(lambda: exec(compile(file.read_text(), str(file), "exec"))), "id", "GET /")
    whole = text.partition("<ol>")[2].partition("</li>")[0]
    assert ("x!" in whole) == (length < module.LONGEST_LINE) and (" ..." in whole) == (length > module.LONGEST_LINE)


def test_one_without_frames_or_source() -> None:
    assert "SystemExit: 3" in page(SystemExit(3), "id", "GET /")
    error = raised(lambda: exec(compile("1 / 0", "<nowhere>", "exec")))
    assert "&lt;nowhere&gt;:1" in page(error, "id", "GET /")


class Odd(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even a message")


def test_an_odd_exception_is_still_a_page() -> None:
    assert answered(raised(lambda: (_ for _ in ()).throw(Odd())))[0].startswith("500")


def test_when_it_cannot_be_made_there_is_the_plain_page(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*args: object) -> str:
        raise MemoryError

    monkeypatch.setattr(module, "page", no_memory)
    status, _, text = answered(ValueError("secret cause"))
    assert status.startswith("500") and "abc123def456" in text and "secret cause" not in text


@given(st.text())
def test_whatever_the_message_is_it_is_escaped(message: str) -> None:
    text = page(ValueError(message), "id", "GET /")
    assert "<script" not in text.lower().replace("&lt;script", "")
    assert plain(ValueError(message), "id").startswith("id\n")
