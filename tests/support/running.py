"""Pools for real: each a fork that becomes one, over real sockets, asked as the front asks; and that none is left.

Everything waits with an end: what does not come in `PATIENCE` seconds fails the test.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import select
import signal
import socket
import sys
import time
import traceback
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

from itkwsgi import errors
from itkwsgi.linux import fds, kernel, process_status
from itkwsgi.linux.title import PADDING
from itkwsgi.supervisor import sockets
from itkwsgi.wire import fastcgi
from itkwsgi.wire.answers import AnswerDecoder
from itkwsgi.wire.cgi import AnswerHeadDecoder
from itkwsgi.wire.orders import PoolState
from tests.support.daemon import title
from tests.support.forked import ORDINARY

PATIENCE = 10.0
BOOT = os.path.join(os.path.dirname(errors.__file__), "boot.py")
NO_WALLS: dict[str, object] = {
    "rlimits": [],
    "landlock": None,
    "seccomp": None,
    "child_landlock": None,
    "child_seccomp": None,
}
SMALL_SITE = (Path(__file__).parent / "small_site.py").read_text()


LETTERS = {
    PoolState.SWITCHED: b"S",
    PoolState.SERVING: b"R",
    PoolState.BROKEN: b"B",
    PoolState.IDLE: b"I",
    PoolState.ACTIVE: b"A",
    PoolState.CRASHED: b"C",
    PoolState.LEAVING: b"L",
    b"": b"",
}


class Answer:
    """What came back: ``status`` None when there was no head, ``ended`` when END_REQUEST came."""

    def __init__(self, data: bytes) -> None:
        decoder = AnswerDecoder()
        decoder.feed(data)
        events = list(iter(decoder.next_event, None))
        stdout = b"".join(event.data for event in events if isinstance(event, fastcgi.StdoutData))
        head = AnswerHeadDecoder()
        found = head.feed(stdout)
        self.status = found.status if found else None
        self.headers = dict(found.fields) if found else {}
        self.body = head.rest
        self.ended = any(isinstance(event, fastcgi.RequestEnded) for event in events)

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def error_id(self) -> str:
        """The id on an error page."""
        found = re.search(r"<code>([0-9a-f]{12})</code>", self.text)
        assert found, self.text
        return found[1]


class Visitor:
    """One connection to a pool, with one request."""

    def __init__(self, path: str) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE)
        self.came = b""
        try:
            self.sock.connect(path)
        except OSError:
            self.sock.close()
            raise

    def __enter__(self) -> Visitor:
        return self

    def __exit__(self, *exception: object) -> None:
        self.sock.close()

    def begin(self, path: str, method: str = "GET", **params: str) -> None:
        """Send all of the request but its body."""
        self.sock.sendall(request_head(path, method, **params))

    def send_body(self, data: bytes = b"") -> None:
        """Send a piece of the body; b"" ends it."""
        self.sock.sendall(fastcgi.encode_stdin(data))

    def hold(self, path: str = "/hold", **params: str) -> int:
        """Begin a request that lasts until its body ends; returns, when it is at work, whose it is."""
        self.begin(path, **params)
        while b"begun" not in self.came:
            data = self.sock.recv(65536)
            assert data, "closed before it had begun"
            self.came += data
        return int(Answer(self.came).text.split()[0])

    def release(self) -> str:
        """End that request; the rest of its answer."""
        self.send_body()
        return self.answer().text.partition(" begun, ")[2]

    def is_answered(self, seconds: float) -> bool:
        """Does anything come in that time?"""
        return bool(select.select([self.sock], [], [], seconds)[0])

    def answer(self) -> Answer:
        """Read until the pool closes."""
        return Answer(self.came + self.rest())

    def rest(self) -> bytes:
        """All that comes, a reset taken for an end."""
        parts = []
        with contextlib.suppress(ConnectionResetError):
            while data := self.sock.recv(65536):
                parts.append(data)
        return b"".join(parts)


def ask(address: str, path: str, method: str = "GET", **params: str) -> Answer:
    """A whole request without a body, in one write as the front makes it."""
    with Visitor(address) as visitor:
        visitor.sock.sendall(request_head(path, method, **params) + fastcgi.encode_stdin(b""))
        return visitor.answer()


def request_head(path: str, method: str = "GET", **params: str) -> bytes:
    """The records of a request up to its body."""
    wanted = {"REQUEST_METHOD": method, "SCRIPT_NAME": "", "PATH_INFO": path, "QUERY_STRING": "", **params}
    return fastcgi.encode_request_head([(name.encode(), value.encode()) for name, value in wanted.items()])


class Site:
    """A place for one pool: its socket, its channel as the supervisor holds it, its log."""

    def __init__(self, place: Path, source: str = SMALL_SITE) -> None:
        self.place = place
        self.app = place / "small_site.py"
        self.app.write_text(source)
        self.listener = sockets.bind_pool(str(place), 0, None)
        self.address = str(place / "0.sock")
        os.chmod(self.address, 0o666)
        os.set_blocking(self.listener.fileno(), False)  # the pool's to choose, whatever it was
        self.channel, self.pools_end = os.pipe2(os.O_CLOEXEC)
        self.null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        self.log_fd = os.open(place / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def plan(self, **more: object) -> dict[str, object]:
        """What root would say of it."""
        return {
            "serial": 1,
            "index": 0,
            "name": "a.example",
            "uid": os.getuid(),
            "gid": os.getgid(),
            "groups": [],
            "account": {"name": "", "home": "", "shell": ""},
            "privileged": False,
            "no_new_privs": True,
            "nice": 0,
            "interpreter": None,
            "binary": None,
            "confine": NO_WALLS,
            "umask": 0o022,
            "root": str(self.place),
            "app": str(self.app),
            "mount": "",
            "env": {},
            "tmp_dir": None,
            "settings": self.settings(),
            "optimize": 0,
            "python": sys.executable,
            "preload": "app",
            "requests_per_child": 1,
            "min_spare": 1,
            "max_children": 16,
            "idle_timeout": 0.0,
            "exit_grace": 1.0,
            "warmup": [],
            "peer_uid": os.getuid(),
            "external": False,
            **more,
        }

    def settings(self, **more: object) -> dict[str, object]:
        """What root would say of its settings: nothing, unless ``more`` does."""
        return {
            "site": {},
            "holding": {},
            "directories": [],
            "locations": [],
            "override": None,
            "public": "",
            "root": str(self.place),
            "filters": {},
            "domain": None,
            "untraced": None,
            **more,
        }

    def descriptors(self) -> dict[int, int]:
        """Where a pool finds what it is given."""
        return {0: self.null, 1: self.log_fd, 2: self.log_fd, 3: self.listener.fileno(), 4: self.pools_end}

    def said(self, seconds: float = PATIENCE) -> bytes:
        """The next word that the pool says of itself, as a letter; b"" when it is gone.  Raises TimeoutError.

        Its channel is a pipe here, and no eventfd: so the order is seen, and the end.
        """
        if not select.select([self.channel], [], [], seconds)[0]:
            raise TimeoutError
        return LETTERS[os.read(self.channel, 8)]

    def hang_up(self) -> None:
        """As when the supervisor is gone."""
        if self.channel >= 0:
            os.close(self.channel)
            self.channel = -1

    def log(self) -> str:
        return (self.place / "log").read_text()

    def ask(self, path: str, method: str = "GET", **params: str) -> Answer:
        """As a front would; AssertionError with the site's log when no answer comes."""
        try:
            return ask(self.address, path, method, **params)
        except TimeoutError:
            raise AssertionError(f"no answer to {path}; the log says {self.log()!r}") from None

    def visit(self) -> Visitor:
        return Visitor(self.address)

    def let_go(self) -> None:
        """Only the pool has its ends from here on."""
        if self.pools_end >= 0:
            for fd in (self.pools_end, self.log_fd, self.null):
                os.close(fd)
            self.pools_end = -1

    def close(self) -> None:
        self.let_go()
        self.listener.close()
        self.hang_up()


