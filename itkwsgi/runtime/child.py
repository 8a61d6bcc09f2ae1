"""A child: forked from its pool, accepts one connection, serves it, ends.  (requests_per_child more than 1: several.)

It closes the pool's channel first, and the listener as soon as it has its one connection: while the site's code runs
on a request it holds 0-2 and that connection, nothing else.  Who connected is asked of the kernel (SO_PEERCRED): on
the pool's own socket only the front may.

Every page of memory that a child touches is copied for it, and that is most of what a fresh process costs.  So the
pool prepares what it can, and here the C-level socket and plain integers stand where Python's wrappers touch more.
"""

from __future__ import annotations

import errno
import os
import select
import struct
import sys
from _signal import SIG_SETMASK, SIGKILL, SIGUSR1, pthread_sigmask
from _socket import AF_UNIX, SO_PEERCRED, SOCK_STREAM, SOL_SOCKET, socket

from itkwsgi.errors import ClientError, TimeLimitExceeded
from itkwsgi.linux.by_ctypes import set_death_signal
from itkwsgi.runtime import failures, slots
from itkwsgi.runtime.board import printable
from itkwsgi.runtime.connection import Connection, VisitorGone, body_file
from itkwsgi.runtime.environ import build_environ
from itkwsgi.runtime.finish import leave
from itkwsgi.runtime.pages import PageApp
from itkwsgi.runtime.place import children_enter, enter_site
from itkwsgi.runtime.requests import ErrorStream, Governed, Outdated
from itkwsgi.runtime.usual import begin_as_usual
from itkwsgi.runtime.wsgi import Answer, call_app
from itkwsgi.wire.fastcgi import AGAIN, encode_end_request
from itkwsgi.wire.records import ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from itkwsgi.runtime.pool import Pool

PEER_CREDENTIALS = struct.Struct("3i")


class QueueDrained(Exception):
    """The pool retired, and nothing more waits on its listener."""


