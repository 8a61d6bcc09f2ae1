"""One attempt: a function that tries one thing and returns what it got, and what may become of it.

An attempt is *refused* only by an errno on its own list: one that failed for another reason (no such file, a mistake in
the attempt) has proven nothing and is *broken*.  Each is tried in a fork of its own, for some would change the process
that makes them.  The same functions run in a site's request, at a site's import, in a front, and in the tests, where
somebody who is entitled makes the same attempt and must succeed: the control.
"""

from __future__ import annotations

import errno
import json
import mmap
import os
import signal
import traceback
from collections import namedtuple

LONGEST = 10  # seconds
DENIED = ("EPERM", "EACCES")

# What says in a control that the thing itself does not exist on this machine.
NOT_HERE = ("ENOSYS", "ENODEV", "ENXIO", "EOPNOTSUPP", "ENOENT", "EAFNOSUPPORT", "EPROTONOSUPPORT")


class Missing(Exception):
    """This machine or this place has nothing of the kind: nothing was tried."""


class Way(namedtuple("Way", "does control refusals why", defaults=("capable", DENIED, ""))):
    """``does`` gets the targets (a dict, see attacking.Battlefield) and returns what it got.

    ``control``: who succeeds: "capable" (a user with every capability), "root", "resource" (root with
    CAP_SYS_RESOURCE), "owner" (the same user as the target), "plain" (a user without no_new_privs), "front",
    "terminal" (root on a terminal), or "" with the reason in ``why``.  ``refusals``: names of errnos that count as a
    refusal.
    """

    __slots__ = ()

    def may_be_refused_by(self, *names):
        return self._replace(refusals=(*DENIED, *names))


def refuse(number=errno.EPERM):
    """For attempts that find out by looking."""
    raise OSError(number, os.strerror(number))


def outcome_of(way, targets):
    """Try it in this process."""
    try:
        return {"got": str(way.does(targets))}
    except Missing as reason:
        return {"missing": str(reason)}
    except OSError as error:
        name = errno.errorcode.get(error.errno, str(error))
        return {"refused": name} if name in way.refusals else {"broke": f"{name}: {error}", "errno": name}
    except BaseException:
        return {"broke": traceback.format_exc()}


def try_apart(way, targets):
    """Try it in a fork; where that is refused, right here: then everything that would do harm is as well.

    A signal that killed the fork is an outcome too: seccomp kills by SIGSYS.
    """
    with mmap.mmap(-1, 1 << 16) as answer:
        try:
            pid = os.fork()
        except PermissionError:
            return outcome_of(way, targets)
        if pid == 0:
            try:
                signal.alarm(LONGEST)
                answer.write(json.dumps(outcome_of(way, targets)).encode()[: 1 << 16])
            finally:
                os._exit(0)
        _, status = os.waitpid(pid, 0)
        said = answer[:].rstrip(b"\0")
    if said:
        return json.loads(said)
    name = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else f"exit {status >> 8}"
    return {"refused": name} if name in way.refusals else {"broke": name, "errno": name}
