"""A server under attack: who is where, what there is to be had, and who makes the same attempts with every right.

The attempts themselves are in tests/root/attacks; they run in sites and know what ``Battlefield.targets`` tells them.
"""

from __future__ import annotations

import ctypes
import json
import os
import pty
import shutil
import signal
import socket
import struct
import subprocess
import sys
import sysconfig
import threading
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any
from unittest import mock

import itkwsgi
from tests.root.attacks.attempt import Way, try_apart
from tests.root.attacks.backdoor import MARK, ROLES
from tests.root.attacks.calls import LIBC, call
from tests.support.daemon import Daemon, wait_until
from tests.support.forked import in_child

TESTS = Path(__file__).parents[2]
VICTIM, REQUEST, IMPORT, OWN, CAPABLE = 50102, 50101, 50103, 50104, 50109
FRONT, ZYGOTE = 65530, 65531
PR_SET_KEEPCAPS = 8
USER_KEYRING, KEYCTL_SETPERM, ALL_FOR_ITS_USER = -4, 5, 0x3F3F0000
CAP_SYS_RESOURCE = 24
WORD = "plum-orchard-at-dusk-"
CAT_READS_ALL = struct.pack("<5I", 0x02000001, 1 << 1, 0, 0, 0)  # struct vfs_cap_data: CAP_DAC_OVERRIDE

PYTHON = "/usr/bin/python3"
PROGRAMS = {
    "setuid cat": ("/bin/cat", 0, 0o4755),
    "setgid cat": ("/bin/cat", 0, 0o2755),
    "victim's setuid cat": ("/bin/cat", VICTIM, 0o4755),
    "capable cat": ("/bin/cat", 0, 0o755),
    "setuid python": (PYTHON, 0, 0o4755),
}
# The module that a call is appended to.
BACK_DOORS = {"front/router.py": "in_front(Router)", "log/lines.py": "in_log(LineSplitter)"}

# Links of what a process of a site may hold.
GIVEN = {
    "request": ["/dev/null", "socket:", "socket:", "socket:"],
    "import": ["/dev/null", "socket:", "socket:", "socket:", "anon_inode:[eventfd]"],
}
SITE_PLACES = {
    "in a request": "request.test",
    "at import": "import.test",
    "in a request of a site that names no user": "default.test",
    "at import, in an interpreter of its own": "own.test",
}


