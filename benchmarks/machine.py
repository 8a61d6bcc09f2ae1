"""What a run needs from the machine: Debian packages, an environment with Flask, a directory, free ports.

Rules: nothing is installed unless asked for; everything made lies below one work directory that every user may
enter, because the sites run as users of their own; the environment is built on the system's interpreter, the one
that mod_wsgi is linked with, so that every server that runs Flask runs it in the same Python.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks import BenchmarkError

MODULES = Path("/usr/lib/apache2/modules")
APACHE = Path("/usr/sbin/apache2")
SYSTEM_PYTHON = Path("/usr/bin/python3")
# root's alone to write in, as itkwsgi wants the directories above its files, and open to all to enter; /var/tmp is not
TEMPORARY = Path("/var/cache")
SITES = Path(__file__).resolve().parent / "sites"

# file (a pattern) -> the package that brings it.  apache2-bin holds all of Apache that is used here; the package
# apache2 would add a service on port 80.
NEEDED = {
    "/usr/bin/wrk": "wrk",
    str(APACHE): "apache2-bin",
    f"{MODULES}/mpm_itk.so": "libapache2-mpm-itk",
    f"{MODULES}/libphp*.so": "libapache2-mod-php",
    f"{MODULES}/mod_wsgi.so": "libapache2-mod-wsgi-py3",
    "/usr/lib/python3*/ensurepip/__init__.py": "python3-venv",
}


def missing_packages(root: Path = Path("/")) -> list[str]:
    """Return the Debian packages whose files are not there, in the order of NEEDED."""
    return [package for pattern, package in NEEDED.items() if not any(root.glob(pattern.lstrip("/")))]


def install(packages: Sequence[str]) -> None:
    """Install Debian packages, without what they only recommend (a running Apache for one).

    Raises BenchmarkError when apt fails.
    """
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update", "-q"], ["install", "-q", "-y", "--no-install-recommends", *packages]):
        if subprocess.run(["apt-get", *command], env=environment, check=False).returncode != 0:
            raise BenchmarkError(f"apt-get {command[0]} failed; needed: {' '.join(packages)}")


@contextmanager
def work_directory(given: Path | None, keep: bool) -> Iterator[Path]:
    """Yield a directory that all users may enter, with fresh ``logs`` and ``sites`` in it.

    One that was given is kept, with the environment made in it; another is removed unless ``keep``.
    """
    path = given.resolve() if given else Path(tempfile.mkdtemp(prefix="itkwsgi-bench-", dir=TEMPORARY))
    try:
        make_open_directory(path)
        for name in ("sites", "logs"):
            shutil.rmtree(path / name, ignore_errors=True)
        make_open_directory(path / "logs")
        copy_sites(path / "sites")
        yield path
    finally:
        if not given and not keep:
            shutil.rmtree(path, ignore_errors=True)


def make_open_directory(path: Path) -> None:
    """Make the directory, whatever the umask, with mode 0755."""
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o755)


def copy_sites(target: Path) -> None:
    """Copy the sample sites to where every user can read them; the sources may lie in somebody's home."""
    shutil.copytree(SITES, target, ignore=shutil.ignore_patterns("__pycache__"))
    for path in [target, *target.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)


def environment(work: Path, given: Path | None, packages: Sequence[str]) -> Path:
    """Return an environment (a venv's directory) that has Flask: the given one, or one made in the work directory.

    Raises BenchmarkError when it cannot be made or lacks Flask.
    """
    venv = given.absolute() if given else work / "venv"
    if not given and not (venv / "bin/flask").exists():
        run_quietly([str(SYSTEM_PYTHON), "-m", "venv", str(venv)])
    if not given:
        run_quietly([str(venv / "bin/python"), "-m", "pip", "install", "-q", *packages])
    run_quietly([str(venv / "bin/python"), "-c", "import flask"])
    return venv


def run_quietly(command: Sequence[str]) -> None:
    """Run a program that has nothing to say unless it fails; raises BenchmarkError with its last words."""
    done = subprocess.run(command, check=False, capture_output=True, text=True, umask=0o022)
    if done.returncode != 0:
        raise BenchmarkError(f"{' '.join(command)} failed:\n{tail(done.stdout + done.stderr)}")


def free_port() -> int:
    """Return a TCP port that was free on 127.0.0.1 a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def tail(text: str, lines: int = 12) -> str:
    """Return the last lines of a log or of a program's output."""
    return "\n".join(text.rstrip().splitlines()[-lines:])
