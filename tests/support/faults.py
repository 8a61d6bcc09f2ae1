"""Faults for a running server, and what must hold during and after each: others are served, the site heals."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path

from tests.support.daemon import Daemon, wait_until

AT_ONCE = 1.0  # seconds, for everybody but the site at fault
HEALED = 10.0


@contextmanager
def injected(pid: int, fault: str, *, path: str = "", follow: bool = True) -> Iterator[None]:
    """System calls of a process fail, and with ``follow`` of those it forks from now on.

    ``fault`` as strace(1) has it: ``clone,clone3:error=EAGAIN:when=1..3``; ``path``: only those about this file.
    """
    argv = ["strace", "-qq", "-o", "/dev/null", "-e", f"trace={fault.partition(':')[0]}", "-e", f"inject={fault}"]
    argv += ["-f"] * follow + ["-P", path] * bool(path) + ["-p", str(pid)]
    with subprocess.Popen(argv, stderr=subprocess.PIPE) as tracer:
        try:
            wait_until(lambda: status_of(pid)["TracerPid"] != "0" or tracer.poll() is not None, 10, "the tracer")
            assert tracer.poll() is None, tracer.communicate()[1].decode()
            yield
        finally:
            if tracer.poll() is None:
                tracer.send_signal(signal.SIGINT)
            tracer.communicate(timeout=10)


def status_of(pid: int) -> dict[str, str]:
    """/proc/PID/status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def running_as(uid: int) -> list[int]:
    """Every living process of that user, wherever it hangs in the tree."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                status = status_of(int(entry))
            except (FileNotFoundError, ProcessLookupError):
                continue
            if str(uid) in status["Uid"].split() and status["State"][0] not in "ZX":
                found.append(int(entry))
    return found


def nobody_left(uid: int, seconds: float = 5.0) -> None:
    """None of that user's within so many seconds."""
    wait_until(lambda: not running_as(uid), seconds, f"the end of all of uid {uid}")


def answers(daemon: Daemon, host: str, path: str = "/", timeout: float = 5.0) -> int | None:
    """The status, None when there was no answer."""
    try:
        return daemon.get(host, path, timeout=timeout).status
    except (OSError, HTTPException):
        return None


def answers_at_once(daemon: Daemon, host: str, path: str = "/") -> None:
    """200 within a second; a machine that is busy with other things has three tries, and what hangs fails them all."""
    taken = []
    for _ in range(3):
        begun = time.monotonic()
        assert answers(daemon, host, path) == 200
        taken.append(time.monotonic() - begun)
        if taken[-1] < AT_ONCE:
            return
    raise AssertionError(f"{host} took {taken} seconds")


def heals(daemon: Daemon, host: str, path: str = "/") -> None:
    """200 again, soon."""
    wait_until(lambda: answers(daemon, host, path) == 200, HEALED, f"{host} again")
