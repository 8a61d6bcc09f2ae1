"""The real daemon, for tests: writes an itk.toml, serves it, asks it over real sockets, stops it, leaves nothing.

Used by tests/system (an ordinary user) and tests/root (real uids).  Everything it makes is below one directory that
every user may enter.
"""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

READY_SECONDS = 30.0
STOP_SECONDS = 20.0


class Daemon:
    """One server for one test.

    ``vhosts`` is TOML: the [[vhost]] and [environment.*] tables.  ``server`` is TOML for further keys of [server].
    """

    def __init__(self, place: Path, vhosts: str, *, server: str = "", env: dict[str, str] | None = None) -> None:
        self.place = place
        place.mkdir(parents=True, exist_ok=True)
        place.chmod(0o755)
        self.port = free_port()
        self.config = place / "itk.toml"
        self.config.write_text(self.toml(vhosts, server))
        self.config.chmod(0o644)
        self.env = env
        self.process: subprocess.Popen[bytes] | None = None

    def toml(self, vhosts: str, server: str) -> str:
        return (
            f'[server]\nlisten = ["127.0.0.1:{self.port}"]\nrun_dir = "run"\nspool_dir = "spool"\n'
            f'access_log = "log/access.log"\nerror_log = "log/error.log"\nfronts = 1\n{server}\n{vhosts}\n'
        )

    def __enter__(self) -> Daemon:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def start(self) -> Daemon:
        """Serve; returns when it said ``ready``.  Raises AssertionError with all it said otherwise."""
        with open(self.place / "stderr", "wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "itkwsgi", "serve", str(self.config)],
                stderr=stderr,
                stdin=subprocess.DEVNULL,
                env=self.env,
            )
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            if "ready" in self.said:
                return self
            time.sleep(0.01)
        said = "\n".join(self.said)
        self.stop(signal.SIGKILL)
        raise AssertionError(f"not ready:\n{said}\n{self.error_log()}")

    @property
    def said(self) -> list[str]:
        """The lines on its stderr."""
        return read(self.place / "stderr").splitlines()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Stop it; returns its exit status.  Nothing it started may be alive afterwards."""
        if self.process is None:
            return 0
        family = self.family()
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            status = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            self.process = None
        left = wait_gone(family)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        assert not left, f"left behind: {left}"
        return status

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def family(self) -> list[int]:
        """The supervisor's descendants, itself not included."""
        return descendants(self.pid)

    def named(self, part: str) -> list[int]:
        """Descendants whose process title holds ``part``."""
        return [pid for pid in self.family() if part in title(pid)]

    def access_log(self) -> str:
        return read(self.place / "log" / "access.log")

    def error_log(self) -> str:
        return read(self.place / "log" / "error.log")

    def connect(self, timeout: float = 20.0) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def get(self, host: str, path: str = "/", *, timeout: float = 20.0) -> Answer:
        return self.ask("GET", host, path, timeout=timeout)

    def ask(
        self,
        method: str,
        host: str,
        path: str = "/",
        *,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        timeout: float = 20.0,
    ) -> Answer:
        """One request on a connection of its own."""
        connection = self.connect(timeout)
        try:
            connection.request(
                method, path, body=body, headers={"Host": host, "Connection": "close", **(headers or {})}
            )
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def raw(self, data: bytes, *, timeout: float = 10.0) -> bytes:
        """Send bytes, read until the server closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as sock:
            sock.sendall(data)
            return read_all(sock)


class Answer:
    """What came back."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.body = body

    @property
    def text(self) -> str:
        return self.body.decode()


def read_all(sock: socket.socket) -> bytes:
    """Until end of file or reset."""
    parts = []
    while True:
        try:
            data = sock.recv(65536)
        except ConnectionResetError:
            break
        if not data:
            break
        parts.append(data)
    return b"".join(parts)


def free_port() -> int:
    """A TCP port on loopback that is free now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def read(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""


def children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            found += [int(word) for word in Path(f"/proc/{pid}/task/{task}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return found
    return found


def descendants(pid: int) -> list[int]:
    found = []
    for child in children(pid):
        found += [child, *descendants(child)]
    return found


def title(pid: int) -> str:
    """The process title as ps shows it."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_gone(pids: list[int], seconds: float = 5.0) -> list[int]:
    """Those still alive after that time."""
    deadline = time.monotonic() + seconds
    while (left := [pid for pid in pids if alive(pid)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


def wait_until(condition, seconds: float = 10.0, what: str = "the condition") -> None:
    """Poll until true; AssertionError after that time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come true in {seconds} s"
        time.sleep(0.02)
