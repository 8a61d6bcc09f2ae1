"""A front on a loop in a thread, over real sockets, with a pool and a supervisor that do what the test says."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import threading
import time

import pytest
import uvloop

from itkwsgi.front.lines import Notes
from itkwsgi.front.server import Front
from itkwsgi.front.settings import load
from itkwsgi.wire import control, fastcgi

PATIENCE = 10.0

SETTINGS = {
    "generation": 7,
    "fronts": 1,
    "keepalive_timeout": 5.0,
    "header_timeout": 20.0,
    "body_timeout": 20.0,
    "body_min_rate": 500,
    "limit_request_line": 8190,
    "limit_request_fields": 100,
    "limit_request_field_size": 8190,
    "max_clients": 256,
    "max_connections_per_address": 256,
    "server_tokens": "prod",
    "spool_max": 1 << 30,
    "graceful_timeout": 30.0,
}


def site_row(index, name, **more):
    return {"index": index, "name": name, "aliases": [], "default": False, "listeners": [0], **more}


def limits_row(**more):
    """What a front keeps somewhere: [value, final] by name."""
    unlimited = {name: [None, True] for name in ("post_max_size", "request_timeout", "max_input_time")}
    return {**unlimited, "expose_server": True, **more}


def wait_until(condition, what="it", seconds=PATIENCE):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.005)


class PoolConnection:
    """One accepted connection in the fake pool."""

    def __init__(self, sock):
        self.sock = sock
        self.decoder = fastcgi.RequestDecoder()
        self.params = None
        self.role = 0

    def next_event(self):
        while (event := self.decoder.next_event()) is None:
            data = self.sock.recv(65536)
            if not data:
                return None
            self.decoder.feed(data)
        return event

    def read_head(self):
        while True:
            event = self.next_event()
            if event is None:
                return False
            if isinstance(event, fastcgi.RequestBegun):
                self.role = event.role
            if isinstance(event, fastcgi.RequestParams):
                self.params = {name.decode("latin-1"): value.decode("latin-1") for name, value in event.params.items()}
                return True

    def read_body(self):
        """All of it; None when the front hung up first."""
        body = b""
        while (event := self.next_event()) is not None:
            if isinstance(event, fastcgi.StdinEnd):
                return body
            body += event.data
        return None

    def hung_up(self):
        """Wait for the front to close."""
        with contextlib.suppress(ConnectionError):
            while self.sock.recv(65536):
                continue
        return True

    def head(self, status="200 OK", **fields):
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
        self.raw(fastcgi.encode_stdout(f"Status: {status}\r\n{lines}\r\n".encode("latin-1")))

    def write(self, data):
        self.raw(fastcgi.encode_stdout(data))

    def end(self, protocol_status=0):
        self.raw(fastcgi.encode_stdout_end() + fastcgi.encode_end_request(protocol_status=protocol_status))

    def raw(self, data):
        self.sock.sendall(data)

    def answer(self, body=b"hello", status="200 OK", **fields):
        """A whole answer in one write, as the runtime does it."""
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
        head = f"Status: {status}\r\nContent-Type: text/plain\r\n{lines}\r\n".encode("latin-1")
        end = fastcgi.encode_stdout_end() + fastcgi.encode_end_request()
        self.raw(fastcgi.encode_stdout(head + body) + end)


def say_hello(connection):
    """What a pool does unless the test says otherwise: tell the path and the body."""
    body = connection.read_body()
    if body is not None:
        connection.answer(f"{connection.params['PATH_INFO']} ".encode("latin-1") + body)


class FakePool:
    """Listens where a site's pool would, one thread per connection.  ``behave`` is called with each, its head read."""

    def __init__(self, path, backlog=64):
        self.path = path
        self.behave = say_hello
        self.requests = []
        self.open = 0
        self.errors = []
        self.lock = threading.Lock()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(backlog)
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        with self.lock:
            self.open += 1
        try:
            with sock:
                connection = PoolConnection(sock)
                if connection.read_head():
                    with self.lock:
                        self.requests.append(connection.params)
                    self.behave(connection)
        except ConnectionError:
            return  # the front hung up, which the test looks at from its own side
        except Exception as error:
            self.errors.append(error)
        finally:
            with self.lock:
                self.open -= 1

    def retire(self):
        """As a real pool does: later connections are refused."""
        self.listener.shutdown(socket.SHUT_RD)
        self.thread.join(PATIENCE)

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RD)
        self.thread.join(PATIENCE)
        self.listener.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)


