"""The real process over a real channel: sites, fronts, full disks, the rate, and its end."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from itkwsgi.linux.fds import send_message
from itkwsgi.log.sites import LINGER_SECONDS
from itkwsgi.log.sources import BURST, FLUSH_SECONDS, RATE
from itkwsgi.wire.control import CONTROL_FD

STAMP = r"\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d\] "
SECONDS = 10.0


class Log:
    """A running log, its files in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.writers: dict[str, int] = {}
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with open(folder / "stderr", "wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "itkwsgi.log"],
                stdin=subprocess.DEVNULL,
                stderr=stderr,
                pass_fds=(CONTROL_FD,),
                preexec_fn=lambda: os.dup2(theirs.fileno(), CONTROL_FD),
            )
        theirs.close()

    def tell(self, do: str, *fds: int, **order: object) -> None:
        """Send an order; the descriptors are gone then."""
        send_message(self.channel, json.dumps({"do": do, **order}).encode(), fds)
        for fd in fds:
            os.close(fd)

    def file(self, name: str) -> int:
        path = "/dev/full" if name == "full" else self.folder / name
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def use(self, error: str = "error", access: str = "access") -> None:
        self.tell("files", self.file(error), self.file(access), error=True, access=True)

    def pipe(self, key: str, do: str, *files: int, **order: object) -> int:
        """Tell it of a new pipe, whose writing end is returned and kept under that key."""
        reader, writer = os.pipe()
        self.tell(do, reader, *files, **order)
        self.writers[key] = writer
        return writer

    def site(self, index: int, name: str, error: str = "", access: str = "", key: str = "") -> int:
        files = [self.file(file) for file in (error, access) if file]
        return self.pipe(
            key or name, "site", *files, index=index, name=name, own_error=bool(error), own_access=bool(access)
        )

    def hang_up(self, key: str) -> None:
        os.close(self.writers.pop(key))

    def text(self, name: str) -> str:
        path = self.folder / name
        return path.read_text() if path.exists() else ""

    def wait_for(self, name: str, *parts: str) -> str:
        """The file's text, once all parts stand in it."""
        end = time.monotonic() + SECONDS
        while True:
            text = self.text(name)
            if all(part in text for part in parts):
                return text
            assert time.monotonic() < end, f"{parts} is not in {text!r}; stderr: {self.text('stderr')}"
            assert self.process.poll() is None, self.text("stderr")
            time.sleep(0.005)

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def end(self) -> int:
        """Close the channel; its exit status."""
        self.channel.close()
        return self.process.wait(SECONDS)

    def close(self) -> None:
        self.channel.close()
        for writer in self.writers.values():
            os.close(writer)
        self.process.kill()
        self.process.wait()


@pytest.fixture
def log(tmp_path):
    log = Log(tmp_path)
    log.use()
    yield log
    log.close()


def test_each_line_stands_where_it_belongs_under_its_pipe_s_name(log):
    a = log.site(0, "a.example")
    b = log.site(1, "b.example", error="b.error", access="b.access")
    notes = log.pipe("notes", "notes", name="zygote x")
    front = log.pipe("front", "front", number=1)
    log.tell("names", first=0, names=["a.example", "b.example", "c.example"])
    os.write(a, b"from a\n")
    os.write(b, b"from b\r\n")
    os.write(notes, b"from the zygote\n")
    os.write(front, b'0 "GET /a"\n1 "GET /b"\n2 "GET /c"\n- "GET /\x1b"\n')
    error = log.wait_for("error", "from a", "from the zygote")
    assert re.search(f"^{STAMP}\\[a\\.example\\] from a$", error, re.M)
    assert re.search(f"^{STAMP}\\[itkwsgi zygote x\\] from the zygote$", error, re.M)
    assert len(error.splitlines()) == 2
    assert re.fullmatch(f"{STAMP}\\[b\\.example\\] from b\n", log.wait_for("b.error", "from b"))
    assert log.wait_for("access", "- ") == 'a.example "GET /a"\nc.example "GET /c"\n- "GET /\\x1b"\n'
    assert log.wait_for("b.access", "GET") == '"GET /b"\n'
    assert log.end() == 0
    assert log.text("stderr") == ""


def test_a_site_cannot_forge_another_s_lines(log):
    a = log.site(0, "a.example")
    forged = "[2026-11-25T12:00:00.000+00:00] [b.example] forged"
    os.write(
        a,
        b"\n".join(
            [
                b"x\n" + forged.encode(),
                b"\r" + forged.encode(),
                b"\x1b[1A\x1b[2K" + forged.encode(),
                b"\x0b\x0c\x85\xc2\x85" + forged.encode(),
                ("\u2028" + forged + "\u202e").encode(),
                b"\0\x08\x7f\xff\xfe" + forged.encode(),
                b"z" * 9000 + forged.encode(),
                b"last\n",
            ]
        ),
    )
    text = log.wait_for("error", "last")
    assert text.count("forged") == 7
    assert "\x1b" not in text
    assert all(re.match(f"{STAMP}\\[a\\.example\\] ", line) for line in text.splitlines())


