"""The pool: one site's warm parent.  It imported the app once; each request is served by a child forked from it.

It never reads a request.  It waits in sigtimedwait() for three signals (a child marked its slot, a child ended, the
zygote wants it gone), so it needs no descriptor but its listener and its channel.  Children are forked ahead and wait
in accept().

Retiring loses nobody: the listener is shut, so that later visitors are refused by the kernel and wake a new pool; those
already in its queue are still accepted; when a child meets the end of the queue (EINVAL) and the last has finished, the
pool ends.
"""

from __future__ import annotations

import _signal
import gc
import os
import time
from _socket import SHUT_RD

from itkwsgi.linux import orphans, process_status
from itkwsgi.runtime import slots
from itkwsgi.runtime.board import Board
from itkwsgi.runtime.child import Child, fork_child
from itkwsgi.runtime.failures import FailedApp, log, log_error, new_id
from itkwsgi.runtime.finish import PoolsExits, flush
from itkwsgi.runtime.limits import half_used
from itkwsgi.runtime.loaded import Loaded
from itkwsgi.runtime.loader import load
from itkwsgi.runtime.scripts import run_file
from itkwsgi.runtime.signals import SIGPROF, SIGXCPU, default_signals, next_ended_child, signal_name
from itkwsgi.runtime.spares import SparePolicy
from itkwsgi.runtime.usual import Usual, limits_of, usual_of
from itkwsgi.runtime.warm import warm_up
from itkwsgi.runtime.watch import Watch, answer_dump_signal
from itkwsgi.wire.orders import FAULTS, PoolState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket as Socket  # noqa: N812 - a type here
    from collections.abc import Callable
    from typing import Any

    from itkwsgi.linux.title import ProcessTitle
    from itkwsgi.runtime.governing import Governing
    from itkwsgi.runtime.scopes import Scope

WATCHED = frozenset((_signal.SIGCHLD, _signal.SIGUSR1, _signal.SIGTERM))

# A site whose import failed is tried again by the first request after this.
BROKEN_SECONDS = 1.0
# After a failed fork (EAGAIN, ENOMEM): no busy loop.
FORK_PAUSE_SECONDS = 0.1
# How often it looks for processes that escaped their process group and outlived their child.
SCAN_SECONDS = 0.1
# After this long without a request the pool calls itself idle.
IDLE_SECONDS = 1.0
FOREVER = 1e9
# While a request is at work its pool may be due to end: look again, not at once.
MIN_WAIT_SECONDS = 0.01


