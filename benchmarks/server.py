"""A server as a program that is started, becomes ready, and is stopped by process id.

Rules: each server is a session of its own (Apache's parent signals its whole process group when it ends, and Ctrl-C
on the terminal must reach this program alone); its output goes to a file, so that no pipe can fill; stopping it is
not done before every process that was seen below it is gone. What a server that crashed leaves behind becomes this
program's child and is killed at the end.
"""

from __future__ import annotations

import abc
import ctypes
import os
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks import BenchmarkError, processes
from benchmarks.load import check_answer
from benchmarks.machine import free_port, make_open_directory, tail

START_TIMEOUT = 60.0
STOP_TIMEOUT = 15.0
PATIENCE = 3.0  # with what is left when the server itself has ended
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}


class Server(abc.ABC):
    """One server on a free port of 127.0.0.1, running while the ``with`` block does.

    ``directory`` is its own, for its configuration, sockets and logs.
    """

    name: str
    cwd = Path("/")

    def __init__(self, work: Path) -> None:
        self.directory = work / "logs" / self.name
        self.output = self.directory / "output"
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @abc.abstractmethod
    def command(self) -> list[str]:
        """Write what the server needs below its directory and return the command that runs it in the foreground."""

    @abc.abstractmethod
    def is_ready(self) -> bool:
        """Tell whether the server has finished its start."""

    @property
    def pid(self) -> int:
        """The root of the server's process tree."""
        if self.process is None:
            raise BenchmarkError(f"{self.name} is not running")
        return self.process.pid

    def url(self, path: str) -> str:
        """Return the URL of a path on this server."""
        return f"http://127.0.0.1:{self.port}{path}"

    def start(self) -> None:
        """Start the server and wait until it is ready; raises BenchmarkError with the end of its output."""
        make_open_directory(self.directory)
        command = self.command()
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                cwd=self.cwd,
                env=ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                umask=0o022,
                start_new_session=True,
            )
        try:
            self.wait_until_ready(self.process)
        except BaseException:
            self.stop()
            raise

    def wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        """Poll the server; raises BenchmarkError when it ends or takes too long."""
        deadline = time.monotonic() + START_TIMEOUT
        while not self.is_ready():
            if process.poll() is not None:
                raise BenchmarkError(f"{self.name} ended with {process.returncode}:\n{self.last_words()}")
            if time.monotonic() > deadline:
                raise BenchmarkError(f"{self.name} was not ready in {START_TIMEOUT:.0f} s:\n{self.last_words()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End the server with SIGTERM, then whatever is left of its tree with SIGKILL."""
        if self.process is None:
            return
        stats = processes.snapshot()
        tree = [stats[pid] for pid in processes.tree_of(self.process.pid, stats)]
        self.process.terminate()
        try:
            self.process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        kill_survivors(tree)
        self.process = None

    def check(self, host: str, path: str = "/") -> None:
        """Ask once and compare the answer; raises BenchmarkError with the end of the server's logs."""
        try:
            check_answer(self.port, host, path)
        except BenchmarkError as error:
            raise BenchmarkError(f"{self.name}: {error}\n{self.last_words()}") from error

    def last_words(self) -> str:
        """Return the ends of all the logs the server has written."""
        logs = [self.output, *sorted(self.directory.glob("*.log"))]
        return "\n".join(f"{log.name}: {tail(log.read_text(errors='replace'))}" for log in logs if log.is_file())

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def kill_survivors(tree: list[processes.Stat]) -> None:
    """Wait for these processes to end, and kill those that take longer than PATIENCE.

    One that even SIGKILL does not end within as long again (it hangs in the kernel) is an error.
    """
    start = time.monotonic()
    while alive := still_running(tree):
        waited = time.monotonic() - start
        if waited > 2 * PATIENCE:
            raise BenchmarkError(f"cannot be killed: {[stat.pid for stat in alive]}")
        if waited > PATIENCE:
            for stat in alive:
                kill(stat.pid)
        time.sleep(0.02)


def still_running(tree: list[processes.Stat]) -> list[processes.Stat]:
    """Return those that have not ended; a pid with another start time is somebody else's, a zombie runs no more."""
    stats = processes.snapshot()
    return [one for one in tree if (now := stats.get(one.pid)) and now.start == one.start and now.state != "Z"]


def adopt_orphans() -> None:
    """Make this program the parent of every descendant whose own parent ends (PR_SET_CHILD_SUBREAPER, prctl(2))."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(1), *[ctypes.c_ulong(0)] * 3) != 0:
        raise BenchmarkError(f"prctl: {os.strerror(ctypes.get_errno())}")


def end_descendants() -> None:
    """Kill and reap everything below this program: what a server that crashed has left behind."""
    while True:
        stats = processes.snapshot()
        below = processes.tree_of(os.getpid(), stats)[1:]
        for pid in below:
            kill(pid)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def kill(pid: int) -> None:
    """Kill one process, which may just have ended."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
