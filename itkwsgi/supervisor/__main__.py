"""python -I -m itkwsgi.supervisor CONFIG: the whole life of the daemon, on one screen."""

from __future__ import annotations

import os
import resource
import sys
from typing import TYPE_CHECKING

import prctl

from itkwsgi.config.load import load
from itkwsgi.errors import OperatorError
from itkwsgi.linux.title import ProcessTitle
from itkwsgi.supervisor import places, sockets
from itkwsgi.supervisor.daemon import Supervisor

if TYPE_CHECKING:
    from itkwsgi.config.model import Config

NOT_ENFORCED = (
    "itkwsgi: not root: every site runs as this user ({name}). Not enforced: user and group of sites, the separation of"
    " sites from each other and from the server, negative nice values."
)


def main(argv: list[str]) -> int:
    """Read, bind, start, serve; returns the exit status."""
    protect_self()
    ProcessTitle().set(f"itkwsgi: supervisor {argv[1]}")
    privileged = os.geteuid() == 0
    try:
        require_kernel()
        config = load(argv[1])
        tell_notes(config, privileged=privileged)
        where = places.prepare(config, privileged=privileged)
        listeners = [sockets.bind(listen) for listen in config.listens]
        for listen in config.listens:
            say(f"itkwsgi: listening on {listen.text}")
        return Supervisor(config, where, listeners, privileged=privileged).run()
    except OperatorError as error:
        say(str(error))
        return error.exit_code


def protect_self() -> None:
    """Nobody reads this process's memory; what its descendants leave behind becomes ours to end."""
    os.umask(0o022)
    os.chdir("/")
    prctl.set_dumpable(False)
    prctl.set_child_subreaper(True)
    prctl.set_name("itkwsgi")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def require_kernel() -> None:
    """Raises `OperatorError` on a kernel before Linux 5.8: there root could be made to wait by a pool."""
    channel = os.eventfd(1, os.EFD_CLOEXEC)
    try:
        os.preadv(channel, [bytearray(8)], -1, os.RWF_NOWAIT)
    except OSError as error:
        raise OperatorError(f"this kernel is too old, itkwsgi needs Linux 5.8: eventfd: {error.strerror}") from None
    finally:
        os.close(channel)


def tell_notes(config: Config, *, privileged: bool) -> None:
    """Sites that cannot be served as they are, and what an ordinary user's server does not enforce."""
    for vhost in config.sites:
        for problem in vhost.problems:
            say(str(problem))
    if not privileged:
        say(NOT_ENFORCED.format(name=config.server.front_ids.name or os.getuid()))


def say(text: str) -> None:
    """To the operator."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv))
