from __future__ import annotations

import os
import re
from pathlib import Path


def test_answers_whose_file_it_made(load_app, visitor) -> None:
    response = visitor(load_app("whoami/app.py").application).get("/")
    assert response.status_code == 200
    assert response.mimetype == "text/plain"
    match = re.fullmatch(r"File is: (/\S+), UID is: (\d+), GID is: (\d+)\n", response.text)
    assert match is not None
    assert (int(match[2]), int(match[3])) == (os.geteuid(), os.getegid())
    assert not Path(match[1]).exists()


def test_makes_the_file_where_it_is_told(load_app, visitor, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    response = visitor(load_app("whoami/app.py").application).get("/")
    assert response.text.startswith(f"File is: {tmp_path}/")
    assert list(tmp_path.iterdir()) == []