class Battlefield:
    """One daemon with one victim and an attacker for each place.  Below ``place`` lies all that there is to be had."""

    def __init__(self, place: Path, server: str = "") -> None:
        place.mkdir()
        self.place = place
        self.code = place / "code"
        self.home = place / "home"
        self.programs = place / "programs"
        self.own = place / "own"
        self.server = place / "server"
        self.targets_file = place / "targets.json"
        self.shared_memory = Path(f"/dev/shm/itkwsgi-{place.name}-{os.getpid()}")
        env = {**os.environ, "SERVERS_WORD": WORD + "server"}
        self.daemon = Daemon(self.server, self.vhosts(), server=server, env=env)
        self.results: dict[str, dict[str, dict[str, str]]] = {}

    @contextmanager
    def begun(self) -> Iterator[Battlefield]:
        """Served, with the victim awake and one of its children in a request."""
        make_code(self.code)
        self.make_files()
        with shared_things(self.shared_memory) as shared:
            known = self.known(shared)
            self.prepare(known)
            with self.serving() as one, held_child(one) as child:
                one.config.chmod(0o600)
                write(self.tmp / "file", VICTIM, 0o600)
                self.targets = {**known, "pids": self.pids(child)}
                self.targets_file.write_text(json.dumps(self.targets))
                self.targets_file.chmod(0o644)
                yield self

    def prepare(self, known: dict[str, Any]) -> None:
        """For those who must know before the start."""

    @contextmanager
    def serving(self) -> Iterator[Daemon]:
        with self.daemon as one:
            yield one

    def vhosts(self) -> str:
        attackers = (
            ("request.test", REQUEST, "", ""),
            ("import.test", IMPORT, "import", ""),
            ("default.test", None, "", ""),
            ("own.test", OWN, "import", "python = '/usr/bin/python3'"),
        )
        knowing = self.vhost(
            "knowing.test", "attacker", REQUEST, f"TARGETS = {str(self.targets_file)!r}, WORD = '{WORD}victim'"
        )
        return (
            self.victim()
            + knowing
            + self.vhost("recalls.test", "recalls", REQUEST, "")
            + "".join(
                self.vhost(name, "attacker", uid, f"TARGETS = {str(self.targets_file)!r}, WHEN = '{when}'", more)
                for name, uid, when, more in attackers
            )
        )

    def victim(self) -> str:
        log = f"error_log = {str(self.server / 'log/victim.log')!r}"
        return self.vhost("victim.test", "victim", VICTIM, f"WORD = '{WORD}victim'", log)

    def vhost(self, name: str, app: str, uid: int | None, env: str, more: str = "") -> str:
        user = "" if uid is None else f"user = {uid}\n"
        app = f"tests.root.attacks.{app}:application"
        return (
            f"[[vhost]]\nname = {name!r}\nroot = {str(self.code)!r}\napp = {app!r}\n{user}env = {{ {env} }}\n{more}\n"
        )

    # --- what there is to be had

    @property
    def tmp(self) -> Path:
        return self.server / f"spool/tmp/victim.test-{VICTIM}"

    def make_files(self) -> None:
        """A victim's home, a key, and programs that change who runs them."""
        for directory, uid in ((self.home, VICTIM), (self.own, CAPABLE), (self.programs, 0)):
            directory.mkdir()
            os.chown(directory, uid, uid)
        write(self.home / "secret", VICTIM, 0o600)
        self.home.chmod(0o700)
        write(self.place / "key.pem", 0, 0o600)
        write(self.place / "group's", 0, 0o040)
        write(self.place / "outside", 0, 0o644)
        for name, (source, uid, mode) in PROGRAMS.items():
            shutil.copyfile(source, self.programs / name)
            os.chown(self.programs / name, uid, 0)
            (self.programs / name).chmod(mode)
        os.setxattr(self.programs / "capable cat", "security.capability", CAT_READS_ALL)

    def known(self, shared: dict[str, Any]) -> dict[str, Any]:
        """What an attacker is told that is so before the start."""
        return {
            "ids": {"root": 0, "zygote": ZYGOTE, "front": FRONT, "victim": VICTIM},
            "files": {name: str(path) for name, path in self.files().items()},
            "programs": {name: str(self.programs / name) for name in PROGRAMS},
            "port": self.daemon.port,
            "own": str(self.own),
            "descriptors": [],
            "descriptors of": GIVEN,
            "backwards": [(WORD + whose)[::-1] for whose in ("victim", "server")],
            "server's packages": sysconfig.get_path("purelib"),
            "oom_floor": bool(capabilities() >> CAP_SYS_RESOURCE & 1),
            **shared,
        }

    def files(self) -> dict[str, Any]:
        server, package = self.server, Path(itkwsgi.__file__)
        return {
            "config": self.daemon.config, "key": self.place / "key.pem", "secret": self.home / "secret",
            "group's": self.place / "group's", "outside": self.place / "outside", "victim's home": self.home,
            "victim's tmp": self.tmp, "victim's tmp file": self.tmp / "file", "all tmp": self.tmp.parent,
            "error log": server / "log/error.log", "access log": server / "log/access.log",
            "victim's log": server / "log/victim.log", "logs": server / "log", "run": server / "run",
            "pools": server / "run/pools", "pool socket": server / "run/pools/0.sock", "spool": server / "spool",
            "bodies": server / "spool/bodies", "code": self.code, "package": package.parent, "package file": package,
            "code file": self.code / "tests/root/attacks/victim.py", "interpreter": os.path.realpath(PYTHON),
            "shadow": "/etc/shadow", "gshadow": "/etc/gshadow", "shared memory": self.shared_memory,
        }  # fmt: skip

    def pids(self, child: int) -> dict[str, int]:
        one = self.daemon
        roles = {role: one.named(f"itkwsgi: {role}")[0] for role in ("front", "log", "zygote")}
        return {"supervisor": one.pid, **roles, "pool": one.named("pool victim.test")[0], "child": child}

    # --- the attempts

    def outcome(self, host: str, name: str) -> dict[str, str]:
        """What that attacker's attempt brought; all of its attempts are made at once, when the first is asked for."""
        if host not in self.results:
            answer = self.daemon.get(host, timeout=60)
            assert answer.status == 200, answer.text
            self.results[host] = json.loads(answer.body)
        return self.results[host][name]

    def control(self, name: str, way: Way) -> dict[str, str]:
        """The same attempt by who is entitled."""
        role = next((role for role in self.targets["pids"] if name.endswith(role)), "pool")
        return entitled(way, self.targets, owner_of(self.targets["pids"][role]))


