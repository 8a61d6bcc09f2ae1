"""Logs under attack, with real users: nobody but their site, and that only through its socket, has a say in them.

The sites run the Python that a test sends them, at a request or, written beside them, at their import.
"""

import contextlib
import ctypes
import http.client
import json
import os
import re
import signal
import stat
import threading
import time
from pathlib import Path

import pytest
from daemon import Daemon, alive, wait_gone, wait_until

from itkwsgi.errors import OperatorError
from itkwsgi.log.lines import escape
from itkwsgi.log.sources import BURST, LONGEST_LINE, RATE
from itkwsgi.supervisor import loglink, places
from tests.support.hanging import hanging

A, B = 50001, 50002
STAMP = r"\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d\] "
APP = """
import json, os, time

def application(environ, start_response):
    here = {"environ": environ, "os": os, "time": time}
    exec(environ["wsgi.input"].read(), here)
    start_response("200 OK", [])
    return [json.dumps(here.get("found")).encode()]
"""
AT_IMPORT = """
import json
here = {}
exec(open(__file__ + ".attack").read(), here)

def application(environ, start_response):
    start_response("200 OK", [])
    return [json.dumps(here.get("found")).encode()]
"""


class Served:
    """A daemon and its logs: a.test writes to the server's, b.test to its own."""

    def __init__(self, daemon, place):
        self.daemon = daemon
        self.logs = place / "log"

    def run(self, code, host="a.test"):
        answer = self.daemon.ask("POST", host, "/", body=code.encode())
        assert answer.status == 200, self.text() + self.text("b.error.log")
        return json.loads(answer.body)

    def text(self, name="error.log"):
        path = self.logs / name
        return path.read_text(errors="surrogateescape") if path.exists() else ""

    def wait_for(self, part, name="error.log", seconds=10):
        wait_until(lambda: part in self.text(name), seconds, f"{part!r} in {name}")
        return self.text(name)

    def lines(self, part, name="error.log"):
        """What stands in lines with that part, after the stamp and the name, which are a.test's (in its own: b's)."""
        writer = re.escape("b.test" if name.startswith("b.") else "a.test")
        found = []
        for line in self.text(name).split("\n"):
            if part in line:
                match = re.fullmatch(f"{STAMP}\\[{writer}\\] (.*)", line, re.S)
                assert match, f"not under {writer}: {line!r}"
                found.append(match[1])
        return found


def serve(place, name, server=""):
    where = place / name
    where.mkdir()
    where.chmod(0o755)
    vhosts = []
    for host, uid, app, keys in (
        ("a.test", A, APP, ""),
        ("b.test", B, APP, 'access_log = "log/b.access.log"\nerror_log = "log/b.error.log"\n'),
        ("early.test", A, AT_IMPORT, ""),
    ):
        file = where / f"{host.split('.')[0]}.py"
        file.write_text(app)
        file.chmod(0o644)
        vhosts.append(f"[[vhost]]\nname = '{host}'\nroot = {str(where)!r}\napp = '{file.name}'\nuser = {uid}\n{keys}\n")
    return Daemon(where, "".join(vhosts), server=server)


@pytest.fixture(scope="module")
def served(place):
    with serve(place, "logs") as daemon:
        one = Served(daemon, place / "logs")
        one.run("os.write(2, b'of b alone\\n')", "b.test")
        one.wait_for("of b alone", "b.error.log")
        wait_until(lambda: "POST" in one.text("b.access.log"), 10, "b's access")
        yield one


# --- the files


ATTACK = """
import os
found = {}
def attempt(name, call, *args):
    try:
        got = call(*args)
        found[name] = "done"
        if isinstance(got, int):
            os.close(got)
    except OSError as error:
        found[name] = type(error).__name__
for name in ("error.log", "access.log", "b.error.log", "b.access.log"):
    path = LOGS + "/" + name
    attempt("read " + name, os.open, path, os.O_RDONLY)
    attempt("write " + name, os.open, path, os.O_WRONLY)
    attempt("append " + name, os.open, path, os.O_WRONLY | os.O_APPEND)
    attempt("truncate " + name, os.truncate, path, 0)
    attempt("empty " + name, os.open, path, os.O_WRONLY | os.O_TRUNC)
    attempt("remove " + name, os.unlink, path)
    attempt("move " + name, os.rename, path, path + ".1")
    attempt("replace " + name, os.symlink, "/etc/passwd", path + ".new")
    attempt("link " + name, os.link, path, "/var/tmp/stolen-log")
    attempt("open up " + name, os.chmod, path, 0o666)
    attempt("own " + name, os.chown, path, os.getuid(), -1)
attempt("make", os.open, LOGS + "/mine", os.O_WRONLY | os.O_CREAT)
attempt("move all", os.rename, LOGS, LOGS + ".1")
"""


