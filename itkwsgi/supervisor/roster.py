"""The roles that run, by pid, and how each is told something."""

from __future__ import annotations

import fcntl
import os
import select
import signal
from typing import TYPE_CHECKING

from itkwsgi.errors import Bug
from itkwsgi.linux import fds
from itkwsgi.wire import control, orders

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from itkwsgi.supervisor.roles import Role

SIOCOUTQ = 0x5411  # unix(7): what was sent and not yet read


class Roster:
    """Whoever does not take what it is told is ended; its end is then seen like any other, and it is started again."""

    def __init__(self, note: Callable[[str], None]) -> None:
        self.roles: dict[int, Role] = {}
        self.note = note

    def of_kind(self, kind: str) -> list[Role]:
        return [role for role in self.roles.values() if role.kind == kind]

    def zygote(self, key: str) -> Role | None:
        """The zygote of that environment, if it is ready and not on its way to its end."""
        fit = (role for role in self.of_kind("zygote") if role.key == key and role.ready and role.channel.fileno() >= 0)
        return next(fit, None)

    def all_ready(self) -> bool:
        return all(role.ready for role in self.roles.values())

    def tell_front(self, pid: int, kind: int, index: int, generation: int) -> None:
        """One message to a front that may be gone by now."""
        role = self.roles.get(pid)
        if role is None:
            return
        try:
            role.channel.send(control.pack(kind, index, generation))
        except OSError as error:
            self.end(role, f"takes no messages ({error.strerror})")

    def has_room(self, role: Role) -> bool:
        """Does what it is told next fit?  (poll(2) says so while three quarters of a channel are free.)"""
        poll = select.poll()
        poll.register(role.channel, select.POLLOUT)
        return bool(poll.poll(0))

    def reads(self, role: Role) -> bool:
        """Did it read all that it was told?  True for one that is gone: there is nothing more to be known."""
        if self.roles.get(role.pid) is not role or role.channel.fileno() < 0:
            return True
        return not any(fcntl.ioctl(role.channel, SIOCOUTQ, bytes(4)))

    def tell_zygote(self, role: Role, order: dict[str, object], descriptors: Sequence[int] = ()) -> bool:
        """One order to a zygote; False when it did not take it, or the order is too long (a site's ``env``)."""
        try:
            fds.send_message(role.channel, orders.encode(order), descriptors)
        except Bug as error:
            self.note(f"{role}: {error}")
            return False
        except OSError as error:
            self.end(role, f"takes no orders ({error.strerror})")
            return False
        return True

    def end(self, role: Role, why: str) -> None:
        """Kill a role; we are its parent and have not reaped it, so the pid is its own."""
        self.note(f"{role} ({role.pid}) {why}; it is ended")
        os.kill(role.pid, signal.SIGKILL)
