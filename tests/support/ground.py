"""What tests of confinement play on: a directory that is granted, one that is not, and a process from outside.

All belong to the ordinary user that the attempts run as, so that nothing but the confinement can refuse them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

from tests.support.forked import ORDINARY

SECRET = "secret of the outside"

_OUTSIDER = """
import ctypes, socket, sys
ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_ulong(-1), 0, 0, 0)  # PR_SET_PTRACER: Yama shall not be who refuses
server = socket.socket(socket.AF_UNIX)
server.bind("\\0" + sys.argv[1])
server.listen()
print("ready", flush=True)
sys.stdin.read()
"""


class Ground:
    """``inside`` is granted, ``outside`` is not; ``file`` holds `SECRET`."""

    def __init__(self, top: str) -> None:
        self.top = Path(top)
        self.inside = self.top / "inside"
        self.outside = self.top / "outside"
        self.file = self.outside / "file"
        self.abstract = f"itkwsgi-test-{os.getpid()}"
        self.outsider = 0

    def lay(self) -> None:
        """As at first, whatever the attempts did."""
        for directory in (self.inside, self.outside):
            directory.mkdir(exist_ok=True)
            for entry in list(os.scandir(directory)):
                shutil.rmtree(entry.path) if entry.is_dir(follow_symlinks=False) else os.unlink(entry.path)
        (self.outside / "empty").mkdir()
        self.file.write_text(SECRET)
        (self.inside / "file").write_text("inside")
        (self.inside / "link").symlink_to(self.file)
        os.link(self.file, self.inside / "hard")
        program = self.outside / "program"
        program.write_text(f"#!{os.path.realpath(sys.executable)}\n")
        program.chmod(0o755)
        give(self.top)


def give(top: Path) -> None:
    """This and all below it becomes the ordinary user's."""
    if os.geteuid() == 0:
        for path in (top, *top.rglob("*")):
            os.chown(path, ORDINARY, ORDINARY, follow_symlinks=False)


@contextmanager
def a_ground():
    """A ground with its outsider, below /tmp: the directories of pytest's own let nobody else in."""
    top = tempfile.mkdtemp(prefix="itkwsgi-ground-")
    try:
        os.chmod(top, 0o755)
        ground = Ground(top)
        ground.lay()
        who = {"user": ORDINARY, "group": ORDINARY, "extra_groups": []} if os.geteuid() == 0 else {}
        outsider = subprocess.Popen(
            [os.path.realpath(sys.executable), "-I", "-S", "-c", _OUTSIDER, ground.abstract],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ground.outside, **who,
        )  # fmt: skip
        with outsider:
            assert outsider.stdout.readline() == b"ready\n"
            ground.outsider = outsider.pid
            yield ground
            outsider.kill()
    finally:
        shutil.rmtree(top)
