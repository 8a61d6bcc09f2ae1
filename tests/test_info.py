"""`itkwsgi.info`: where sites look for it, and how they use it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import itkwsgi.info
from itkwsgi.runtime import info

TOP = Path(__file__).parent.parent


def test_it_is_an_app_to_the_letter_of_wsgi() -> None:
    """An app may call it from a route of its own."""
    said: list[Any] = []

    def start_response(*args: Any) -> Any:
        said.append(args)
        return lambda data: None

    environ: dict[str, Any] = {"QUERY_STRING": ""}
    setup_testing_defaults(environ)
    answer = validator(itkwsgi.info.application)(environ, start_response)
    body = b"".join(answer)
    answer.close()  # type: ignore[attr-defined]
    assert said[0][0] == "200 OK" and body.startswith(b"<!doctype html>") and body.endswith(b"</html>\n")


def test_it_is_named_as_a_site_names_it() -> None:
    """app = "itkwsgi.info:application\""""
    assert itkwsgi.info.application is info.application and itkwsgi.info.__all__ == ["application"]


def loaded_by(module: str) -> set[str]:
    """The modules of itkwsgi that a fresh interpreter has then."""
    code = f"import sys; sys.path.insert(0, {str(TOP)!r}); import {module}; print(*sys.modules)"
    run = [sys.executable, "-I", "-c", code]
    done = subprocess.run(run, capture_output=True, text=True, timeout=30, check=True)
    return {name for name in done.stdout.split() if name.startswith("itkwsgi")}


def test_a_site_that_does_not_use_it_does_not_carry_it() -> None:
    theirs = {"itkwsgi.info", "itkwsgi.runtime.info", "itkwsgi.runtime.info_page"}
    assert theirs <= loaded_by("itkwsgi.info")
    assert not (theirs | {"itkwsgi.runtime.trace_page"}) & loaded_by("itkwsgi.runtime.main")
