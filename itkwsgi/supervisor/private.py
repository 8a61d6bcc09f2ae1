"""Zygotes that are one site's: of sites with ``private_tmp``, each in a mount namespace of its own.

A mount namespace takes root to make and CAP_SYS_ADMIN to enter, so a pool cannot be forked into one by a zygote of
others.  Such a site's zygote is started when somebody wants the site and ends with its last pool: asleep, the site is a
row in a table like any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from itkwsgi.errors import OperatorError
from itkwsgi.supervisor.plan import PRIVATE, private_plan, zygote_key

if TYPE_CHECKING:
    from itkwsgi.supervisor.daemon import Supervisor
    from itkwsgi.supervisor.roles import Role
    from itkwsgi.supervisor.rows import Row


class PrivateZygotes:
    """Starts and ends them."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor = supervisor

    def need(self, row: Row) -> None:
        """Somebody waits for this site: start its zygote, unless that is on its way."""
        if not row.queued or self.of(row):
            return
        try:
            self.supervisor.start_zygote(private_plan(self.supervisor.config, row.vhost))
        except (OperatorError, OSError) as error:
            self.supervisor.note(f"{row.vhost.name}: private_tmp: {error}")
            self.supervisor.pools.cannot_start(row)

    def release(self, row: Row) -> None:
        """End its zygote if nothing of the site is left and nobody waits for it."""
        if row.queued or any(pool.row is row for pool in self.supervisor.pools.pools.values()):
            return
        for role in self.of(row):
            self.supervisor.hang_up(role)

    def ended(self, role: Role) -> None:
        """One ended; who waits for it gets a new one, if it had come so far as to be ready."""
        row = self.supervisor.pools.rows[int(role.key.removeprefix(PRIVATE))]
        self.supervisor.launcher.forget_notes(private_plan(self.supervisor.config, row.vhost))
        if not role.ready:
            self.supervisor.note(f"{row.vhost.name}: private_tmp: its {role} ({role.pid}) ended while starting")
            self.supervisor.pools.cannot_start(row)
        else:
            self.need(row)

    def of(self, row: Row) -> list[Role]:
        """Its zygote, but not one that is on its way to its end."""
        key = zygote_key(row.vhost)
        zygotes = self.supervisor.roster.of_kind("zygote")
        return [role for role in zygotes if role.key == key and role.channel.fileno() >= 0]


def is_private(role: Role) -> bool:
    """Is it a zygote of one site?"""
    return role.kind == "zygote" and role.key.startswith(PRIVATE)
