"""``python -I -m itkwsgi.log``: descriptor 3 is the control channel, 2 the operator's stderr.

Lives as long as its supervisor: it ignores the signals that usually end a process, and ends with the channel.  Before
it reads its first order it confines itself: it opens no file any more, so nothing may be imported after that.
"""

from __future__ import annotations

import resource
import signal
import socket
import sys

from itkwsgi.errors import Bug, OperatorError
from itkwsgi.linux.sandbox import confine_log
from itkwsgi.linux.title import ProcessTitle
from itkwsgi.log.daemon import Daemon
from itkwsgi.wire.control import CONTROL_FD

IGNORED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGPIPE)


def prepare() -> None:
    """Ignore signals; have as many descriptors as may be, for each awake site needs up to three."""
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def main() -> int:
    """Write logs until the supervisor is gone."""
    prepare()
    ProcessTitle().set("itkwsgi: log", "itkwsgi-log")
    try:
        with socket.socket(fileno=CONTROL_FD) as channel:
            daemon = Daemon(channel)
            confine_log()
            daemon.run()
    except (Bug, OperatorError) as error:
        sys.stderr.write(f"itkwsgi log: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