class Child:
    """One forked process of a pool.  The pool makes it before it forks, and gives it its slot.

    ``for_front``: the request at work came from the front, not from another web server.
    """

    __slots__ = ("allowed", "for_front", "governed", "in_force_before", "once", "plan", "pool", "slot")

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.plan = pool.plan
        self.slot = 0
        self.once = self.plan["requests_per_child"] == 1
        self.allowed = (self.plan["peer_uid"], 0)  # the front, and root
        self.for_front = True
        self.governed = Governed(self)
        self.in_force_before: dict[str, Any] = {}

    def run(self) -> None:
        """The whole life of the child; never returns."""
        status = 1
        try:
            self.begin()
            status = self.serve_all()
        except QueueDrained:
            self.pool.slots.mark(self.slot, slots.DRAINED)
            status = 0
        except BaseException as error:  # nothing may climb into the pool's frames
            failures.log_error("a child failed", error, failures.new_id())
        finally:
            leave(status, self.plan["exit_grace"])

    def begin(self) -> None:
        """Cut what ties it to the pool; from here on it is a plain process of the site.

        It ends with its pool.  A site can undo that: then it becomes the zygote's child, or the supervisor's, and those
        end whatever came to them.
        """
        pthread_sigmask(SIG_SETMASK, ())
        os.setpgid(0, 0)
        set_death_signal(SIGKILL)
        if os.getppid() != self.pool.pid:
            os._exit(0)
        os.close(self.pool.channel)
        self.confine()
        self.pool.title.show(self.pool.idle_title)
        self.pool.exits.forget()

    def confine(self) -> None:
        """What the pool itself could not be denied: it must fork.  Then no code of the site has run yet."""
        walls = self.plan["confine"]
        if walls["child_landlock"] is not None or walls["child_seccomp"] is not None:
            from itkwsgi.runtime.confine import confine_child

            confine_child(walls)
        if children_enter(self.plan):
            self.pool.board.post_no_more()  # code of the site, which its pool is to hear nothing of
            enter_site(self.plan)

    def serve_all(self) -> int:
        """Serve as many requests as this child may; returns the exit status."""
        left = self.plan["requests_per_child"] or -1
        if not self.once:
            self.in_force_before = dict(self.pool.in_force.settings)
        if self.pool.usual is None:
            self.governed.touch()
        while left:
            sock = self.accept()
            if self.once:
                self.pool.close_listeners()
            status = self.serve(sock)
            if self.once:
                return status  # the connection ends with the process: work after the answer holds its slot
            sock.close()
            left -= 1
            if not self.governed.end() or self.pool.slots.should_end():
                break
            self.tell(slots.IDLE)
        return 0

    def tell(self, state: int) -> None:
        """Mark the slot, and wake the pool when there is something for it to do."""
        self.pool.slots.mark(self.slot, state)
        if self.pool.slots.pool_is_needed():
            os.kill(self.pool.pid, SIGUSR1)

    def call_pool(self) -> None:
        """There is something on the board for it."""
        self.pool.slots.call()
        os.kill(self.pool.pid, SIGUSR1)

    def accept(self) -> socket:
        """Wait for a connection that may be served; raises `QueueDrained` at the end of a retired listener."""
        while True:
            listener = self.wait_for_listener()
            try:
                fd, _ = listener._accept()  # type: ignore[attr-defined]
            except BlockingIOError:
                if is_shut(listener):  # unlike a blocking accept, this one does not say so by EINVAL
                    raise QueueDrained from None
                continue
            except OSError as error:
                if error.errno == errno.EINVAL:
                    raise QueueDrained from None
                raise
            sock = socket(AF_UNIX, SOCK_STREAM, 0, fd)
            self.tell(slots.BUSY)
            self.for_front = listener is not self.pool.external
            if not self.for_front or self.is_front(sock):
                sock.setblocking(True)
                return sock
            sock.close()
            self.tell(slots.IDLE)

    def wait_for_listener(self) -> socket:
        """The listener to accept from: the only one, which blocks, or the one of two that is ready."""
        if self.pool.external is None:
            return self.pool.listener
        poll = select.poll()
        poll.register(self.pool.listener, select.POLLIN)
        poll.register(self.pool.external, select.POLLIN)
        ready = [fd for fd, _ in poll.poll()]
        return self.pool.listener if self.pool.listener.fileno() in ready else self.pool.external

    def is_front(self, sock: socket) -> bool:
        """Is the peer the front (or root)?"""
        credentials = sock.getsockopt(SOL_SOCKET, SO_PEERCRED, PEER_CREDENTIALS.size)
        return PEER_CREDENTIALS.unpack(credentials)[1] in self.allowed

    def serve(self, sock: socket) -> int:
        """Serve one request; returns 0 when its answer was sent whole."""
        connection = Connection(sock)
        try:
            params = connection.receive_head()
            if params is None:
                return 0
            method, path = params.get(b"REQUEST_METHOD", b"?"), path_of(params)
            label = b"%b %b" % (method, path)
            self.pool.title.show(self.pool.title.compose(self.pool.title_start + label))
            return self.answer(connection, params, path, label)
        except VisitorGone:
            return 0
        except Outdated:
            connection.send(encode_end_request(0, AGAIN, connection.request_id))
            return 0
        except ProtocolError as error:
            failures.log(f"a web server spoke broken FastCGI: {error}")
            return 1
        finally:
            if not self.once:
                self.pool.title.show(self.pool.idle_title)

    def answer(self, connection: Connection, params: dict[bytes, bytes], path: bytes, label: bytes) -> int:
        """Run the app; an error before the first byte is a page, after it a visibly broken answer."""
        environ = build_environ(params, body_file(connection), sys.stderr, mount=self.plan["mount"], once=self.once)
        answer = Answer(connection, connection.request_id, bodiless=environ["REQUEST_METHOD"] == "HEAD")
        try:
            self.run_app(environ, connection, answer, path, label)
        except (VisitorGone, Outdated):
            raise
        except BaseException as error:  # SystemExit too: the app ends its request, not the server's bookkeeping
            return self.failed(error, answer, environ, label)
        return 0

    def run_app(
        self, environ: dict[str, Any], connection: Connection, answer: Answer, path: bytes, label: bytes
    ) -> None:
        """The request under its settings."""
        environ["itkwsgi.settings"] = answer.settings = connection.settings = self.pool.settings
        if begin_as_usual(self.pool, self.slot, connection, label):
            call_app(self.pool.app or self.application(), environ, answer)
        else:
            self.run_governed(environ, connection, answer, path, label)

    def run_governed(
        self, environ: dict[str, Any], connection: Connection, answer: Answer, path: bytes, label: bytes
    ) -> None:
        """The same, the long way."""
        governed = self.governed
        governed.begin(path.decode("latin-1"), label)
        has_body = not connection.body_ended or "CONTENT_LENGTH" in environ
        if not (has_body or governed.at_hand.is_special or connection.authorizer):
            self.pool.settings.is_usual = True
            call_app(self.pool.app or self.application(), environ, answer)
            return
        environ["wsgi.errors"] = ErrorStream(self.pool.settings)
        answer.gather = governed.at_hand.output_buffering
        refused = governed.refuse(environ, connection)
        if refused is not None:
            raise refused
        if connection.authorizer:
            call_app(go_on, environ, answer)
            return
        governed.watch(connection)
        governed.prepend(environ)
        call_app(self.application(), environ, answer)
        governed.append(environ)

    def application(self) -> Callable[..., Any]:
        """The app: the pool's, or imported now (preload "none" and "framework"), once if that works."""
        if self.pool.app is not None:
            return self.pool.app
        app = self.pool.load_app()
        if not self.pool.broken:
            self.pool.app = app  # this process's alone: the pool's is another copy
        return app

    def failed(self, error: BaseException, answer: Answer, environ: dict[str, Any], label: bytes) -> int:
        """Log the error; answer with a page while nothing was sent, else leave the answer unfinished."""
        self.pool.time.stop()
        request = printable(label)
        error_id = failures.new_id()
        if isinstance(error, ClientError):
            return self.refused(error, answer, f"{request}: {error.status} [{error_id}]: {error.reason}", error_id)
        if answer.ended:
            self.log_error(f"{request}: failed after its answer", error, error_id)
            return 0
        if answer.head_sent:
            self.log_error(f"{request}: broke off its answer after {answer.sent} bytes", error, error_id)
            return 1
        self.log_error(f"{request}: {self.cause(error)}", error, error_id)
        self.send_page(failures.FailedApp(error_id, error), environ, answer)
        return 0

    def refused(self, error: ClientError, answer: Answer, line: str, error_id: str) -> int:
        """The visitor's fault: a line in the log, no traceback."""
        failures.log(line)
        if not answer.head_sent:
            self.send_page(PageApp(error.status, error_id), {}, answer)
        return 0 if answer.ended else 1

    def cause(self, error: BaseException) -> str:
        """What failed, in words: a limit by its name."""
        if isinstance(error, MemoryError):
            limit = self.pool.settings["memory_limit"]
            return f"memory_limit: there is no more memory within {limit} bytes" if limit else "there is no memory"
        return str(error) if isinstance(error, TimeLimitExceeded) else "failed"

    def log_error(self, what: str, error: BaseException, error_id: str) -> None:
        """As `failures.log_error`.  What fills the memory is in the frames of a MemoryError: those go first."""
        if isinstance(error, MemoryError):
            error.__traceback__ = error.__context__ = None
        failures.log_error(what, error, error_id, self.pool.settings)

    def send_page(self, app: Callable[..., Any], environ: dict[str, Any], answer: Answer) -> None:
        """A page of the server's in the app's place."""
        page = Answer(answer.connection, answer.request_id, bodiless=answer.bodiless)
        call_app(app, environ, page)
        answer.ended = page.ended


def path_of(params: dict[bytes, bytes]) -> bytes:
    """The URL's whole path, whatever a web server made of its two parts."""
    return params.get(b"SCRIPT_NAME", b"") + params.get(b"PATH_INFO", b"")


def go_on(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """What an authorizer says when the request may come (FastCGI 1.0, section 6.3)."""
    start_response("200 OK", [])
    return [b""]


def is_shut(listener: socket) -> bool:
    """Was the listener shut down for reading?"""
    poll = select.poll()
    poll.register(listener, select.POLLRDHUP)
    return bool(poll.poll(0))


def fork_child(child: Child) -> int:
    """Fork; returns the child's pid in the pool.  Raises OSError when there is no process to be had."""
    pid = os.fork()
    if pid:
        return pid
    try:
        child.run()
    finally:
        os._exit(70)
    raise AssertionError("unreachable")
