"""Sample sites in this process: each loaded from its file, with a data folder of its own."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.validate import validator

import pytest
from werkzeug.test import Client, TestResponse

APPS = Path(__file__).parent.parent.parent / "apps"

Load = Callable[[str], Any]


class Visitor(Client):
    """A client of an application that is held to the letter of WSGI; it reads each answer whole and closes it."""

    def __init__(self, application: Any) -> None:
        super().__init__(validator(application))

    def open(self, *args: Any, **options: Any) -> TestResponse:
        return super().open(*args, buffered=True, **options)


@pytest.fixture(scope="session")
def visitor() -> type[Visitor]:
    return Visitor


@pytest.fixture
def load_app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """``load_app("flask/app.py")``: the module, imported afresh as the server would, from the site's root."""
    loaded = []

    def load(file: str) -> Any:
        path = APPS / file
        monkeypatch.setenv("DATA_DIR", str(tmp_path))
        monkeypatch.syspath_prepend(path.parent)
        name = f"sample_{path.parent.name}_{path.stem}"
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        loaded.append(name)
        spec.loader.exec_module(module)
        return module

    yield load
    for name in loaded:
        sys.modules.pop(name, None)
