"""A place with a site, and the commands run as the operator runs them."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest


class Operator:
    """Runs ``itkwsgi`` in a directory of its own that every user may enter."""

    def __init__(self, place: Path) -> None:
        self.place = place
        (place / "site").mkdir()
        (place / "site" / "app.py").touch()

    @property
    def user(self) -> str:
        """What a site may say of its user here, as TOML."""
        return "user = 50001\n" if os.geteuid() == 0 else ""

    def write(self, text: str, name: str = "itk.toml") -> Path:
        path = self.place / name
        path.write_text(text)
        path.chmod(0o644)
        return path

    def write_good(self) -> Path:
        return self.write(
            '[server]\nlisten = ["127.0.0.1:8080"]\nrun_dir = "run"\nspool_dir = "spool"\n'
            'access_log = "a"\nerror_log = "e"\n'
            f'[[vhost]]\nname = "a.example"\nroot = "site"\napp = "app.py"\n{self.user}'
        )

    def run(self, *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "itkwsgi", *words],
            cwd=cwd or self.place,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def on_terminal(self, width: int, *words: str) -> str:
        """What a command shows on a terminal of that width; its exit status must be 0."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, width, 0, 0))
        environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        command = [sys.executable, "-m", "itkwsgi", *words]
        with subprocess.Popen(command, cwd=self.place, stdout=theirs, stderr=theirs, env=environment) as process:
            os.close(theirs)
            shown = b""
            while True:
                try:
                    shown += os.read(ours, 65536)
                except OSError:  # EIO: nobody has the other end any more
                    break
            assert process.wait(timeout=30) == 0
        os.close(ours)
        return shown.decode().replace("\r\n", "\n")


@pytest.fixture
def operator() -> Iterator[Operator]:
    """See `Operator`."""
    with tempfile.TemporaryDirectory() as top:
        os.chmod(top, 0o755)
        yield Operator(Path(top))