class FakeSupervisor:
    """The other end of the control channel."""

    def __init__(self, sock, generation):
        self.sock = sock
        self.generation = generation
        self.heard = []
        self.thread = threading.Thread(target=self.listen, daemon=True)
        self.thread.start()

    def listen(self):
        with contextlib.suppress(OSError):
            while data := self.sock.recv(64):
                self.heard.append(control.unpack(data, control.FRONT_MAY_SAY))

    def tell(self, kind, index=0, generation=None):
        self.sock.send(control.pack(kind, index, self.generation if generation is None else generation))

    def count(self, kind):
        return sum(message.kind == kind for message in self.heard)

    def expect(self, kind, times=1):
        wait_until(lambda: self.count(kind) >= times, f"message {kind}")

    def close(self):
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.thread.join(PATIENCE)
        self.sock.close()


class Answer:
    def __init__(self, status, reason, fields, body):
        self.status = status
        self.reason = reason
        self.fields = fields
        self.body = body

    def __getitem__(self, name):
        values = [value for key, value in self.fields if key == name.lower()]
        assert len(values) < 2, f"{name} came {len(values)} times"
        return values[0] if values else None

    @property
    def text(self):
        return self.body.decode()


class Client:
    """A client's socket that reads one answer after the other.  Raises EOFError for one that is cut off."""

    def __init__(self, sock):
        self.sock = sock
        self.sock.settimeout(PATIENCE)
        self.buffer = b""

    def send(self, data):
        self.sock.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def get(self, path="/", host="a.example", more=""):
        self.send(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n")

    def ask(self, path="/", host="a.example", more=""):
        self.get(path, host, more)
        return self.read()

    def fill(self):
        data = self.sock.recv(65536)
        if not data:
            raise EOFError
        self.buffer += data

    def take(self, size):
        while len(self.buffer) < size:
            self.fill()
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def line(self):
        while b"\r\n" not in self.buffer:
            self.fill()
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        return line.decode("latin-1")

    def read_head(self):
        version, status, reason = self.line().split(" ", 2)
        assert version == "HTTP/1.1"
        fields = []
        while line := self.line():
            name, _, value = line.partition(": ")
            fields.append((name.lower(), value))
        return Answer(int(status), reason, fields, b"")

    def read(self, method="GET"):
        """The next final answer."""
        answer = self.read_head()
        if method == "HEAD" or answer.status in (204, 304):
            return answer
        if answer["transfer-encoding"]:
            answer.body = self.read_chunks()
        elif answer["content-length"] is not None:
            answer.body = self.take(int(answer["content-length"]))
        else:
            answer.body = self.rest()
        return answer

    def read_chunks(self):
        body = b""
        while size := int(self.line(), 16):
            body += self.take(size)
            assert self.line() == ""
        assert self.line() == ""
        return body

    def rest(self):
        """Everything until the end; raises ConnectionResetError when it is none."""
        with contextlib.suppress(EOFError):
            while True:
                self.fill()
        data, self.buffer = self.buffer, b""
        return data

    def at_end(self):
        """Wait for the front to close, in order."""
        return self.rest() == b""

    def send_until_closed(self, data, pause=0.0, seconds=6.0):
        """Send it again and again until the front has closed; the seconds that took."""
        begun = time.monotonic()
        while time.monotonic() - begun < seconds:
            try:
                self.send(data)
            except ConnectionError:
                return time.monotonic() - begun
            time.sleep(pause)
        raise AssertionError("the front still reads")

    def send_until_full(self, data, most):
        """Send it again and again until the front reads no more for a second; the bytes that took."""
        self.sock.settimeout(1)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < most:
                sent += self.sock.send(data)
        self.sock.settimeout(PATIENCE)
        return sent

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self):
        if self.sock.fileno() >= 0:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            self.sock.close()

    def close(self):
        self.sock.close()


