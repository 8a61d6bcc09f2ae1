"""A keeper with real sockets, files and descriptors around it; the zygote and the front are the test."""

from __future__ import annotations

import os
import socket

from itkwsgi.linux import fds
from itkwsgi.supervisor.keeper import Keeper
from itkwsgi.supervisor.loglink import LogLink
from itkwsgi.supervisor.roster import Roster
from itkwsgi.supervisor.timers import Timers
from itkwsgi.supervisor.watch import Watch
from itkwsgi.wire import control, orders


class Bench:
    """A keeper and all around it."""

    def __init__(self, config, where, peer):
        self.now = 0.0
        self.notes = []
        self.timers = Timers(lambda: self.now)
        self.watch = Watch()
        self.log = LogLink(self.timers.after)
        self.roster = Roster(self.notes.append)
        self.keeper = Keeper(config, where, self.roster, self.watch, self.timers, self.log, privileged=False)
        self.table = self.keeper.table
        self.zygote, self.front = self.add(peer("zygote")), self.add(peer("front", "0"))

    def add(self, peer):
        self.roster.roles[peer.pid] = peer.role
        return peer

    def ordered(self):
        """The next order to the zygote, with the plan it is about, and its other descriptors."""
        data, received = fds.receive_message(self.zygote.end, orders.MAX_ORDER, 5)
        return with_plan(orders.decode_order(data), received), received

    def wake(self, index=0):
        """Have a pool ordered; returns the pool as the zygote sees it."""
        self.table.wake(self.front.pid, index)
        return PoolEnd(self, *self.ordered())

    def told(self):
        """What the front is told next."""
        return control.unpack(self.front.end.recv(100))

    def round(self, seconds):
        self.watch.handle(self.watch.wait(seconds))

    def pass_time(self, seconds):
        self.now += seconds
        self.timers.run()

    def close(self):
        for pool in list(self.table.pools.values()):
            self.table.close_channel(pool)
            self.table.close_listener(pool)
        for row in self.table.rows:
            if row.external is not None:
                self.watch.forget(row.external)
                row.external.close()
        for key in list(self.log.sources):
            self.log.remove(key)
        self.watch.selector.close()


def with_plan(order, received):
    """Read the plan of a pool as its fork does."""
    if order["do"] == orders.SPAWN:
        with os.fdopen(received.pop(3), "rb") as memory:
            order["plan"] = orders.decode(memory.read())
    return order


class PoolEnd:
    """The pool's ends of what the zygote was handed."""

    def __init__(self, bench, order, received):
        self.bench = bench
        self.order = order
        self.plan = order["plan"]
        self.listener = socket.socket(fileno=received[0])
        self.channel, self.log = received[1:3]
        self.external = socket.socket(fileno=received[3]) if len(received) > 3 else None
        self.pool = bench.table.pools[self.plan["serial"]]

    def say(self, word):
        os.write(self.channel, word)
        self.bench.round(1)

    def close(self):
        self.listener.close()
        if self.external is not None:
            self.external.close()
        self.hang_up()
        if self.log >= 0:
            os.close(self.log)
            self.log = -1

    def hang_up(self):
        if self.channel >= 0:
            os.close(self.channel)
            self.channel = -1


def visit(external):
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(external.path)
    return sock