class Takeover(Battlefield):
    """The same with a copy of the package that has a back door: in the front, in the log, in a zygote."""

    def __init__(self, place: Path, server: str = "") -> None:
        self.venv = place / "venv"
        self.environment = place / "environment"
        self.package = place / "package"
        super().__init__(place, server)

    def vhosts(self) -> str:
        environment = (
            f"[environment.taken]\nvenv = {str(self.environment)!r}\npreload = ['tests.root.attacks.in_zygote']\n"
        )
        return self.victim() + self.vhost("taken.test", "victim", REQUEST, "", "environment = 'taken'") + environment

    def prepare(self, known: dict[str, Any]) -> None:
        """A venv in which the package is ours: it is where the server's interpreter looks, whatever the environment."""
        own = Path(itkwsgi.__file__).parent
        shutil.copytree(own, self.package / "itkwsgi", ignore=shutil.ignore_patterns("__pycache__"))
        for module, opening in BACK_DOORS.items():
            with open(self.package / "itkwsgi" / module, "a") as file:
                file.write(f"\n\nfrom tests.root.attacks import backdoor\n\nbackdoor.{opening}\n")
        (self.code / "tests/root/attacks/targets.json").write_text(json.dumps(known))
        ours = [path for path in sys.path if path.endswith("site-packages")]
        make_venv(self.venv, [self.package, self.code, *ours])
        make_venv(self.environment, [self.code])

    @contextmanager
    def serving(self) -> Iterator[Daemon]:
        with mock.patch.object(sys, "executable", str(self.venv / "bin/python")):
            self.daemon.start()
        try:
            yield self.daemon
        finally:
            self.daemon.stop()

    @property
    def call(self) -> str:
        """What the back doors wait for."""
        return "attack-" + "-".join(str(self.targets["pids"][role]) for role in ROLES)

    def outcome(self, role: str, name: str) -> dict[str, str]:
        if role not in self.results:
            if role == "front":
                self.daemon.get(self.call)
            if role == "log":
                self.daemon.get("victim.test", f"/say?{self.call}.")
            said = self.daemon.error_log if role != "log" else lambda: "\n".join(self.daemon.said)
            wait_until(lambda: any(name == "the end" for name, _ in outcomes(said(), role)), 20, "the end of it")
            self.results[role] = dict(outcomes(said(), role))
        return self.results[role][name]


def outcomes(text: str, role: str) -> list[tuple[str, dict[str, str]]]:
    """What the back doors wrote on their fd 2."""
    lines = [line for line in text.splitlines() if MARK in line and (role == "log" or f"[itkwsgi {role}" in line)]
    return [tuple(json.loads(line.partition(MARK)[2])) for line in lines]


@contextmanager
def held_child(daemon: Daemon) -> Iterator[int]:
    """One child of the victim's, in a request for as long as this lasts; its pid."""
    daemon.get("victim.test")
    connection = daemon.connect(timeout=60)
    connection.request("GET", "/hold", headers={"Host": "victim.test"})
    answer = connection.getresponse()
    reading = threading.Thread(target=drain, args=(answer,), daemon=True)
    pid = int(answer.readline())
    reading.start()
    try:
        yield pid
    finally:
        with suppress(OSError):
            assert connection.sock is not None
            connection.sock.shutdown(socket.SHUT_RDWR)
        reading.join(10)
        connection.close()


@contextmanager
def shared_things(memory: Path) -> Iterator[dict[str, Any]]:
    """Memory, a semaphore, a queue, a key of the victim's."""
    write(memory, VICTIM, 0o600)
    ipc = in_child(as_user, VICTIM, make_ipc)
    key, holder = hold_key()
    try:
        yield {"ipc": ipc, "key": key}
    finally:
        memory.unlink()
        in_child(as_user, VICTIM, remove_ipc, ipc)
        os.kill(holder, signal.SIGKILL)
        os.waitpid(holder, 0)


