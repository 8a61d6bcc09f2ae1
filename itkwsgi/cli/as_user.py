"""Looks at a site's files as the site's user, since root opens nothing that a site can write.

A forked process becomes that user for good, looks, and hands over what it found as JSON through a pipe.  It has a few
seconds: a file system that hangs is said, not waited for.  It holds nothing of ours but the pipe, so that nobody who
waits for the end of our output waits for it.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import time
from collections.abc import Callable
from typing import Any, NoReturn

from itkwsgi.config.model import Ids
from itkwsgi.errors import Bug, OperatorError
from itkwsgi.linux import by_prctl
from itkwsgi.linux.identity import Identity
from itkwsgi.linux.launch import end
from itkwsgi.linux.switch import become

SECONDS = 5.0
MOST = 16 * 2**20  # bytes of a finding
MEMORY = 512 * 2**20  # bytes for the look, whatever lies there
_PIECE = 2**16


class CannotLook(OperatorError):
    """Nothing was found out, and why."""


def as_user(ids: Ids, look: Callable[[], Any], seconds: float = SECONDS) -> Any:
    """What ``look`` returns, in JSON's types, when that user calls it; as an ordinary user it is oneself.

    Raises `CannotLook`.
    """
    reader, writer = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        _in_child(ids, look, writer)
    os.close(writer)
    try:
        return json.loads(_read_until(reader, time.monotonic() + seconds))
    except (ValueError, RecursionError):
        raise CannotLook("the look at the site's files failed") from None
    finally:
        os.close(reader)
        end(pid)


def _in_child(ids: Ids, look: Callable[[], Any], writer: int) -> NoReturn:
    """Only forward: whatever goes wrong ends the process, and the pipe says nothing then."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        writer = _let_go(writer)
        if os.geteuid() == 0:
            become(Identity(ids.uid, ids.gid, tuple(ids.groups)), by_prctl, privileged=True)
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        with os.fdopen(writer, "wb") as file:
            file.write(json.dumps(look()).encode("ascii"))
        os._exit(0)
    finally:
        os._exit(Bug.exit_code)


def _let_go(writer: int) -> int:
    """Of every descriptor but the pipe's, whose new number is returned."""
    nothing = os.open(os.devnull, os.O_RDWR)
    pipe = os.dup2(writer, 3 if nothing != 3 else 4)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    for number in map(int, os.listdir("/proc/self/fd")):
        if number not in (0, 1, 2, pipe):
            os.closerange(number, number + 1)  # minds no number that is closed already
    return pipe


def _read_until(reader: int, end_at: float) -> bytes:
    """All that comes.  Raises `CannotLook` when that does not end in time, or is too much."""
    found = bytearray()
    while select.select([reader], [], [], max(0.0, end_at - time.monotonic()))[0]:
        piece = os.read(reader, _PIECE)
        if not piece:
            return bytes(found)
        found += piece
        if len(found) > MOST:
            raise CannotLook("there is too much in the site's files")
    raise CannotLook("the site's files cannot be looked at: their file system does not answer")