class RunningFront:
    """A front in a thread.  Sites 0 a.example and 1 b.example unless the test gives others."""

    def __init__(self, place, *, sites=None, **settings):
        self.place = place
        self.clients = []
        self.pools = {}
        self.failures = []
        self.drained = threading.Event()
        self.orphaned = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.unix_path = os.path.join(place, "http.sock")
        unix = socket.socket(socket.AF_UNIX)
        unix.bind(self.unix_path)
        unix.listen(16)
        self.access_fd, access = os.pipe()
        self.notes_fd, self.notes_writer = os.pipe()
        ours, self.channel = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        row = {
            **SETTINGS,
            "listeners": [
                {"fd": self.listener.detach(), "text": f"127.0.0.1:{self.port}", "scheme": "http"},
                {"fd": unix.detach(), "text": f"unix:{self.unix_path}", "scheme": "http"},
            ],
            "sites": sites or [site_row(0, "a.example", listeners=[0, 1]), site_row(1, "b.example", listeners=[0, 1])],
            "spool_dir": place,
            "access_fd": access,
            **settings,
        }
        self.settings = load(json.dumps(row).encode())
        self.supervisor = FakeSupervisor(ours, self.settings.generation)
        self.ready = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        assert self.ready.wait(PATIENCE)
        self.supervisor.expect(control.READY)

    def run(self):
        uvloop.run(self.serve())

    async def serve(self):
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: self.failures.append(context))
        self.loop = loop
        self.end = asyncio.Event()
        self.front = Front(
            self.settings,
            loop,
            self.channel,
            on_drained=self.drained.set,
            on_orphaned=self.orphaned.set,
            pool_path=self.pool_path,
            notes=Notes(self.notes_writer),
        )
        await self.front.listen()
        self.ready.set()
        await self.end.wait()
        self.front.close()
        await asyncio.sleep(0.01)  # for what the loop still has to close

    def pool_path(self, index):
        return os.path.join(self.place, f"{index}.sock")

    def add_pool(self, index=0, **more):
        self.pools[index] = FakePool(self.pool_path(index), **more)
        return self.pools[index]

    def connect(self):
        return self.adopt(socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE))

    def connect_unix(self):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(self.unix_path)
        return self.adopt(sock)

    def adopt(self, sock):
        self.clients.append(Client(sock))
        return self.clients[-1]

    def in_loop(self, function):
        """Call a function in the front's thread; its value."""
        done = threading.Event()
        value = []
        self.loop.call_soon_threadsafe(lambda: (value.append(function()), done.set()))
        assert done.wait(PATIENCE)
        return value[0]

    def access_lines(self, count):
        """Wait for so many lines of the access log."""
        data = b""
        while data.count(b"\n") < count:
            data += os.read(self.access_fd, 65536)
        return data.decode("ascii").splitlines()

    def notes(self):
        """What was said on stderr until now."""
        os.set_blocking(self.notes_fd, False)
        try:
            return os.read(self.notes_fd, 1 << 20).decode()
        except BlockingIOError:
            return ""

    def idle(self):
        """No request is at work."""
        return self.in_loop(lambda: self.front.admission.in_use) == 0

    def stop(self):
        for client in self.clients:
            client.reset()
        wait_until(self.idle, "the end of all requests")
        self.loop.call_soon_threadsafe(self.end.set)
        self.thread.join(PATIENCE)
        for pool in self.pools.values():
            pool.close()
        self.supervisor.close()
        for fd in (self.access_fd, self.notes_fd, self.notes_writer):
            os.close(fd)
        assert self.failures == []
        assert [error for pool in self.pools.values() for error in pool.errors] == []


@pytest.fixture
def place(tmp_path_factory, monkeypatch):
    """A directory whose name is short enough for sockets."""
    return str(tmp_path_factory.mktemp("f"))


@pytest.fixture
def start_front(place):
    """Start a front with settings of its own."""
    running = []

    def start(**settings):
        running.append(RunningFront(place, **settings))
        return running[-1]

    yield start
    for one in running:
        one.stop()


@pytest.fixture
def front(start_front):
    """A front with both its pools awake."""
    one = start_front()
    one.add_pool(0)
    one.add_pool(1)
    return one


@pytest.fixture
def pool(front):
    """The pool of a.example."""
    return front.pools[0]


@pytest.fixture
def client(front):
    """A connection to that front."""
    return front.connect()


@pytest.fixture
def patiently():
    """Wait for a condition."""
    return wait_until


@pytest.fixture
def make_limits_row():
    """What holds below a prefix."""
    return limits_row


@pytest.fixture
def start_limited(start_front):
    """Start a front with a.example, awake, and these limits for all of it."""

    def start(more=None, /, **limits):
        site = site_row(0, "a.example", limits=[["", limits_row(**limits)]])
        one = start_front(sites=[site], **(more or {}))
        one.add_pool()
        return one

    return start


@pytest.fixture
def make_site_row():
    """A row of the table of sites."""
    return site_row