def make_code(place: Path) -> None:
    """The attempts, where every site may read them."""
    shutil.copytree(
        TESTS / "tests/root/attacks", place / "tests/root/attacks", ignore=shutil.ignore_patterns("__pycache__")
    )
    subprocess.run(["chmod", "-R", "a+rX", place], check=True)


def make_venv(place: Path, paths: Sequence[Path | str]) -> None:
    """An environment in which these are searched too, even by an interpreter that ignores its variables."""
    venv.create(place, with_pip=False, symlinks=True)
    packages = next(place.glob("lib/python3*/site-packages"))
    (packages / "more.pth").write_text("".join(f"{path}\n" for path in paths))


def write(path: Path, uid: int, mode: int) -> None:
    path.write_text(f"what is in {path.name}")
    os.chown(path, uid, uid)
    path.chmod(mode)


def drain(answer) -> None:
    with suppress(OSError, ValueError, HTTPException):
        while answer.read1(100):
            continue


def capabilities() -> int:
    """What this process holds, as a mask."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("CapEff")).split()[1], 16)


# --- who makes an attempt


def owner_of(pid: int) -> int:
    """Its uid, by what it says of itself: /proc of a process that is not dumpable is root's."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("Uid")).split()[1])


def as_user(uid: int, function, *args):
    """With no capability, but without no_new_privs: an ordinary login.  To be called in a fork."""
    if uid:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    LIBC.prctl(4, 1, 0, 0, 0)  # its /proc is its own, as after an exec
    return function(*args)


def as_capable(uid: int, function, *args):
    """A user that kept every capability: what a server is that never gave them up."""
    held = capabilities()
    LIBC.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    set_capabilities(held)
    LIBC.prctl(4, 1, 0, 0, 0)
    return function(*args)


def entitled(way: Way, targets: dict[str, Any], owner: int) -> dict[str, str]:
    """The attempt by who may do it, in a fork."""
    if way.control == "terminal":
        return on_a_terminal(way, targets)
    if way.control == "resource" and not capabilities() >> CAP_SYS_RESOURCE & 1:
        return {"missing": "whoever runs the tests has no CAP_SYS_RESOURCE"}
    if way.control == "capable":
        return in_child(as_capable, CAPABLE, try_apart, way, targets)
    uid = {"root": 0, "resource": 0, "owner": owner, "plain": CAPABLE, "front": FRONT}[way.control]
    return in_child(as_user, uid, try_apart, way, targets)


def set_capabilities(held: int) -> None:
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    low, high = held & 0xFFFFFFFF, held >> 32
    call("capset", ctypes.byref(header), ctypes.byref((ctypes.c_uint32 * 6)(low, low, 0, high, high, 0)))


def on_a_terminal(way, targets) -> dict[str, str]:
    """In a session that has a controlling terminal."""
    reader, writer = os.pipe()
    pid, terminal = pty.fork()
    if pid == 0:
        try:
            os.write(writer, json.dumps(try_apart(way, targets)).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as file:
        said = file.read()
    os.waitpid(pid, 0)
    os.close(terminal)
    found: dict[str, str] = json.loads(said)
    return found


# --- what processes share


def make_ipc() -> dict[str, int]:
    key = 0x17C00000 | os.getpid() & 0xFFFFF
    made = {
        "key": key,
        "memory": LIBC.shmget(key, 4096, 0o1600),
        "semaphore": LIBC.semget(key, 1, 0o1600),
        "queue": LIBC.msgget(key, 0o1600),
    }
    assert min(made.values()) >= 0, made
    return made


def remove_ipc(ipc: dict[str, int]) -> None:
    LIBC.shmctl(ipc["memory"], 0, None)
    LIBC.semctl(ipc["semaphore"], 0, 0)
    LIBC.msgctl(ipc["queue"], 0, None)


def hold_key() -> tuple[int, int]:
    """A key in the victim's keyring, and the process that keeps it."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            as_user(VICTIM, lambda: None)
            words = [ctypes.c_char_p(word) for word in (b"user", b"itkwsgi", b"x")]
            serial = call("add_key", *words, 1, USER_KEYRING)
            call("keyctl", KEYCTL_SETPERM, serial, ALL_FOR_ITS_USER, 0, 0)
            os.write(writer, str(serial).encode())
            signal.pause()
        finally:
            os._exit(0)
    os.close(writer)
    serial = int(os.read(reader, 20) or b"0")
    os.close(reader)
    assert serial > 0
    return serial, pid
