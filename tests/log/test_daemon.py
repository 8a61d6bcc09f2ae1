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
from daemon import wait_until

from itkwsgi.linux.fds import send_message
from itkwsgi.log.sites import LINGER_SECONDS
from itkwsgi.log.sources import BURST, FLUSH_SECONDS, RATE
from itkwsgi.supervisor.loglink import SEND_BUFFER, stream_ends
from itkwsgi.wire.control import CONTROL_FD
from tests.support.bomb import Bomb

STAMP = r"\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d\] "
SECONDS = 10.0
SO_PASSRIGHTS = 83


class Log:
    """A running log, its files in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.writers: dict[str, int] = {}
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with open(folder / "stderr", "wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "itkwsgi.log"],
                env={},  # as the supervisor does it; nor could it write any figures of coverage, confined as it is
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

    def use(self, error: str = "error", access: str = "access", **limit: int) -> None:
        self.tell("files", self.file(error), self.file(access), error=True, access=True, **limit)

    def pipe(self, key: str, do: str, **order: object) -> int:
        """Tell it of a new pipe, whose writing end is returned and kept under that key."""
        reader, writer = os.pipe()
        self.tell(do, reader, **order)
        self.writers[key] = writer
        return writer

    def site(
        self, index: int, name: str, error: str = "", access: str = "", key: str = "", *, guarded: bool = True
    ) -> int:
        """The same for a site and its socket.  ``guarded``: the kernel refuses descriptors, if it can."""
        files = [self.file(file) for file in (error, access) if file]
        ours, theirs, _ = stream_ends()
        if not guarded:
            ours.setsockopt(socket.SOL_SOCKET, SO_PASSRIGHTS, 1)
        self.tell("site", ours.detach(), *files, index=index, name=name, own_error=bool(error), own_access=bool(access))
        self.writers[key or name] = theirs.fileno()
        return theirs.detach()

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
    total = BURST + 2 * RATE
    start = time.monotonic()
    for number in range(total // len(line)):
        os.write(a, line)
        if number % 256 == 0:
            os.write(b, b"meanwhile %d\n" % number)
    seconds = time.monotonic() - start
    # The socket holds what was not read yet, and a read may overdraw by 64 kB.
    assert seconds >= (total - BURST - 2 * SEND_BUFFER - 2 * 65536) / RATE
    log.wait_for("b.error", *(f"meanwhile {number}\n" for number in range(0, total // len(line), 256)))
    log.hang_up("a.example")
    log.hang_up("b.example")
    assert log.end() == 0
    assert log.text("a.error").count("f" * 1023 + "\n") == total // len(line)


def test_a_site_that_writes_without_end_is_told_so_once(log):
    a = log.site(0, "a.example")
    for _ in range((BURST + 2 * RATE) // 65536):
        os.write(a, b"x" * 65535 + b"\n")
    os.write(log.site(1, "b.example"), b"quiet\n" * 100)
    log.hang_up("a.example")
    log.hang_up("b.example")
    assert log.end() == 0
    told = [line for line in log.text("error").splitlines() if "] [itkwsgi log] " in line]
    assert len(told) == 1
    assert told[0].endswith("a.example writes more than 1M a second on its stdout and stderr: it waits for its log")


def test_a_log_grows_to_its_limit_and_no_further(log):
    """Whoever goes on writing is read on, or its site would hang."""
    log.use(limit=100_000)
    a, b = log.site(0, "a.example", error="a.error"), log.site(1, "b.example")
    front = log.pipe("front", "front", number=1)
    for number in range(500):
        os.write(a, b"a" * 1000 + b"\n")
        os.write(b, b"b" * 1000 + b"\n")
        os.write(front, b"0 %s\n" % (b"/" * 1000))
        if number % 100 == 0:
            os.write(log.site(2, "c.example", key=f"c{number}"), b"meanwhile %d\n" % number)
    for key in ("a.example", "b.example", "front"):
        log.hang_up(key)
    assert log.end() == 0
    assert 95_000 < sum(len(line) + 1 for line in log.text("a.error").splitlines() if "aaa" in line) <= 100_000
    assert 95_000 < sum(len(line) + 1 for line in log.text("error").splitlines() if "bbb" in line) <= 100_000
    assert 95_000 < len(log.text("access")) <= 100_000
    assert log.text("error").count("meanwhile") == 5
    told = re.findall("log. (.*): log_max \\(100000\\) is reached", log.text("error"))
    assert sorted(told) == ["a.example in the access log", "b.example in the error log", "the error log of a.example"]


def test_usr1_after_a_rotation_makes_room(log):
    log.use(limit=2000)
    a = log.site(0, "a.example", error="a.error")
    os.write(a, b"x" * 900 + b"\n" + b"y" * 2000 + b"\n")
    log.wait_for("a.error", "log_max (2000) is reached")
    os.rename(log.folder / "a.error", log.folder / "a.error.1")
    log.tell("reopen", log.file("a.error"), index=0, own_error=True, own_access=False)
    os.write(a, b"back again\n")
    log.wait_for("a.error", "back again", "1 line of the error log of a.example was lost: log_max was reached")


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
    wait_until(lambda: log.descriptors() == before, LINGER_SECONDS + SECONDS)
    log.tell("reopen", log.file("a.error"), log.file("a.access"), index=0, own_error=True, own_access=True)
    os.write(log.writers["notes"], b"rotated\n")
    log.wait_for("error", "rotated")
    assert log.descriptors() == before


# --- what a site can do with its socket


def as_socket(fd):
    return socket.socket(fileno=os.dup(fd))


def test_a_site_that_sends_descriptors_is_given_up_and_stops_nobody(log):
    bomb = Bomb()
    a = log.site(0, "a.example", error="a.error", access="a.access", guarded=False)
    b = log.site(1, "b.example", guarded=False)
    front = log.pipe("front", "front", number=1)
    os.write(a, b"before\n")
    log.wait_for("a.error", "before")
    with as_socket(a) as end:
        bomb.give(end)
    log.wait_for("a.error", "a.example sent descriptors to its stdout or stderr: nothing is read from it any more")
    os.write(b, b"from b\n")
    os.write(front, b"0 visited\n")
    log.wait_for("error", "from b")
    log.wait_for("a.access", "visited")
    with pytest.raises(BrokenPipeError):
        os.write(a, b"more\n")
    bomb.defuse()
    assert log.end() == 0
    assert log.text("a.error").count("\n") == 2


@pytest.mark.parametrize("guarded", [True, False])
def test_a_site_that_shuts_its_end_down_is_over(log, guarded):
    os.write(log.site(1, "b.example"), b"begin\n")
    log.wait_for("error", "begin")
    before = log.descriptors()
    a = log.site(0, "a.example", error="a.error", guarded=guarded)
    os.write(a, b"whole\nhalf")
    with as_socket(a) as end:
        end.shutdown(socket.SHUT_WR)
    assert log.wait_for("a.error", "half").endswith("] half\n")
    wait_until(lambda: log.descriptors() == before, SECONDS)


@pytest.mark.parametrize("guarded", [True, False])
def test_out_of_band_data_is_data_and_keeps_nobody_busy(log, guarded):
    a = log.site(0, "a.example", error="a.error", guarded=guarded)
    with as_socket(a) as end:
        for part in (b"fir", b"st\n"):
            end.send(part, socket.MSG_OOB)
        end.send(b"second\n")
        end.send(b"!", socket.MSG_OOB)
        text = log.wait_for("a.error", "first", "second", "![...]")
        assert text.count("\n") == 3
        used = processor_seconds(log.process.pid)
        time.sleep(0.3)
        assert processor_seconds(log.process.pid) - used < 0.1
        end.send(b" and the rest\n")
    log.wait_for("a.error", "[...] and the rest")


def processor_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_many_who_write_at_once_write_whole_lines(log):
    """As long as a pipe would take in one piece, PIPE_BUF, and what a pipe would not."""
    a = log.site(0, "a.example", error="a.error")
    lines = [f"{number:02}{chr(97 + number)}".encode() * 2000 for number in range(8)]
    pids = []
    for line in lines:
        pids.append(os.fork())
        if pids[-1] == 0:
            for _ in range(20):
                os.write(a, line + b"\n")
            os._exit(0)
    for pid in pids:
        assert os.waitpid(pid, 0) == (pid, 0)
    log.hang_up("a.example")
    assert log.end() == 0
    written = [line.partition("] [a.example] ")[2].encode() for line in log.text("a.error").splitlines()]
    assert sorted(line for line in written if line) == sorted(lines * 20)


def test_a_megabyte_in_one_write_arrives_to_its_last_byte(log):
    a = log.site(0, "a.example", error="a.error")
    data = b"".join(b"%07d\n" % number for number in range(1 << 17))
    assert os.write(a, data) == len(data)
    log.hang_up("a.example")
    assert log.end() == 0
    written = [line.partition("] [a.example] ")[2] for line in log.text("a.error").splitlines()]
    assert "".join(f"{line}\n" for line in written if line).encode() == data


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
