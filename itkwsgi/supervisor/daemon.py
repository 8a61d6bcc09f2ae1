"""The supervisor's loop: signals, messages and deadlines, each to its handler.

One thread, one selector.  Signal handlers only wake the loop.  Nothing here waits for anybody: not for a role to end,
not for a log to read, not for a pool to start.  What the kernel itself may make us wait for (to close the last copy of
a descriptor that a front sent, or left in a socket's queue, can take as long as its sender likes: see `linux.fds`) is
interrupted by an alarm.
"""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

from itkwsgi.errors import Bug, OperatorError
from itkwsgi.linux import cgroup, fds, orphans
from itkwsgi.supervisor import cgroups, places
from itkwsgi.supervisor.keeper import Keeper
from itkwsgi.supervisor.loglink import LogLink
from itkwsgi.supervisor.notes import Notes, tell_operator
from itkwsgi.supervisor.plan import ZygotePlan, front_count, zygote_plans
from itkwsgi.supervisor.private import PrivateZygotes, is_private
from itkwsgi.supervisor.restart import Backoff
from itkwsgi.supervisor.roles import Launcher, Role
from itkwsgi.supervisor.roster import Roster
from itkwsgi.supervisor.stopping import Stopping
from itkwsgi.supervisor.timers import Timers
from itkwsgi.supervisor.watch import Watch
from itkwsgi.wire import control

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from typing import TypeVar

    from itkwsgi.config.model import Config
    from itkwsgi.supervisor.places import Places

    Message = TypeVar("Message")

HANDLED = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGALRM)
# A handler takes a millisecond; a system call of one that takes longer than this is interrupted.
ALARM_SECONDS = 0.2
# Who closed its channel is on its way to its end; a zygote takes the longest, with all it has to end before.
HUNG_UP_SECONDS = 10.0
# A role that is not ready by then will not be.
START_SECONDS = 60.0
# Until what could not be seen is looked for again.
AGAIN_SECONDS = 1.0
# Site names in one order to the log; a name has at most 253 characters.
NAMES_AT_ONCE = 250