class Pool:
    """The state of one pool.  Children read it and never write it."""

    def __init__(
        self,
        plan: dict[str, Any],
        listener: Socket,
        channel: int,
        external: Socket | None,
        title: ProcessTitle,
        governing: Governing,
    ) -> None:
        self.plan = plan
        self.scopes, self.scope, self.in_force = governing.scopes, governing.scope, governing.in_force
        self.settings, self.time = governing.settings, governing.time
        self.changes: tuple[Any, ...] = ()  # of the scope, that are left to the children
        self.usual: Usual | None = None
        self.prepended: str | None = None  # the file that was run before the import
        self.listener = listener
        self.channel = channel
        self.external = external
        self.title = title
        self.pid = os.getpid()
        self.app: Callable[..., Any] | None = None
        self.broken = False
        self.slots = slots.Slots(plan["max_children"])
        self.board = Board(plan["max_children"])
        self.watch = Watch(self.board)
        self.loaded = Loaded()
        self.policy = SparePolicy(plan["min_spare"], plan["max_children"])
        self.children: dict[int, int] = {}  # pid -> slot
        self.retiring = False
        self.drained = False
        self.active_at = time.monotonic()
        self.said_idle = False
        self.fork_again_at = 0.0
        self.helpers: set[int] = set()  # processes that the import started; they live as long as the pool
        self.left_behind = False  # a child ended since the last scan for what it may have left running
        self.scan_at = 0.0
        self.exits = PoolsExits()
        self.child = Child(self)
        self.idle_title = title.compose(f"itkwsgi: child {plan['name']} (idle)")
        self.title_start = f"itkwsgi: child {plan['name']} ".encode()

    # --- from birth to serving

    def prepare(self) -> None:
        """Import and warm the app as far as ``preload`` says, then make the memory ready to be shared."""
        if self.plan["preload"] == "app":
            self.app = self.load_app()
            if not self.broken:
                warm_up(self.app, self.plan["warmup"], self.plan["name"])
                self.loaded.note(filter(None, (self.prepended,)))
        self.scope = self.scopes.find(self.scope.key)  # the import may have set something
        self.lay_out(self.scope)
        self.changes = self.in_force.changes(self.scope)
        self.settings.enter(self.scope)
        self.usual = usual_of(self)
        self.settings.is_usual = self.usual is not None
        self.exits.put_aside()
        default_signals()
        _signal.signal(SIGPROF, self.time.exceeded)
        answer_dump_signal()
        flush()
        gc.collect()
        gc.freeze()

    def load_app(self) -> Callable[..., Any]:
        """Import the app; one that cannot be imported becomes a `FailedApp`, its traceback is in the site's log."""
        try:
            self.prepend()
            return load(self.plan["app"])
        except BaseException as error:  # SystemExit at import is the site's failure like any other
            error_id = new_id()
            log_error(f"app = {self.plan['app']!r} could not be imported", error, error_id, self.settings)
            self.broken = True
            return FailedApp(error_id, error)

    def prepend(self) -> None:
        """auto_prepend_file of the site as a whole."""
        path = self.scope.value("auto_prepend_file")
        if path is not None:
            self.prepended = path
            run_file(path, "auto_prepend_file")

    def run(self) -> None:
        """Serve until retired and empty; never returns."""
        _signal.pthread_sigmask(_signal.SIG_BLOCK, WATCHED)
        self.prepare()
        self.helpers = set(process_status.children_of(self.pid))
        self.active_at = time.monotonic()
        self.say(PoolState.BROKEN if self.broken else PoolState.SERVING)
        while not (self.retiring and self.drained and not self.children):
            self.fork_spares()
            self.wait()
        self.end()

    def end(self) -> None:
        """What the import began ends here, once: the pool's own atexit callbacks."""
        try:
            self.exits.run()
            flush()
        finally:
            os._exit(0)

    # --- the loop

    def fork_spares(self) -> None:
        """Fork what the policy misses; while draining, one at a time until the queue's end was met."""
        now = time.monotonic()
        if now < self.fork_again_at:
            return
        for _ in range(self.missing(now)):
            slot = self.slots.take()
            if slot is None:
                return
            self.child.slot = slot
            try:
                self.children[fork_child(self.child)] = slot
            except OSError as error:
                self.slots.free(slot)
                self.fork_again_at = now + FORK_PAUSE_SECONDS
                log(f"no process for another request: {error.strerror}; trying again")
                return

    def missing(self, now: float) -> int:
        """How many children to fork now."""
        idle = self.slots.count(slots.IDLE)
        busy = self.slots.count(slots.BUSY)
        if self.retiring:
            return int(not self.drained and idle == 0 and busy < self.plan["max_children"])
        missing = self.policy.missing(idle, busy, now)
        self.slots.ask_one_to_end(self.policy.surplus(idle))
        self.slots.wake_below(self.policy.target // 2)
        return missing

    def wait(self) -> None:
        """Sleep until a signal or the next deadline, then look at everything."""
        received = _signal.sigtimedwait(WATCHED, self.seconds_to_wait())
        if received is not None and received.si_signo == _signal.SIGTERM:
            self.retire()
        self.reap()
        self.look_at_board()
        self.note_activity()

    def look_at_board(self) -> None:
        """Watch the children's time; take what one of them learned."""
        called = self.slots.was_called()
        now = time.monotonic()
        if called or now >= self.watch.at:
            self.watch.look(self.children, now)
        if self.board.outdated:
            self.retire()
        if called:
            self.learn()

    def learn(self) -> None:
        """Keep a scope that a child met, for all to come.  A changed file of the app's own directories is as a changed
        app: the next pool imports under it."""
        report = self.board.take()
        if report is None:
            return
        scope = self.scopes.learn(report)
        if scope is not None:
            self.lay_out(scope)
        if self.scopes.outdated(self.scope):
            self.retire()

    def lay_out(self, scope: Scope) -> None:
        """Compute now what each child would else."""
        at_hand = scope.at_hand
        at_hand.limits = limits_of(at_hand.max_execution_time, at_hand.time_is_fixed)
        self.in_force.changes(scope)

    def seconds_to_wait(self) -> float:
        """Until something is due without a signal; an idle pool has nothing due but its end."""
        now = time.monotonic()
        if self.retiring or self.fork_again_at > now:
            return FORK_PAUSE_SECONDS
        if self.left_behind:
            return SCAN_SECONDS
        due = min(self.ends_at(), self.watch.at)
        if self.policy.target > self.policy.min_spare or not self.said_idle:
            due = min(due, now + IDLE_SECONDS)
        return max(MIN_WAIT_SECONDS, due - now)

    def ends_at(self) -> float:
        """When this pool retires if nobody comes, in monotonic seconds."""
        if self.broken:
            return self.active_at + BROKEN_SECONDS
        return self.active_at + (self.plan["idle_timeout"] or FOREVER)

    def note_activity(self) -> None:
        """Keep the time of the last request; say idle or active when that changes; retire when idle for long."""
        now = time.monotonic()
        if self.slots.count(slots.BUSY):
            self.was_active(now)
        elif not self.said_idle and now - self.active_at >= IDLE_SECONDS:
            self.said_idle = True
            self.say(PoolState.IDLE)
        if now >= self.ends_at() or half_used():
            self.retire()

    def was_active(self, now: float) -> None:
        """A request is or was served.  It does not keep a broken site from being tried again."""
        if not self.broken:
            self.active_at = now
        if self.said_idle:
            self.said_idle = False
            self.say(PoolState.ACTIVE)

    def reap(self) -> None:
        """Collect ended children, each with its process group; now and then, whatever else they left running."""
        while (child := next_ended_child()) is not None:
            self.left_behind = True
            slot = self.children.pop(child.si_pid, None)
            if slot is not None:
                self.child_ended(slot, child)
        now = time.monotonic()
        if self.left_behind and now >= self.scan_at:
            self.left_behind = False
            self.scan_at = now + SCAN_SECONDS
            try:
                orphans.kill_unknown_children(self.helpers | set(self.children))
            except OSError:
                self.left_behind = True  # they could not be listed: again, a little later

    def child_ended(self, slot: int, child: os.waitid_result) -> None:
        """Free its slot and draw the conclusions."""
        state = self.slots.free(slot)
        self.board.unwatch(slot)
        if state == slots.BUSY:
            self.was_active(time.monotonic())
        if state == slots.IDLE:  # it ended before it had a visitor: whatever does that will do it again
            self.fork_again_at = time.monotonic() + FORK_PAUSE_SECONDS
        if state == slots.DRAINED:
            self.drained = True
            self.retire()
        if child.si_code != os.CLD_EXITED:
            name = signal_name(child.si_status)
            log(f"child {child.si_pid} was ended by {name}{self.circumstances(slot, state, child)}")
            if child.si_status in FAULTS:
                self.crashed()

    def circumstances(self, slot: int, state: int, child: os.waitid_result) -> str:
        """What a child was at when a signal ended it, and which limit that signal stands for."""
        at_work = f" while it worked on {self.board.read_label(slot)}" if state == slots.BUSY else ""
        return f"{at_work}: max_execution_time" if child.si_status == SIGXCPU else at_work

    def crashed(self) -> None:
        """A child met a memory fault.  All children have this pool's address layout and stack canary, so whoever can
        provoke that could find them out, one crash at a time: the next pool gets others."""
        if not self.retiring:
            log("the site is started anew in an interpreter of its own, with another address layout")
            self.say(PoolState.CRASHED)
            self.retire()

    def retire(self) -> None:
        """Accept no new visitors; those in the queue are still served."""
        if self.retiring:
            return
        self.retiring = True
        self.say(PoolState.LEAVING)
        self.listener.shutdown(SHUT_RD)
        self.board.leave()

    def close_listeners(self) -> None:
        """In a child that has its one connection."""
        self.listener.close()
        if self.external is not None:
            self.external.close()

    def say(self, state: bytes) -> None:
        """Tell the supervisor.  When it is gone the zygote ends this pool; nothing to do here."""
        try:
            os.write(self.channel, state)
        except (BrokenPipeError, ConnectionResetError, BlockingIOError):
            return