class RunningPool(Site):
    """A fork that became a pool by `run_pool`, or by what else is given."""

    def __init__(
        self,
        place: Path,
        run: Callable[[dict[str, object]], None],
        source: str = SMALL_SITE,
        **plan: object,
    ) -> None:
        super().__init__(place, source)
        self.external_address = str(place / "external.sock")
        self.external: socket.socket | None = None
        places = self.descriptors()
        if plan.get("external"):
            self.external = sockets.bind_unix(self.external_address, 0o666)
            self.external.setblocking(False)
            places[5] = self.external.fileno()
        whole = self.plan(**plan)
        self.pid = forked(lambda: become_plain(places), lambda: run(whole))
        self.let_go()

    def children(self) -> list[int]:
        return sorted(process_status.children_of(self.pid))

    def kill(self, number: int = signal.SIGTERM) -> None:
        os.kill(self.pid, number)

    def end(self) -> int:
        """Ask it to drain; returns its exit status."""
        self.kill()
        return ended(self.pid)

    def close(self) -> None:
        super().close()
        if self.external is not None:
            self.external.close()


def forked(*steps: Callable[[], object]) -> int:
    """Fork; the child takes these steps and never comes back here.  Returns its pid."""
    pid = os.fork()
    if pid == 0:
        try:
            for step in steps:
                step()
        except BaseException:
            os.write(2, traceback.format_exc().encode())
        finally:
            os._exit(99)
    return pid


