"""The zygote's life: preload, then fork a pool for each order and report what becomes of it.

One thread, one poll loop over two descriptors: the supervisor's channel and the pipe that SIGCHLD writes to.  When the
channel closes the supervisor is gone, and so must be everything that ever came from here.
"""

from __future__ import annotations

import _signal
import gc
import os
import select
import sys
from _socket import AF_UNIX, SOCK_SEQPACKET, socket

from itkwsgi.linux import by_ctypes, fds, orphans
from itkwsgi.linux.switch import close_session_keyring, drop_ambient
from itkwsgi.linux.title import ProcessTitle
from itkwsgi.runtime.packages import add_site_packages
from itkwsgi.runtime.rehearsal import rehearse
from itkwsgi.wire import orders
from itkwsgi.zygote.spawn import Parent, PoolOrder, fork_pool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

BOOT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "boot.py")
MAX_DESCRIPTORS = 6

# How long pools may take to go when the supervisor is gone; what is left then hangs in the kernel.
END_SECONDS = 5.0
# Until what could not be seen is looked for again.
AGAIN_MILLISECONDS = 100


class Zygote:
    """Forks pools, knows each by the serial number root gave it, reaps them and everything they left behind."""

    def __init__(self, channel: socket, parent: Parent) -> None:
        self.channel = channel
        self.parent = parent
        self.serials: dict[int, int] = {}  # pid -> serial
        self.open = True
        self.unseen = False  # there may be orphans: they could not be listed

    def run(self) -> None:
        """Serve orders until the channel closes, then end every descendant."""
        children = self.watch_children()
        poll = select.poll()
        poll.register(self.channel, select.POLLIN)
        poll.register(children, select.POLLIN)
        self.say(orders.pack_notice(orders.ZYGOTE_READY))
        while self.open:
            ready = [fd for fd, _ in poll.poll(AGAIN_MILLISECONDS if self.unseen else None)]
            if children in ready:
                drain(children)
            if children in ready or self.unseen:
                self.reap()
            if self.channel.fileno() in ready:
                self.take_order()
        orphans.end_all_children(END_SECONDS)

    def watch_children(self) -> int:
        """Make SIGCHLD readable; return the descriptor."""
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        _signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        _signal.signal(_signal.SIGCHLD, lambda number, frame: None)
        return reader

    def take_order(self) -> None:
        """Read one order and carry it out."""
        data, received = fds.receive_message(self.channel, orders.MAX_ORDER, MAX_DESCRIPTORS)
        if not data:
            self.open = False
            return
        order = orders.decode_order(data)
        if order["do"] == orders.SPAWN:
            self.spawn(order, received)
        else:
            self.signal_pool(order)

    def spawn(self, order: dict[str, Any], received: list[int]) -> None:
        """Fork a pool; say its pid, or the errno when there is no process to be had."""
        pool, serial = PoolOrder(received, tuple(order["more"])), order["serial"]
        try:
            pid = fork_pool(pool, self.parent)
        except OSError as error:
            self.say(orders.pack_notice(orders.NOT_SPAWNED, serial, 0, error.errno or 0))
            return
        finally:
            pool.close()
        self.serials[pid] = serial
        self.say(orders.pack_notice(orders.SPAWNED, serial, pid, pid))

    def signal_pool(self, order: dict[str, Any]) -> None:
        """Ask a pool to drain, or end it; one that is gone already needs neither.

        One that became somebody else (an ordinary user's server, ``no_new_privs = false``) is out of our reach.
        """
        number = _signal.SIGTERM if order["do"] == orders.TERMINATE else _signal.SIGKILL
        for pid, serial in self.serials.items():
            if serial == order["serial"]:
                send_signal(pid, number)

    def reap(self) -> None:
        """Collect the dead; report pools; end what a pool left behind."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                break
            serial = self.serials.pop(pid, None)
            if serial is not None:
                self.say(orders.pack_notice(orders.EXITED, serial, pid, status))
        try:
            orphans.kill_unknown_children(set(self.serials))
            self.unseen = False
        except OSError:
            self.unseen = True

    def say(self, notice: bytes) -> None:
        """Tell the supervisor; when it is gone, the loop ends."""
        try:
            self.channel.send(notice)
        except (BrokenPipeError, ConnectionResetError):
            self.open = False


def send_signal(pid: int, number: int) -> None:
    """To a child."""
    try:
        os.kill(pid, number)
    except PermissionError:
        return


def drain(fd: int) -> None:
    """Empty the pipe of SIGCHLD bytes."""
    try:
        while len(os.read(fd, 4096)) == 4096:
            continue
    except BlockingIOError:
        return


def read_settings() -> dict[str, Any]:
    """What root handed over, once."""
    with os.fdopen(orders.SETTINGS_FD, "rb") as file:
        return orders.decode(file.read())


def preload(modules: list[str]) -> None:
    """Import the environment's frameworks.  One that fails is said in the log; sites may import it themselves."""
    for name in modules:
        try:
            __import__(name)
        except Exception:
            import traceback

            sys.stderr.write(f"itkwsgi: preload of {name} failed, sites go without it:\n{traceback.format_exc()}")
            sys.stderr.flush()


def run() -> None:
    """The zygote's whole life; called by boot.py."""
    title = ProcessTitle()
    settings = read_settings()
    rehearse(title)
    title.set(f"itkwsgi: zygote {settings['name']}")
    by_ctypes.set_name("itkwsgi-zygote")
    if settings["privileged"]:
        drop_ambient()
        close_session_keyring()
    by_ctypes.set_dumpable(False)
    by_ctypes.set_subreaper()
    for number in (_signal.SIGTERM, _signal.SIGINT, _signal.SIGHUP, _signal.SIGUSR1):
        _signal.signal(number, _signal.SIG_IGN)
    if settings["packages"]:
        add_site_packages()
    preload(settings["preload"])
    gc.collect()
    gc.freeze()
    parent = Parent(os.getpid(), BOOT, settings["uids"], settings["gids"])
    Zygote(socket(AF_UNIX, SOCK_SEQPACKET, 0, orders.CONTROL_FD), parent).run()
    os._exit(0)