def test_a_full_disk_stops_nobody_and_is_told(log):
    a = log.site(0, "a.example", error="full")
    b = log.site(1, "b.example")
    front = log.pipe("front", "front", number=1)
    os.write(a, b"lost 1\nlost 2\n")
    log.wait_for("stderr", "the error log of a.example cannot be written")
    log.use("full", "full")
    os.write(b, b"lost 3\n")
    os.write(front, b"1 lost 4\n")
    log.wait_for("stderr", "] the error log cannot be written", "] the access log cannot be written")
    log.use()
    log.tell("reopen", log.file("a.error"), index=0, own_error=True, own_access=False)
    os.write(a, b"kept a\n")
    os.write(b, b"kept b\n")
    os.write(front, b"1 kept access\n")
    log.wait_for("a.error", "kept a", "2 lines of the error log of a.example were lost")
    log.wait_for("error", "kept b", "1 line of the error log was lost", "1 line of the access log was lost")
    assert log.wait_for("access", "kept") == "b.example kept access\n"


def test_a_site_that_writes_without_end_waits_alone(log):
    a = log.site(0, "a.example", error="a.error")
    b = log.site(1, "b.example", error="b.error")
    line = b"f" * 1023 + b"\n"
    total = BURST + RATE
    start = time.monotonic()
    for number in range(total // len(line)):
        os.write(a, line)
        if number % 256 == 0:
            os.write(b, b"meanwhile %d\n" % number)
    seconds = time.monotonic() - start
    # The pipe holds 64 kB that were not read yet, and a read may overdraw by as much.
    assert seconds >= (total - BURST - 3 * 65536) / RATE
    log.wait_for("b.error", *(f"meanwhile {number}\n" for number in range(0, total // len(line), 256)))
    log.hang_up("a.example")
    log.hang_up("b.example")
    assert log.end() == 0
    assert log.text("a.error").count("f" * 1023 + "\n") == total // len(line)


def test_at_the_end_the_pipes_are_drained(log):
    a = log.site(0, "a.example")
    log.pipe("notes", "notes", name="supervisor")
    front = log.pipe("front", "front", number=1)
    log.site(1, "b.example")
    log.process.send_signal(signal.SIGSTOP)
    lines = [f"line {number} {'x' * 50}" for number in range(1000)]
    os.write(a, "\n".join(lines).encode())
    os.write(front, b"0 last\n")
    log.tell("asleep", index=0)
    log.channel.close()
    log.process.send_signal(signal.SIGCONT)
    assert log.process.wait(SECONDS) == 0
    written = log.text("error").splitlines()
    assert [line.partition("[a.example] ")[2] for line in written] == lines
    assert log.text("access") == "a.example last\n"


def test_an_old_and_a_new_pool_side_by_side(log):
    old = log.site(0, "a.example", error="a.error", access="old.access", key="old")
    new = log.site(0, "a.example", error="a.error", access="new.access", key="new")
    front = log.pipe("front", "front", number=1)
    os.write(new, b"new speaks\n")
    os.write(old, b"old still speaks\n")
    os.write(front, b"0 hit\n")
    log.wait_for("a.error", "new speaks", "old still speaks")
    log.wait_for("new.access", "hit")
    log.hang_up("old")
    os.write(new, b"new goes on\n")
    log.wait_for("a.error", "new goes on")
    assert log.text("old.access") == ""


def test_a_site_asleep_costs_no_descriptor(log):
    os.write(log.pipe("notes", "notes", name="x"), b"ready\n")
    log.wait_for("error", "ready")
    before = log.descriptors()
    os.write(log.site(0, "a.example", error="a.error", access="a.access"), b"hello\n")
    log.wait_for("a.error", "hello")
    assert log.descriptors() == before + 3
    log.hang_up("a.example")
    log.tell("asleep", index=0)
    end = time.monotonic() + LINGER_SECONDS + SECONDS
    while log.descriptors() > before:
        assert time.monotonic() < end
        time.sleep(0.05)
    log.tell("reopen", log.file("a.error"), log.file("a.access"), index=0, own_error=True, own_access=True)
    os.write(log.writers["notes"], b"rotated\n")
    log.wait_for("error", "rotated")
    assert log.descriptors() == before


def test_a_line_without_an_end_is_written_after_a_while(log):
    os.write(log.site(0, "a.example"), b"how far am I: 3")
    start = time.monotonic()
    log.wait_for("error", "how far am I: 3[...]\n")
    assert time.monotonic() - start > FLUSH_SECONDS / 2


def test_it_outlives_the_usual_signals(log):
    notes = log.pipe("notes", "notes", name="x")
    os.write(notes, b"before\n")
    log.wait_for("error", "before")
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGALRM):
        log.process.send_signal(number)
    os.write(notes, b"after\n")
    log.wait_for("error", "after")
    assert log.end() == 0


@pytest.mark.parametrize("nonsense", [b"{}", b'{"do":"front","number":1}', b"\xff" * 10])
def test_nonsense_from_the_supervisor_ends_it(log, nonsense):
    send_message(log.channel, nonsense)
    assert log.process.wait(SECONDS) == 70
    assert log.text("stderr").startswith("itkwsgi log: ")