@pytest.mark.parametrize("host", ["a.test", "early.test"])
def test_no_site_has_a_way_to_a_log_by_its_name(served, host):
    """At its import and in a request; not even to its own."""
    attack = f"LOGS = {str(served.logs)!r}\n{ATTACK}"
    before = served.text("b.error.log")
    (served.logs.parent / "early.py.attack").write_text(attack)
    found = served.run(attack, host)
    assert len(found) == 46
    assert set(found.values()) == {"PermissionError"}
    assert served.text("b.error.log") == before
    for name in ("error.log", "access.log", "b.error.log", "b.access.log"):
        info = os.stat(served.logs / name)
        assert (info.st_uid, stat.S_IMODE(info.st_mode), info.st_nlink) == (0, 0o640, 1)


def test_the_control_with_a_careless_mode_a_site_empties_anothers_log(served):
    path = served.logs / "b.error.log"
    path.chmod(0o666)
    try:
        assert served.run(f"found = os.truncate({str(path)!r}, 0)") is None
        assert path.read_bytes() == b""
    finally:
        path.chmod(0o640)


def test_no_site_reaches_a_log_through_a_process_that_has_it_open(served):
    served.run("", "b.test")
    owners = {
        "log": served.daemon.named("itkwsgi: log")[0],
        "supervisor": served.daemon.pid,
        "pool of b": served.daemon.named("pool b.test")[0],
    }
    for name, pid in owners.items():
        folder = f"/proc/{pid}/fd"
        opened = {fd: os.readlink(f"{folder}/{fd}") for fd in os.listdir(folder)}
        ways = [
            fd for fd, target in opened.items() if target.endswith(".log") or target.startswith(("pipe:", "socket:"))
        ]
        assert ways, f"the {name} has none"  # the control: root sees them
        found = served.run(
            f"found = []\nfor fd in {ways}:\n    for how in (os.O_RDONLY, os.O_WRONLY):\n        try:\n"
            f"            found.append(os.open('{folder}/' + fd, how))\n"
            "        except OSError as error:\n            found.append(type(error).__name__)"
        )
        assert set(found) == {"PermissionError"}


def test_a_site_cannot_take_lines_back_out_of_its_log(served):
    """It is shut for reading.  By its name it can be opened for nothing at all."""
    found = served.run(
        "import errno\nfound = []\nfor call in (lambda: os.read(1, 1), lambda: os.read(2, 1),"
        " lambda: os.open('/proc/self/fd/2', os.O_RDONLY | os.O_NONBLOCK),"
        " lambda: os.open('/dev/stderr', os.O_WRONLY)):\n"
        "    try:\n        found.append(str(call()))\n"
        "    except OSError as error:\n        found.append(errno.errorcode[error.errno])"
    )
    assert found == ["b''", "b''", "ENXIO", "ENXIO"]


# --- where logs are opened


def test_a_site_whose_log_stands_in_its_own_home_is_not_served_and_nothing_is_made(daemon, place, sites, site):
    """The one who owns the way there could lead root anywhere."""
    home = place / "home-with-logs"
    home.mkdir()
    os.chown(home, A, A)
    (home / "link.log").symlink_to("/etc/itkwsgi-was-led-here")
    vhosts = "".join(
        site(f"{name}.test", f"user = {A}\nerror_log = {str(home / name)!r}") for name in ("plain.log", "link.log")
    )
    one = daemon(vhosts + site("b.test", f"user = {B}"))
    assert one.get("b.test").status == 200
    for name in ("plain.log", "link.log"):
        assert one.get(f"{name}.test").status == 500
    assert f"belongs to uid {A}" in one.error_log() + "\n".join(one.said)
    assert os.listdir(home) == ["link.log"]
    assert not os.path.lexists("/etc/itkwsgi-was-led-here")


