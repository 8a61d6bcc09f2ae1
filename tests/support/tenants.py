"""Users whom sites run as, in tests: numbers without accounts when root runs the tests, else whoever runs them.

And places that such users can reach: pytest's tmp_path lies below folders of mode 0700.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

IS_ROOT = os.geteuid() == 0


@contextmanager
def public_place(prefix: str) -> Iterator[Path]:
    """A new folder that everybody may enter; gone with all that is in it at the end."""
    path = Path(tempfile.mkdtemp(prefix=f"itkwsgi-{prefix}-", dir="/var/tmp"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path)


class Tenant:
    """One user: ``uid`` when root runs the tests, with a group of the same number; else oneself."""

    def __init__(self, uid: int) -> None:
        self.uid, self.gid = (uid, uid) if IS_ROOT else (os.geteuid(), os.getegid())

    @property
    def toml(self) -> str:
        """The keys of a [[vhost]] that make it this user's; an ordinary user's server cannot have any."""
        return f"user = {self.uid}\ngroup = {self.gid}\n" if IS_ROOT else ""

    def make_folder(self, path: Path) -> Path:
        """A folder of this user's alone."""
        path.mkdir(parents=True)
        os.chown(path, self.uid, self.gid)
        path.chmod(0o700)
        return path

    def run(self, argv: Sequence[str | Path], env: Mapping[str, str], cwd: Path, seconds: float = 30.0) -> None:
        """Run a program as this user; CalledProcessError when it fails."""
        switch: dict[str, Any] = {"user": self.uid, "group": self.gid, "extra_groups": []} if IS_ROOT else {}
        subprocess.run(argv, env=dict(env), cwd=cwd, timeout=seconds, check=True, **switch)
