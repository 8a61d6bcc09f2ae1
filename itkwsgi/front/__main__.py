"""python -I -m itkwsgi.front: the life of a front.  The supervisor gives it its channel, fd 3, and settings, fd 4.

It confines itself when all is loaded, before the event loop is made: libuv makes itself a ring (io_uring) if it can,
and does not survive its loss.  So nothing may be imported for the first time later: no extension module can be loaded
any more.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING

import prctl
import uvloop

from itkwsgi.errors import Bug, OperatorError
from itkwsgi.front.server import Front
from itkwsgi.front.settings import load
from itkwsgi.linux.sandbox import confine_front
from itkwsgi.linux.title import ProcessTitle
from itkwsgi.wire.control import CONTROL_FD, SETTINGS_FD

if TYPE_CHECKING:
    from typing import Any, NoReturn

    from itkwsgi.front.settings import Settings

ORPHANED_STATUS = 75
# The supervisor says by the channel what is to be done; who signals the whole group (a terminal, an init) means it.
IGNORED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM)
# Connections and requests are freed by counting; the collector need not look often for the few cycles of errors.
COLLECT_AFTER = 20_000


def main() -> int:
    """Serve until told to stop; returns the exit status."""
    prctl.set_dumpable(False)
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    ProcessTitle().set("itkwsgi: front", "itkwsgi-front")
    channel = socket.socket(fileno=CONTROL_FD)
    with open(SETTINGS_FD, "rb") as file:
        settings = load(file.read())
    try:
        confine_front(settings.spool_dir)
    except OperatorError as error:
        sys.stderr.write(f"itkwsgi front: {error}\n")
        return error.exit_code
    return uvloop.run(serve(settings, channel))


async def serve(settings: Settings, channel: socket.socket) -> int:
    """The life between READY and the end of a drain; returns the exit status."""
    loop = asyncio.get_running_loop()
    end: asyncio.Future[int] = loop.create_future()
    front = Front(settings, loop, channel, on_drained=lambda: finish(end, 0), on_orphaned=orphaned)
    loop.set_exception_handler(lambda _, context: failed(front, end, context))
    await front.listen()
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)
    try:
        return await end
    finally:
        front.close()


def failed(front: Front, end: asyncio.Future[int], context: dict[str, Any]) -> None:
    """A callback raised.  On a client's connection: the loop has closed that, and it alone is lost.

    Anywhere else the state of more is unknown; the supervisor starts a new front.
    """
    error = context.get("exception")
    front.notes.say(f"front: {context.get('message')}: {error!r}{where(error)}")
    if "protocol" not in context and not isinstance(error, OSError):
        finish(end, Bug.exit_code)


def finish(end: asyncio.Future[int], status: int) -> None:
    """End with that status, unless the end has come already."""
    if not end.done():
        end.set_result(status)


def where(error: BaseException | None) -> str:
    """The place an error was raised at."""
    trace = error.__traceback__ if error is not None else None
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f" at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace is not None else ""


def orphaned() -> NoReturn:
    """The supervisor is gone: whoever starts it anew starts new fronts."""
    os._exit(ORPHANED_STATUS)


if __name__ == "__main__":
    sys.exit(main())