@pytest.fixture
def swapping(place):
    """A folder of a site's user in which a name is now a folder and now a link to one of root's, as fast as it goes."""
    home, victim = place / "swapping", place / "victim"
    for path in (home, home / "real", victim):
        path.mkdir()
    os.chown(home, A, A)
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setresgid(A, A, A)
            os.setresuid(A, A, A)
            os.chdir(home)
            for number in range(100_000_000):
                with contextlib.suppress(OSError):  # what root made meanwhile, in the control, is moved out of the way
                    os.rename("logs", f"away-{number}")
                    os.rename(f"away-{number}", "real")
                with contextlib.suppress(OSError):
                    os.symlink(victim, "logs")
                    os.unlink("logs")
                with contextlib.suppress(OSError):
                    os.rename("real", "logs")
        finally:
            os._exit(0)
    yield home / "logs" / "error.log", victim
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.system(f"rm -rf {home} {victim}")


def open_again_and_again(path, victim, seconds):
    """Open and close that log until time is over or it was made where the link leads to."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not os.listdir(victim):
        try:
            os.close(places.open_log(str(path)))
        except (OperatorError, OSError):
            continue


def test_no_race_leads_a_log_elsewhere(swapping):
    path, victim = swapping
    open_again_and_again(path, victim, 1.0)
    assert os.listdir(victim) == []


def test_the_control_without_the_look_at_owners_the_race_is_won(swapping, monkeypatch):
    monkeypatch.setattr(places, "own", lambda *args, **more: None)
    path, victim = swapping
    open_again_and_again(path, victim, 10.0)
    assert os.listdir(victim) == ["error.log"]


def test_a_link_in_a_logs_place_is_not_followed_at_a_rotation(daemon, site, place):
    one = daemon(site("a.test", f"user = {A}"))
    log, target = one.place / "log" / "error.log", place / "led-here"
    target.write_bytes(b"")
    log.rename(f"{log}.1")
    log.symlink_to(target)
    os.kill(one.pid, signal.SIGUSR1)
    one.get("a.test", "/print")
    wait_until(lambda: "raw on descriptor 1" in Path(f"{log}.1").read_text(), 10, "the old file goes on")
    assert "error.log" in Path(f"{log}.1").read_text()  # and it says why
    assert target.read_bytes() == b""


# --- lines


FORGERIES = (
    "{line}\n",
    "x\n{line}\n",
    "x\r{line}\n",
    "x\r\n{line}\n",
    "x\x1b[2K\x1b[1G{line}\n",
    "x\x0b{line}\n",
    "x\x85{line}\n",
    "x\u2028{line}\n",
    "x\0{line}\n",
    "\x08" * 60 + "{line}\n",
    "z" * (LONGEST_LINE - 1) + "\n{line}\n",
    "z" * (LONGEST_LINE + 1) + "{line}\n",
)


def test_whatever_a_site_writes_stands_under_its_own_name(served):
    line = "[2026-11-25T12:00:00.000+00:00] [b.test] forged"
    for number, forgery in enumerate(FORGERIES):
        served.run(f"os.write({1 + number % 2}, {forgery.format(line=line).encode()!r})")
    served.run("os.write(2, b'last of the forgeries\\n')")
    text = served.wait_for("last of the forgeries")
    assert len(served.lines("forged")) == len(FORGERIES)
    assert "forged" not in served.text("b.error.log")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028]", text)


def test_the_control_it_is_the_socket_that_decides(served):
    """Who holds b's, as only root could, writes as b."""
    served.run("", "b.test")
    with open(taken_from(served.daemon.named("pool b.test")[0], 2), "w") as end:
        end.write("put into the log of b\n")
    served.wait_for("put into the log of b", "b.error.log")
    assert served.lines("put into the log of b", "b.error.log") == ["put into the log of b"]


def taken_from(pid, fd):
    """A copy of a process's descriptor: pidfd_getfd(2)."""
    process = os.pidfd_open(pid)
    try:
        copy = ctypes.CDLL(None, use_errno=True).syscall(438, process, fd, 0)
    finally:
        os.close(process)
    assert copy >= 0, os.strerror(ctypes.get_errno())
    return copy


