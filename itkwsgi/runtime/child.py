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

from itkwsgi.linux.by_ctypes import set_death_signal
from itkwsgi.runtime import failures, slots
from itkwsgi.runtime.connection import Connection, VisitorGone, body_file
from itkwsgi.runtime.environ import build_environ
from itkwsgi.runtime.finish import leave
from itkwsgi.runtime.place import children_enter, enter_site
from itkwsgi.runtime.wsgi import Answer, call_app
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
    """One forked process of a pool.  The pool makes it before it forks, and gives it its slot."""

    __slots__ = ("allowed", "once", "plan", "pool", "slot")

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.plan = pool.plan
        self.slot = 0
        self.once = self.plan["requests_per_child"] == 1
        self.allowed = (self.plan["peer_uid"], 0)  # the front, and root

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
            enter_site(self.plan)

    def serve_all(self) -> int:
        """Serve as many requests as this child may; returns the exit status."""
        left = self.plan["requests_per_child"] or -1
        while left:
            sock = self.accept()
            if self.once:
                self.pool.close_listeners()
            status = self.serve(sock)
            if self.once:
                return status  # the connection ends with the process: work after the answer holds its slot
            sock.close()
            left -= 1
            if self.pool.slots.should_end():
                break
            self.tell(slots.IDLE)
        return 0

    def tell(self, state: int) -> None:
        """Mark the slot, and wake the pool when there is something for it to do."""
        self.pool.slots.mark(self.slot, state)
        if self.pool.slots.pool_is_needed():
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
            if listener is self.pool.external or self.is_front(sock):
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
            self.pool.title.show(self.pool.title.compose(self.describe(params)))
            return self.answer(connection, params)
        except VisitorGone:
            return 0
        except ProtocolError as error:
            failures.log(f"a web server spoke broken FastCGI: {error}")
            return 1
        finally:
            if not self.once:
                self.pool.title.show(self.pool.idle_title)

    def describe(self, params: dict[bytes, bytes]) -> str:
        """The process title: method and path, never a query string."""
        method = params.get(b"REQUEST_METHOD", b"?").decode("latin-1")
        path = (params.get(b"SCRIPT_NAME", b"") + params.get(b"PATH_INFO", b"")).decode("latin-1")
        return f"itkwsgi: child {self.plan['name']} {method} {path}"

    def answer(self, connection: Connection, params: dict[bytes, bytes]) -> int:
        """Run the app; an error before the first byte is a 500 page, after it a visibly broken answer."""
        environ = build_environ(params, body_file(connection), sys.stderr, mount=self.plan["mount"], once=self.once)
        method = environ["REQUEST_METHOD"]
        answer = Answer(connection, connection.request_id, bodiless=method == "HEAD")
        try:
            call_app(self.application(), environ, answer)
        except VisitorGone:
            raise
        except BaseException as error:  # SystemExit too: the app ends its request, not the server's bookkeeping
            return self.failed(error, answer, f"{method} {environ['PATH_INFO']}")
        return 0

    def application(self) -> Callable[..., Any]:
        """The app: the pool's, or imported now (preload "none" and "framework"), once if that works."""
        if self.pool.app is not None:
            return self.pool.app
        app = self.pool.load_app()
        if not self.pool.broken:
            self.pool.app = app  # this process's alone: the pool's is another copy
        return app

    def failed(self, error: BaseException, answer: Answer, request: str) -> int:
        """Log the error; answer 500 while nothing was sent, else leave the answer unfinished."""
        error_id = failures.new_id()
        if answer.ended:
            failures.log_error(f"{request}: failed after its answer", error, error_id)
            return 0
        if answer.head_sent:
            failures.log_error(f"{request}: broke off its answer after {answer.sent} bytes", error, error_id)
            return 1
        failures.log_error(f"{request}: failed", error, error_id)
        page = Answer(answer.connection, answer.request_id, bodiless=answer.bodiless)
        call_app(failures.FailedApp(error_id), {}, page)
        return 0


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