def become_plain(places: dict[int, int]) -> None:
    """What a fork of the tests must lose to be like a fork of a zygote: descriptors, streams, exits, handlers."""
    fds.arrange(places)
    fds.close_all_except(places)
    atexit._clear()
    weakref.finalize._registry.clear()  # type: ignore[attr-defined]
    weakref.finalize._registered_with_atexit = False  # type: ignore[attr-defined]
    for number in (signal.SIGALRM, signal.SIGCHLD, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_DFL)
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115


def become_ordinary() -> None:
    """In a fork of root's tests: an ordinary user, so that it is the same for whoever runs them."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(ORDINARY, ORDINARY, ORDINARY)
        os.setresuid(ORDINARY, ORDINARY, ORDINARY)
        kernel.set_dumpable(True)  # as after an exec


def ordinary_ids() -> dict[str, object]:
    """Who that is, as a plan says it."""
    if os.geteuid() == 0:
        return {"uid": ORDINARY, "gid": ORDINARY, "groups": []}
    return {"uid": os.getuid(), "gid": os.getgid(), "groups": os.getgroups()}


def exec_boot(role: str, places: dict[int, int]) -> int:
    """Start boot.py as a supervisor or a zygote does: these descriptors, an empty environment.  Returns the pid."""

    def run() -> None:
        fds.arrange(places)
        fds.close_all_except(places)
        os.execve(sys.executable, [sys.executable, "-I", "-S", BOOT, role, PADDING], {})

    return forked(run)


def ended(pid: int) -> int:
    """Reap a child of ours that ends by itself; its exit status, negative for a signal."""
    handle = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        assert poll.poll(PATIENCE * 1000), f"{pid} did not end"
    finally:
        os.close(handle)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@contextlib.contextmanager
def nobody_left() -> Iterator[None]:
    """Whatever is started in this block, and whatever that starts, is ended within it; else AssertionError.

    Meanwhile this process is a subreaper, so that nothing gets away.
    """
    was_subreaper = kernel.get_subreaper()
    before = set(process_status.children_of(os.getpid()))
    kernel.set_subreaper()
    try:
        yield
    finally:
        left = end_children_but(before)
        if not was_subreaper:
            kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 0)
    assert left == [], f"left behind: {left}"


def end_children_but(known: set[int]) -> list[str]:
    """Kill and reap all other children until there is none; what they were."""
    found: dict[int, str] = {}
    deadline = time.monotonic() + PATIENCE
    while unknown := set(process_status.children_of(os.getpid())) - known:
        assert time.monotonic() < deadline, f"cannot be ended: {unknown}"
        for pid in unknown:
            found.setdefault(pid, f"{pid} {title(pid)}".strip())
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    return list(found.values())
