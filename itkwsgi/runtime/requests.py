"""One request under its settings: what is refused before the app sees it, what surrounds it, what comes after it.

The order: the scope of the URL; walls and surroundings of that scope; whether anything may run here, and whether the
body is too large; the clocks; auto_prepend_file where only this scope has it; the app; auto_append_file.  What a
request changed is put back when its process goes on.
"""

from __future__ import annotations

import sys
import time
from resource import RLIMIT_CPU, getrlimit
from time import monotonic

from itkwsgi.errors import ClientError
from itkwsgi.runtime.board import CHECKED
from itkwsgi.runtime.failures import append_to, log
from itkwsgi.runtime.in_force import is_soft
from itkwsgi.runtime.scripts import run_file
from itkwsgi.runtime.usual import arm
from itkwsgi.wire.fastcgi import encode_deadline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from itkwsgi.runtime.child import Child
    from itkwsgi.runtime.connection import Connection
    from itkwsgi.runtime.scopes import AtHand, Scope
    from itkwsgi.runtime.settings import Settings


# How long a pool may take to leave; then its child serves.
LEAVE_SECONDS = 1.0


class Outdated(Exception):
    """Nothing ran, and the next pool is to be asked."""


class Governed:
    """The settings' part in a child's work; it lives as long as the child."""

    __slots__ = ("at_hand", "child", "pool", "scope")

    def __init__(self, child: Child) -> None:
        self.child = child
        self.pool = child.pool
        self.scope: Scope = child.pool.scope
        self.at_hand: AtHand

    # --- before there is a request

    def touch(self) -> None:
        """Go the way that a request will go, while nobody waits: each page that is touched is copied now.

        Nothing is changed by it, and nothing learned: a scope that its pool does not know is left to the request, which
        says what it met.
        """
        pool = self.pool
        try:
            scope = pool.scopes.known.get(pool.scopes.key_of(pool.scopes.sample))
        except OSError:
            return
        if scope is None:
            return
        pool.settings.enter(scope)
        pool.board.label(self.child.slot, b"")
        self.scope, self.at_hand = scope, scope.at_hand
        self.may_be_outdated()
        arm(pool.time, 0.0, getrlimit(RLIMIT_CPU))
        pool.time.seconds = None
        if scope.changes and all(is_soft(name, said) for name, _, _, said in scope.changes):
            before = dict(pool.in_force.settings)
            pool.in_force.enter(scope)
            pool.in_force.leave(before)

    # --- before the app

    def begin(self, path: str, label: bytes) -> None:
        """Find the scope of the path and bring it about.

        Raises OSError when a directory of the site cannot be looked at, `ConfineError` for a wall that cannot be had,
        `Outdated` when another pool is to serve this.
        """
        pool, board = self.pool, self.pool.board
        board.label(self.child.slot, label)
        key = pool.scopes.key_of(path)
        scope = pool.scopes.known.get(key)
        if scope is None:
            scope = pool.scopes.find(key)
            self.learned(scope, path)
        self.scope = scope
        at_hand = self.at_hand = scope.at_hand
        board.reports.close()  # as Board.post_no_more
        if scope.changes is None or scope.changes:
            pool.in_force.enter(scope)
        if pool.loaded.files and self.may_be_outdated() and self.is_outdated():
            raise Outdated
        pool.settings.enter(scope)
        if at_hand.limits is None or not self.child.once:
            pool.time.start(at_hand.max_execution_time, at_hand.time_is_fixed)
        elif at_hand.max_execution_time is not None:
            arm(pool.time, at_hand.max_execution_time, at_hand.limits)

    def may_be_outdated(self) -> bool:
        """Is it time to look?"""
        board, every = self.pool.board, self.at_hand.revalidate
        last, changed, _ = CHECKED.unpack_from(board.memory, board.checked_at)
        return bool(changed) or (every is not None and monotonic() >= last + every)

    def learned(self, scope: Scope, path: str) -> None:
        """Say in the log what has no effect, and tell the pool."""
        for remark in scope.remarks:
            log(remark)
        if self.pool.board.post(self.pool.scopes.report(scope, path)):
            self.child.call_pool()

    def is_outdated(self) -> bool:
        """Did the site's code change, and can the front ask again?  Another web server is answered by the old code."""
        board, every = self.pool.board, self.at_hand.revalidate
        if not board.outdated:
            if every is None or not board.must_check(time.monotonic(), every):
                return False
            path = self.pool.loaded.changed(self.scope.value("update_protection"))
            if path is None:
                return False
            log(f"{path} changed: the site is imported anew")
            board.outdate()
            self.child.call_pool()
        if not self.child.for_front:
            return False
        return self.pool_left()

    def pool_left(self) -> bool:
        """Wait for the pool to take no more visitors, so that the front comes to the next one."""
        end = time.monotonic() + LEAVE_SECONDS
        while not self.pool.board.left:
            if time.monotonic() > end:
                return False
            time.sleep(0.001)
        return True

    def watch(self, connection: Connection) -> None:
        """Have the pool watch the time; tell the front what only the site's own files say of it."""
        slow, over = self.at_hand.slow_request, self.at_hand.request_timeout
        if slow or over:
            now = time.monotonic()
            if self.pool.board.expect(self.child.slot, now, now + slow if slow else 0.0, now + over if over else 0.0):
                self.child.call_pool()
        if self.at_hand.timeout_is_told and self.child.for_front:
            connection.send(encode_deadline(over, connection.request_id))

    def refuse(self, environ: dict[str, Any], connection: Connection) -> ClientError | None:
        """Why the app is not to see this request."""
        if not self.at_hand.engine:
            return ClientError(403, "engine is off here: nothing runs")
        most = self.at_hand.post_max_size
        if most is not None:
            length = environ.get("CONTENT_LENGTH", "")
            if length.isdecimal() and int(length) > most:
                return ClientError(413, f"post_max_size: {length} bytes are more than {most}")
            connection.body_limit = most
        wait = self.at_hand.max_input_time
        if wait:
            connection.body_time = time.monotonic() + wait
        return None

    def prepend(self, environ: dict[str, Any]) -> None:
        """auto_prepend_file, when this scope has one that was not run before the import."""
        path = self.at_hand.auto_prepend_file
        if path is not None and path != self.pool.prepended:
            run_file(path, "auto_prepend_file", environ=environ)

    # --- after it

    def append(self, environ: dict[str, Any]) -> None:
        """auto_append_file.  Its failure is for the log: the visitor is gone."""
        path = self.at_hand.auto_append_file
        if path is not None:
            run_file(path, "auto_append_file", environ=environ)

    def end(self) -> bool:
        """Put back what the request changed.  Returns whether this process is fit for another one."""
        pool = self.pool
        pool.time.stop()
        pool.board.unwatch(self.child.slot)
        pool.settings.enter(pool.scope)
        if pool.in_force.final or pool.time.worn():
            return False
        pool.in_force.leave(self.child.in_force_before)
        return True


class ErrorStream:
    """wsgi.errors: to the site's log, and to its error_log where there is one."""

    __slots__ = ("settings",)

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def write(self, text: str) -> int:
        """To both."""
        path = self.settings["error_log"]
        if path is not None:
            append_to(path, text)
        return sys.stderr.write(text)

    def writelines(self, lines: Any) -> None:
        """One after the other."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Nothing is kept of the file."""
        sys.stderr.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr, name)