class Supervisor:
    """The daemon for one configuration."""

    def __init__(self, config: Config, where: Places, listeners: list[socket.socket], *, privileged: bool) -> None:
        self.config = config
        self.watch = Watch()
        self.timers = Timers()
        self.log = LogLink(self.timers.after)
        self.roster = Roster(self.note)
        self.launcher = Launcher(config, where, listeners, self.log, privileged=privileged)
        self.keeper = Keeper(config, where, self.roster, self.watch, self.timers, self.log, privileged=privileged)
        self.pools = self.keeper.table
        self.private_zygotes = self.keeper.private_zygotes = PrivateZygotes(self)
        self.zygotes = {plan.key: plan for plan in zygote_plans(config)}
        self.backoffs: dict[str, Backoff] = {}
        self.stopping = Stopping(self)
        self.notes = Notes()
        self.exit_status: int | None = None
        self.said_ready = False

    # --- the loop

    def run(self) -> int:
        """Serve until stopped; returns the exit status."""
        self.watch_signals()
        self.start_roles()
        while self.exit_status is None:
            ready = self.watch.wait(self.timers.wait())
            signal.setitimer(signal.ITIMER_REAL, ALARM_SECONDS, ALARM_SECONDS)
            self.watch.handle(ready)
            self.timers.run()
            signal.setitimer(signal.ITIMER_REAL, 0.0)
        return self.exit_status

    def watch_signals(self) -> None:
        """A pipe that Python writes each signal's number into."""
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in HANDLED:
            signal.signal(number, lambda number, frame: None)
        self.watch.add(reader, lambda: self.take_signals(reader))

    def take_signals(self, reader: int) -> None:
        """Act on each signal once, however often it came."""
        for number in sorted(set(os.read(reader, 4096))):
            if number == signal.SIGCHLD:
                self.reap()
            elif number == signal.SIGTERM:
                self.stopping.begin(graceful=True)
            elif number == signal.SIGINT:
                self.stopping.begin(graceful=False)
            elif number == signal.SIGUSR1:
                self.reopen_logs()
            elif number == signal.SIGHUP:
                self.note("HUP: the configuration is read at the start only; stop and serve again to apply changes")

    def note(self, text: str) -> None:
        """A line in the server's error log.  A full pipe loses it rather than stop the supervisor."""
        self.notes.say(text)

    # --- starting

    def start_roles(self) -> None:
        """The log first: the others write to it."""
        self.open_server_logs()
        self.start_log()
        self.name_sites()
        self.notes.log = self.log.pipe("notes supervisor", {"do": "notes", "name": "supervisor"})
        os.set_blocking(self.notes.log, False)
        self.keeper.open_externals()
        if self.launcher.privileged:
            self.keeper.cgroups = cgroups.begin(self.timers.after, self.note, cgroup.find())
        for plan in self.zygotes.values():
            self.start_zygote(plan)
        for number in range(front_count(self.config)):
            self.start_front(number)
        self.timers.after(START_SECONDS, self.start_is_over)

    def name_sites(self) -> None:
        """The log writes a site's name into access lines, also while it sleeps."""
        names = [vhost.name for vhost in self.config.vhosts]
        for first in range(0, len(names), NAMES_AT_ONCE):
            order = {"do": "names", "first": first, "names": names[first : first + NAMES_AT_ONCE]}
            self.log.add(f"names {first}", order, ())

    def open_server_logs(self) -> None:
        """Open the server's logs, anew after a rotation, and hand them to the log role."""
        server = self.config.server
        files = places.open_logs((server.error_log, server.access_log))
        self.log.add("files", {"do": "files", "error": True, "access": True, "limit": server.log_max}, files)

    def reopen_logs(self) -> None:
        """USR1: after a rotation.  A path that cannot be had keeps the old file."""
        try:
            self.open_server_logs()
            self.keeper.reopen_site_logs()
        except OperatorError as error:
            self.note(str(error))

    def start_log(self) -> None:
        role = self.launcher.start_log()
        self.adopt(role, lambda: self.hang_up(role))
        role.ready = True
        self.log.connect(role.channel)

    def start_zygote(self, plan: ZygotePlan) -> None:
        role = self.launcher.start_zygote(plan)
        self.adopt(role, lambda: self.hear_zygote(role))

    def start_front(self, number: int) -> None:
        role = self.launcher.start_front(number)
        self.adopt(role, lambda: self.hear_front(role))

    def adopt(self, role: Role, handler: Callable[[], None]) -> None:
        """Watch a started role."""
        self.roster.roles[role.pid] = role
        self.watch.add(role.channel, handler)

    def is_ready(self, role: Role) -> None:
        """When all are, the server is."""
        role.ready = True
        self.pools.start_queued()
        if not self.said_ready and self.roster.all_ready():
            self.said_ready = True
            tell_operator("ready")

    def start_is_over(self) -> None:
        """A server that cannot get its roles up says so and ends."""
        if not self.said_ready and not self.stopping.begun:
            waiting = ", ".join(str(role) for role in self.roster.roles.values() if not role.ready)
            self.fail(f"not ready after {START_SECONDS:g} s: {waiting}; see {self.config.server.error_log}")

    def fail(self, text: str) -> None:
        """The start failed: say it to the operator and end."""
        tell_operator(f"itkwsgi: {text}")
        self.stopping.begin(graceful=False, status=1)

    # --- hearing

    def hear_front(self, role: Role) -> None:
        """One message of a front, by its table; anything else ends it."""
        message = self.hear(role, control.FRONT_MESSAGE_SIZE, lambda data: control.unpack(data, control.FRONT_MAY_SAY))
        if message is None:
            return
        if message.kind == control.READY:
            self.is_ready(role)
        elif message.generation == self.keeper.generation:
            self.obey_front(role, message)

    def hear(self, role: Role, size: int, unpack: Callable[[bytes], Message]) -> Message | None:
        """One message of a role.  None, and the role hung up on, when it closed its end or spoke nonsense."""
        try:
            data, _ = fds.receive_message(role.channel, size)
            if data:
                return unpack(data)
        except BlockingIOError:
            return None
        except OSError as error:
            self.note(f"{role} ({role.pid}) cannot be heard: {error.strerror}")
        except Bug as error:
            self.roster.end(role, f"sent {error}")
        self.hang_up(role)
        return None

    def obey_front(self, role: Role, message: control.FrontMessage) -> None:
        """The two things a front may ask of root."""
        if message.kind == control.END:
            self.pools.end_overdue(message.index)
        else:
            self.pools.wake(role.pid, message.index)

    def hear_zygote(self, role: Role) -> None:
        """One notice of a zygote."""
        notice = self.hear(role, control.NOTICE_SIZE, control.unpack_notice)
        if notice is None:
            return
        if notice.kind == control.ZYGOTE_READY:
            self.is_ready(role)
        elif notice.kind == control.SPAWNED:
            self.pools.spawned(notice.serial, notice.pid)
        else:
            self.pools.ended(notice.serial, notice.value if notice.kind == control.EXITED else None)
            self.stopping.advance()

    def hang_up(self, role: Role) -> None:
        """Close the channel of a role that closed its own end, or is to end; its exit is seen by `reap`."""
        if role.channel.fileno() < 0:
            return
        self.watch.forget(role.channel)
        role.channel.close()
        self.timers.after(HUNG_UP_SECONDS, lambda: self.must_have_ended(role))

    def must_have_ended(self, role: Role) -> None:
        """Without a channel it is nobody's."""
        if self.roster.roles.get(role.pid) is role:
            self.roster.end(role, "closed its channel and lives on")

    # --- ending

    def reap(self) -> None:
        """Collect ended roles; whatever else became ours (a site's leftovers) is killed."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            role = self.roster.roles.pop(pid, None)
            if role is not None:
                self.role_ended(role, status)
        try:
            orphans.kill_unknown_children(set(self.roster.roles))
        except OSError as error:
            self.note(f"what sites left behind cannot be looked for: {error.strerror}")
            self.timers.after(AGAIN_SECONDS, self.reap)
        self.stopping.advance()

    def role_ended(self, role: Role, status: int) -> None:
        """Clean up after a role and start it again after a pause."""
        self.hang_up(role)
        if role.kind == "zygote":
            pools = self.pools.pools.values()
            self.pools.zygote_gone([pool.serial for pool in pools if pool.zygote == role.pid])
        if self.stopping.begun:
            return
        if is_private(role):
            self.private_zygotes.ended(role)
            return
        code = os.waitstatus_to_exitcode(status)
        if not self.said_ready:
            self.fail(f"{role} ended while starting (status {code}); see {self.config.server.error_log}")
            return
        pause = self.pause_before(role)
        self.note(f"{role} ({role.pid}) ended (status {code}); it is started again in {pause:g} s")
        self.timers.after(pause, lambda: self.start_again(role))

    def start_again(self, role: Role) -> None:
        """Start a role of the same kind in its place; one that cannot be had now is tried again."""
        if self.stopping.begun:
            return
        try:
            if role.kind == "log":
                self.start_log()
            elif role.kind == "zygote":
                self.start_zygote(self.zygotes[role.key])
            else:
                self.start_front(int(role.key))
        except (OperatorError, OSError) as error:
            self.note(f"{role} cannot be started: {error}")
            self.timers.after(self.pause_before(role), lambda: self.start_again(role))

    def pause_before(self, role: Role) -> float:
        """It failed once more: the seconds until it is tried again."""
        return self.backoffs.setdefault(str(role), Backoff()).failed(time.monotonic())
