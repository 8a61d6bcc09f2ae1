"""The other roles as processes: how each is started, and started again.

Each gets exactly the descriptors it is to have, an empty environment and its own identity, before its interpreter
starts; none of them ever runs as root.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING

from itkwsgi.linux import fds
from itkwsgi.linux.identity import Identity
from itkwsgi.linux.launch import RoleSpec, launch
from itkwsgi.supervisor.keeper import Keeper
from itkwsgi.supervisor.plan import ZygotePlan, front_settings
from itkwsgi.supervisor.sockets import listen_again
from itkwsgi.wire import control, orders

if TYPE_CHECKING:
    from itkwsgi.config.model import Config, Ids
    from itkwsgi.supervisor.loglink import LogLink
    from itkwsgi.supervisor.places import Places

CAP_KILL, CAP_SETGID, CAP_SETUID, CAP_SYS_NICE = 5, 6, 7, 23
ZYGOTE_CAPABILITIES = frozenset((CAP_KILL, CAP_SETGID, CAP_SETUID, CAP_SYS_NICE))

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Role:
    """A started process: ``kind`` is front, log or zygote, ``key`` tells those of one kind apart."""

    def __init__(self, kind: str, key: str, pid: int, channel: socket.socket) -> None:
        self.kind = kind
        self.key = key
        self.pid = pid
        self.channel = channel
        self.ready = False

    def __str__(self) -> str:
        return f"{self.kind} {self.key}".rstrip()


class Launcher:
    """Starts roles for one configuration."""

    def __init__(
        self, config: Config, places: Places, listeners: list[socket.socket], log: LogLink, *, privileged: bool
    ) -> None:
        self.config = config
        self.places = places
        self.listeners = listeners
        self.log = log
        self.privileged = privileged

    def start_log(self) -> Role:
        """The log; its own stderr is the operator's, for there is no other place."""
        return self.start("log", "", self.own_role("log"), {1: 2, 2: 2}, self.config.server.log_ids)

    def start_front(self, number: int) -> Role:
        """A front: the listeners, the table of sites, a pipe for access lines.  It dies with the supervisor."""
        for listener in self.listeners:
            listen_again(listener)
        first = control.FIRST_LISTENER_FD
        places = {first + at: sock.fileno() for at, sock in enumerate(self.listeners)}
        access_place = first + len(self.listeners)
        settings = front_settings(self.config, Keeper.generation, first, access_place, self.places.bodies)
        with contextlib.ExitStack() as handed_over:
            access = until(handed_over, self.log.pipe(f"front {number}", {"do": "front", "number": number}))
            notes = until(handed_over, self.notes(f"front {number}"))
            memory = until(handed_over, fds.memfd_with(json.dumps(settings).encode(), "settings"))
            places.update({1: notes, 2: notes, control.SETTINGS_FD: memory, access_place: access})
            front_ids = self.config.server.front_ids
            return self.start("front", str(number), self.own_role("front"), places, front_ids, cwd=self.places.pools)

    def start_zygote(self, plan: ZygotePlan) -> Role:
        """A zygote: its environment's interpreter, the capabilities to switch, nothing of the server's packages."""
        settings = {
            "name": plan.key or "system",
            "preload": list(plan.preload),
            "packages": True,
            "privileged": self.privileged,
        }
        argv = [plan.python, "-I", "-S", os.path.join(PACKAGE, "boot.py"), "zygote"]
        with contextlib.ExitStack() as handed_over:
            notes = until(handed_over, self.notes(f"zygote {plan.key or 'system'}"))
            memory = until(handed_over, fds.memfd_with(orders.encode(settings), "settings"))
            places = {1: notes, 2: notes, control.SETTINGS_FD: memory}
            return self.start("zygote", plan.key, argv, places, self.config.server.zygote_ids, keep=ZYGOTE_CAPABILITIES)

    def notes(self, name: str) -> int:
        """A pipe into the server's error log, for what a role writes on stderr."""
        return self.log.pipe(f"notes {name}", {"do": "notes", "name": name})

    def own_role(self, name: str) -> list[str]:
        """A role in the server's own interpreter."""
        return [sys.executable, "-I", "-m", f"itkwsgi.{name}"]

    def start(
        self,
        kind: str,
        key: str,
        argv: list[str],
        places: dict[int, int],
        ids: Ids,
        *,
        keep: frozenset[int] = frozenset(),
        cwd: str = "/",
    ) -> Role:
        """Launch; the control channel is at its fixed place, /dev/null at 0."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            pid = launch(
                RoleSpec(
                    name=f"itkwsgi {kind}",
                    argv=argv,
                    fds={0: null, **places, control.CONTROL_FD: theirs.fileno()},
                    identity=Identity(ids.uid, ids.gid, ()) if self.privileged else None,
                    keep=keep if self.privileged else frozenset(),
                    cwd=cwd,
                    no_new_privs=kind != "zygote",  # a site may be allowed setgid helpers; its pool decides
                    death_signal=signal.SIGKILL if kind == "front" else None,
                )
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
            os.close(null)
        ours.setblocking(False)
        fds.refuse_descriptors(ours)
        return Role(kind, key, pid, ours)


def until(end: contextlib.ExitStack, fd: int) -> int:
    """The descriptor, closed at that end."""
    end.callback(os.close, fd)
    return fd
