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

from itkwsgi.linux import fds, filters
from itkwsgi.linux.identity import Identity
from itkwsgi.linux.launch import RoleSpec, launch
from itkwsgi.supervisor import places, ranges
from itkwsgi.supervisor.keeper import Keeper
from itkwsgi.supervisor.plan import ZygotePlan, front_settings
from itkwsgi.supervisor.sockets import listen_again
from itkwsgi.wire import control, orders

if TYPE_CHECKING:
    from typing import Any

    from itkwsgi.config.model import Config, Ids
    from itkwsgi.supervisor.loglink import LogLink
    from itkwsgi.supervisor.places import Places

CAP_KILL, CAP_SETGID, CAP_SETUID, CAP_SYS_NICE = 5, 6, 7, 23
ZYGOTE_CAPABILITIES = frozenset((CAP_KILL, CAP_SETGID, CAP_SETUID, CAP_SYS_NICE))

# Whom the kernel ends first when memory runs out: sites (zygote.spawn says how much sooner), then zygotes.
ZYGOTE_OOM_SCORE = 200

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
        descriptors = {first + at: sock.fileno() for at, sock in enumerate(self.listeners)}
        access_place = first + len(self.listeners)
        settings = front_settings(self.config, Keeper.generation, first, access_place, self.places.bodies)
        with contextlib.ExitStack() as handed_over:
            access = until(handed_over, self.log.pipe(f"front {number}", {"do": "front", "number": number}))
            notes = until(handed_over, self.notes(f"front {number}"))
            memory = until(handed_over, fds.memfd_with(json.dumps(settings).encode(), "settings"))
            descriptors.update({1: notes, 2: notes, control.SETTINGS_FD: memory, access_place: access})
            front_ids = self.config.server.front_ids
            more = {"cwd": self.places.pools, "death_signal": signal.SIGKILL}
            return self.start("front", str(number), self.own_role("front"), descriptors, front_ids, **more)

    def start_zygote(self, plan: ZygotePlan) -> Role:
        """A zygote: its environment's interpreter, the capabilities to switch, nothing of the server's packages.

        Raises `OperatorError` for what the kernel does not give it, and OSError.
        """
        uids, gids = ranges.of_sites(self.config.server)
        settings = {
            "name": plan.name,
            "preload": list(plan.preload),
            "packages": True,
            "privileged": self.privileged,
            "uids": uids,
            "gids": gids,
        }
        argv = [plan.python, "-I", "-S", os.path.join(PACKAGE, "boot.py"), "zygote"]
        with contextlib.ExitStack() as handed_over:
            notes = until(handed_over, self.notes(zygote_notes(plan)))
            memory = until(handed_over, fds.memfd_with(orders.encode(settings), "settings"))
            descriptors = {1: notes, 2: notes, control.SETTINGS_FD: memory}
            confined = self.confined(plan) if self.privileged else {}
            return self.start("zygote", plan.key, argv, descriptors, self.config.server.zygote_ids, **confined)

    def confined(self, plan: ZygotePlan) -> dict[str, Any]:
        """What holds a zygote of root's, and everything that is ever forked from it."""
        server = self.config.server
        uids, gids = ranges.of_zygotes(server)
        return {
            "keep": ZYGOTE_CAPABILITIES,
            "no_new_privs": plan.no_new_privs,  # else a site is allowed setgid helpers; its pool decides
            "oom_score": ZYGOTE_OOM_SCORE,
            "binds": self.binds(plan),
            "id_map": (uids, gids) if server.id_namespace else None,
            "filter": filters.zygote_filter(uids, gids),
        }

    def binds(self, plan: ZygotePlan) -> tuple[tuple[str, str], ...]:
        """private_tmp: the site's own directory stands for /tmp, and for /var/tmp where nothing of the site is."""
        vhost = plan.private
        if vhost is None or vhost.ids is None:
            return ()
        own = places.site_tmp(self.places, vhost.name, vhost.ids.uid, vhost.ids.gid, privileged=True)
        shared = ("/tmp", "/var/tmp") if vhost.private_var_tmp else ("/tmp",)
        return tuple((own, place) for place in shared)

    def forget_notes(self, plan: ZygotePlan) -> None:
        """Of a zygote that is not to be started again."""
        self.log.remove(f"notes {zygote_notes(plan)}")

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
        descriptors: dict[int, int],
        ids: Ids,
        **more: Any,
    ) -> Role:
        """Launch; the control channel is at its fixed place, /dev/null at 0.  ``more``: further fields of the spec."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            pid = launch(
                RoleSpec(
                    name=f"itkwsgi {kind}",
                    argv=argv,
                    fds={0: null, **descriptors, control.CONTROL_FD: theirs.fileno()},
                    identity=Identity(ids.uid, ids.gid, ()) if self.privileged else None,
                    **more,
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


def zygote_notes(plan: ZygotePlan) -> str:
    """The name of its pipe into the error log."""
    return f"zygote {plan.name}"


def until(end: contextlib.ExitStack, fd: int) -> int:
    """The descriptor, closed at that end."""
    end.callback(os.close, fd)
    return fd
