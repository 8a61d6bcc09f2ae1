"""Code of an attacker's inside a role that was taken over: front, log or zygote.

A test copies the package and appends a line to it that calls one of these.  All that the attempts need is loaded
before the role confines itself, as an attacker's code would be that came with a request.  What they bring is written
on fd 2, a line each.
"""

from __future__ import annotations

import json
import os

from tests.root.attacks import table
from tests.root.attacks.attempt import try_apart

CALL = "attack-"
MARK = "OUTCOME "
KNOWN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "targets.json")
ROLES = ("supervisor", "front", "log", "zygote", "pool", "child")


def known():
    """All that is known before the server starts."""
    with open(KNOWN) as file:
        return json.load(file)


def attack(ways, targets):
    """Make these attempts and say what each brought."""
    for name, way in ways.items():
        line = MARK + json.dumps([name, try_apart(way, targets)]) + "\n"
        os.write(2, line.encode())
    os.write(2, f"{MARK}{json.dumps(['the end', {}])}\n".encode())


def called(text, known_targets):
    """``attack-1-2-3-4-5-6``: the pids of the roles; None for anything else."""
    pids = text.partition(CALL)[2].partition(".")[0].split("-")
    if len(pids) != len(ROLES):
        return None
    return {**known_targets, "pids": dict(zip(ROLES, map(int, pids), strict=True))}


def in_front(router):
    """A visitor's host name starts it."""
    find, targets_known = router.find, known()

    def backdoor(self, listener, host):
        targets = called(host, targets_known)
        if targets is not None:
            attack(table.IN_FRONT, targets)
        return find(self, listener, host)

    router.find = backdoor


def in_log(splitter):
    """A line that a site writes starts it."""
    feed, targets_known = splitter.feed, known()

    def backdoor(self, data):
        targets = called(data.decode("latin-1"), targets_known) if CALL.encode() in data else None
        if targets is not None:
            attack(table.IN_LOG, targets)
        return feed(self, data)

    splitter.feed = backdoor