def test_a_site_cannot_write_lines_into_an_access_log(served):
    """Neither by what it answers nor by what its visitor sends."""
    served.run("environ['REMOTE_USER'] = 'x\\n1 forged-access'\nos.write(1, b'1 forged-access\\n')")
    for text in (b"GET /\n1 forged-access HTTP/1.1", b"GET / HTTP/1.1\r\nReferer: x\n1 forged-access"):
        served.daemon.raw(text + b"\r\nHost: a.test\r\nConnection: close\r\n\r\n")
    served.daemon.raw(b"GET /%0A1%20forged-access HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
    served.run("os.write(2, b'after the access lines\\n')", "b.test")
    wait_until(lambda: "forged" in served.text("access.log"), 10, "the last one, with %0A")
    assert "forged" not in served.text("b.access.log")
    assert all(
        re.match(r"(a\.test|early\.test|-) 127\.0\.0\.1 ", line) for line in served.text("access.log").splitlines()
    )


# --- raw writes


WHOLE = {
    "descriptor 1": ("os.write(1, b'{token} on 1\\n')", ["{token} on 1"]),
    "descriptor 2": ("os.write(2, b'{token} on 2\\n')", ["{token} on 2"]),
    "print without a flush": ("print('{token} printed')", ["{token} printed"]),
    "wsgi.errors": ("environ['wsgi.errors'].write('{token} to errors\\n')", ["{token} to errors"]),
    "from C": (
        "import ctypes\nlibc = ctypes.CDLL(None)\nlibc.puts(b'{token} by puts')\nlibc.fflush(None)",
        ["{token} by puts"],
    ),
    "writev": ("os.writev(2, [b'{token} ', b'in ', b'pieces\\n'])", ["{token} in pieces"]),
    "slowly": (
        "for part in (b'{token} ', b'little by ', b'little\\n'):\n    os.write(2, part)\n    time.sleep(0.1)",
        ["{token} little by little"],
    ),
    "subprocess": (
        "import subprocess\nsubprocess.run(['/bin/sh', '-c', 'echo {token} out; echo {token} err >&2'], check=True)",
        ["{token} out", "{token} err"],
    ),
    "a copy of the descriptor": ("os.write(os.dup(2), b'{token} copied\\n')", ["{token} copied"]),
    "grandchild": (
        "if os.fork() == 0:\n    os.setsid()\n    os.write(2, b'{token} from a grandchild\\n')\n"
        "    os._exit(0)\nos.wait()",
        ["{token} from a grandchild"],
    ),
    "several lines": (
        "os.write(2, b'{token} 1\\n\\n{token} 2\\n{token} 3\\n')",
        ["{token} 1", "{token} 2", "{token} 3"],
    ),
}


@pytest.mark.parametrize("name", WHOLE)
def test_what_is_written_arrives_whole(served, name):
    code, expected = WHOLE[name]
    token = f"token-{name.replace(' ', '-')}"
    served.run(code.replace("{token}", token))
    served.wait_for(expected[-1].replace("{token}", token))
    assert served.lines(token) == [line.replace("{token}", token) for line in expected]


def test_a_line_without_an_end_arrives_by_itself(served):
    """Its process has ended, its pool still has the pipe."""
    served.run("os.write(2, b'token-without end')")
    served.wait_for("token-without end")
    served.run("os.write(2, b'\\n')")
    assert served.lines("token-without") in (["token-without end[...]"], ["token-without end"])


def test_binary_arrives_as_escapes_and_whole(served):
    data = b"token-binary " + bytes(byte for byte in range(256) if byte not in b"\r\n") + b" token-end"
    served.run(f"os.write(2, {data!r} + b'\\n')")
    served.wait_for("token-end")
    assert served.lines("token-binary") == [escape(data)]


@pytest.mark.parametrize("end", ["\n", ""])
def test_a_very_long_line_arrives_in_pieces_that_make_it_up(served, end):
    token = f"token-long-{len(end)}"
    text = f"{token} " + "".join(f"{number:07},{token} " for number in range(8000))
    served.run(f"data = {(text + end)!r}.encode()\nwhile data:\n    data = data[os.write(2, data):]")
    served.run("os.write(2, b'\\n')")
    served.wait_for(f"0007999,{token}")
    pieces = served.lines(token)
    assert len(pieces) > len(text) // LONGEST_LINE
    assert all(piece.endswith("[...]") for piece in pieces[:-1])
    assert all(piece.startswith("[...]") for piece in pieces[1:])
    assert "".join(piece.replace("[...]", "") for piece in pieces).strip() == text.strip()


def test_many_children_at_once(served):
    """Lines up to PIPE_BUF are whole, whoever writes beside; see pipe(7)."""
    code = (
        "import subprocess\n"
        "programs = [subprocess.Popen(['/bin/sh', '-c', 'for i in 1 2 3 4 5 6 7 8 9; do echo token-many NUMBER.%d.$i "
        "{x}; done'.replace('{x}', 'y' * 300) % one]) for one in range(4)]\n"
        "for line in range(20):\n    os.write(2, b'token-many NUMBER/%d ' % line + b'z' * 3000 + b'\\n')\n"
        "[program.wait() for program in programs]"
    )
    threads = [threading.Thread(target=served.run, args=(code.replace("NUMBER", str(number)),)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = {f"token-many {number}/{line} {'z' * 3000}" for number in range(12) for line in range(20)}
    expected |= {
        f"token-many {number}.{program}.{line} {'y' * 300}"
        for number in range(12)
        for program in range(4)
        for line in range(1, 10)
    }
    wait_until(lambda: served.text().count("token-many") >= len(expected), 20, "all lines")
    found = served.lines("token-many")
    assert len(found) == len(expected)
    assert set(found) == expected


def test_import_time(served):
    (served.logs.parent / "early.py.attack").write_text("import os\nos.write(2, b'token-import [b.test] forged\\n')")
    for pid in served.daemon.named("pool early.test"):
        os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not served.daemon.named("pool early.test"), 10, "it leaves")
    served.daemon.get("early.test")
    served.wait_for("token-import")
    found = [line for line in served.text().splitlines() if "token-import" in line]
    assert len(found) == 1
    assert re.fullmatch(f"{STAMP}\\[early\\.test\\] token-import \\[b\\.test\\] forged", found[0])


def test_a_site_with_logs_of_its_own_is_in_no_other(served):
    served.run("os.write(1, b'token-own out\\n')", "b.test")
    answer = served.daemon.ask("POST", "b.test", "/token-own", body=b"raise RuntimeError('token-own raised')")
    assert answer.status == 500
    served.wait_for("token-own raised", "b.error.log")
    wait_until(lambda: "/token-own" in served.text("b.access.log"), 10, "its access line")
    assert "token-own" not in served.text("error.log") + served.text("access.log")
    assert "token-own out" in served.lines("token-own", "b.error.log")
    assert "b.test" not in served.text("b.access.log")


# --- how much


def test_who_writes_without_end_waits_alone_and_is_told_once(served):
    size = BURST + 2 * RATE
    code = f"line = b'token-flood ' + b'f' * 4000 + b'\\n'\nfor _ in range({size} // len(line)):\n    os.write(2, line)"
    flood = threading.Thread(target=served.run, args=(code,))
    start = time.monotonic()
    flood.start()
    slowest = 0.0
    number = 0
    while flood.is_alive():
        number += 1
        asked = time.monotonic()
        served.run(f"os.write(2, b'token-meanwhile {number}\\n')", "b.test")
        slowest = max(slowest, time.monotonic() - asked)
        time.sleep(0.05)
    seconds = time.monotonic() - start
    assert seconds >= (size - BURST - 2 * loglink.SEND_BUFFER - 2 * 65536) / RATE
    assert slowest < 1.0
    served.wait_for(f"token-meanwhile {number}\n", "b.error.log")
    assert len(served.lines("token-meanwhile", "b.error.log")) == number
    wait_until(lambda: len(served.lines("token-flood")) == size // 4013, 10, "each line of the flood")
    told = [line for line in served.text().splitlines() if "a.test writes more than" in line]
    assert len(told) == 1
    assert "[itkwsgi log] " in told[0]


def test_a_site_fills_its_part_of_a_log_and_is_told_once(place):
    flood = "for _ in range(300):\n    os.write(2, b'token-fill ' + b'f' * 1000 + b'\\n')"
    with serve(place, "capped", server="log_max = '64K'") as daemon:
        one = Served(daemon, place / "capped")
        one.run(flood)
        one.run(flood, "b.test")
        for name in ("error.log", "b.error.log"):
            text = one.wait_for("log_max (64K) is reached", name)
            assert 50 < len(one.lines("token-fill", name)) < 65
            assert len(text) < 64 * 1024 + 1000
        (one.logs / "b.error.log").rename(one.logs / "b.error.log.1")
        os.kill(daemon.pid, signal.SIGUSR1)
        wait_until(lambda: (one.logs / "b.error.log").exists(), 10, "the new log")
        one.run("os.write(2, b'token-again\\n')", "b.test")
        one.wait_for("lines of the error log of b.test were lost: log_max was reached", "b.error.log")
        assert one.lines("token-again", "b.error.log") == ["token-again"]
        assert one.text().count("log_max (64K)") == 2  # of a.test's part, and of b.test's own


# --- what hangs


WRITE = 1  # its number
WRITES_WHAT_HANGS = """
import mmap
os.write({fd}, b"token-before\\n")
with open({file!r}, "rb") as file:
    memory = mmap.mmap(file.fileno(), 4096, prot=mmap.PROT_READ)
os.write({fd}, memory)
"""
with_fuse = pytest.mark.skipif(
    not os.path.exists("/dev/fuse") or os.uname().machine != "x86_64", reason="needs FUSE, and a number of x86_64"
)
killable = pytest.mark.parametrize("killable", [True, False], ids=["killable", "unkillable"])


def hanging_file(place, killable):
    folder = place / "hanging"
    folder.mkdir(exist_ok=True)
    return hanging(folder, killable=killable)


def state(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


def writes(pid):
    """Whether a process is in its write(2) for long: proc(5)."""
    return Path(f"/proc/{pid}/syscall").read_text().startswith(f"{WRITE} ")


@pytest.fixture
def forked():
    """Call something in a process of its own; whatever it waits for has to be over at the end."""
    pids = []

    def fork(do, *args):
        pids.append(os.fork())
        if pids[-1] == 0:
            try:
                do(*args)
            finally:
                os._exit(0)
        return pids[-1]

    yield fork
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def write_what_hangs(fd, file, other_end):
    os.close(other_end)
    exec(WRITES_WHAT_HANGS.format(file=str(file), fd=fd), {"os": os})


@with_fuse
@killable
@pytest.mark.parametrize("do", [lambda fd: os.read(fd, 1), os.close], ids=["read", "closed"])
@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_a_socket_that_is_written_what_hangs_holds_nobody_and_the_control_a_pipe_does(
    place, forked, kind, do, killable
):
    with hanging_file(place, killable) as file:
        ours, theirs = os.pipe() if kind == "pipe" else (end.detach() for end in loglink.stream_ends()[:2])
        os.set_blocking(ours, False)
        hangs = forked(write_what_hangs, theirs, file, ours)
        wait_until(lambda: writes(hangs), 10, "it hangs")
        os.close(theirs)
        gate, opener = os.pipe()
        victim = forked(lambda: (os.close(opener), os.read(gate, 1), do(ours)))
        for fd in (ours, gate, opener):  # the victim has the last copy, and begins
            os.close(fd)
        if kind == "socket":
            wait_until(lambda: state(victim) == "Z", 1, "it goes on")
        else:
            time.sleep(1.0)
            os.kill(victim, signal.SIGKILL)
            time.sleep(0.2)
            assert state(victim) == "D"


class Hang:
    """A request to a.test that writes what hangs."""

    def __init__(self, served, file):
        served.run("")
        code = WRITES_WHAT_HANGS.format(file=str(file), fd=2)
        self.thread = threading.Thread(target=self.ask, args=(served.daemon, code.encode()))
        self.thread.start()
        served.wait_for("token-before")
        children = served.daemon.named("child a.test")
        wait_until(lambda: any(map(writes, children)), 10, "it hangs")
        [self.pid] = filter(writes, children)

    def ask(self, daemon, code):
        with contextlib.suppress(OSError, http.client.HTTPException):
            daemon.ask("POST", "a.test", "/", body=code, timeout=60)


@with_fuse
@killable
def test_a_site_that_writes_what_hangs_hangs_alone(place, killable):
    name = f"hang-{killable}"
    with serve(place, name) as daemon:
        one = Served(daemon, place / name)
        with hanging_file(place, killable) as file:
            hang = Hang(one, file)
            [log] = daemon.named("itkwsgi: log")
            one.run("os.write(2, b'token-of-b\\n')", "b.test")
            one.run("os.write(2, b'token-of-a\\n')")
            one.wait_for("token-of-b", "b.error.log")
            one.wait_for("token-of-a")
            (one.logs / "b.error.log").rename(one.logs / "b.error.log.1")
            os.kill(daemon.pid, signal.SIGUSR1)
            wait_until(lambda: (one.logs / "b.error.log").exists(), 10, "the new log")
            end = [pid for pid in daemon.named(" a.test") if killable or pid != hang.pid]
            for pid in (*daemon.named("pool a.test"), hang.pid):
                os.kill(pid, signal.SIGKILL)
            assert wait_gone(end) == []
            assert alive(hang.pid) != killable
            one.run("os.write(2, b'token-of-the-next\\n')")
            one.wait_for("token-of-the-next")
            assert "D" not in (state(log), state(daemon.pid))
        hang.thread.join()


@with_fuse
def test_a_server_stops_in_time_while_a_site_writes_what_hangs(place):
    with serve(place, "hang-stop", server="graceful_timeout = 1") as daemon, hanging_file(place, True) as file:
        hang = Hang(Served(daemon, place / "hang-stop"), file)
        begin = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - begin < 10
        hang.thread.join()
