"""The fork floor, with applications smaller than Flask."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING
from wsgiref.validate import validator

from benchmarks import floor
from benchmarks.machine import SITES

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment


def good(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [])
    return [b"x"]


def refusing(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("404 Not Found", [])
    return [b"x"]


def dying(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    os._exit(9)


def plain_text(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"x"]


def test_the_environ_satisfies_the_standard_librarys_validator() -> None:
    assert floor.answer(validator(plain_text))


def test_only_200_is_an_answer() -> None:
    assert floor.answer_in_child(good)
    assert not floor.answer_in_child(refusing)
    assert not floor.answer_in_child(dying)


def test_requests_errors_and_the_childrens_time_are_counted() -> None:
    result = floor.measure(refusing, 0.2)
    assert result["errors"] == result["requests"] > 0
    assert result["seconds"] >= 0.2
    assert 0 < result["cpu"] < 2


def test_it_is_a_program_of_its_own() -> None:
    command = [sys.executable, "-I", floor.__file__, str(SITES / "bare/bare_hello.py"), "0.1"]
    result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert result["requests"] > 0
    assert result["errors"] == 0
