"""A front that is taken over: this test stops it and speaks in its place, through its own channel."""

import array
import contextlib
import ctypes
import os
import signal
import socket
import struct
import time

import pytest
from daemon import alive, wait_until

from itkwsgi.wire import control

SYS_PIDFD_GETFD = 438
SO_PASSRIGHTS = 83
GENERATION = 1


@pytest.fixture
def taken(daemon, site):
    """A server with two sites, one awake, and the channel of its front."""
    one = daemon(site("a.test", "user = 50001") + site("b.test", "user = 50002"))
    assert one.get("a.test").status == 200
    front = one.named("itkwsgi: front")[0]
    channel = descriptor_of(front, control.CONTROL_FD)
    channel.setblocking(False)
    os.kill(front, signal.SIGSTOP)
    yield one, front, channel
    channel.close()


def descriptor_of(pid, fd):
    """A copy of another process's descriptor: pidfd_getfd(2)."""
    pidfd = os.pidfd_open(pid)
    copy = ctypes.CDLL(None, use_errno=True).syscall(SYS_PIDFD_GETFD, pidfd, fd, 0)
    os.close(pidfd)
    assert copy >= 0, os.strerror(ctypes.get_errno())
    return socket.socket(fileno=copy)


def send(channel, data, seconds):
    """As many of these messages as go in that time; False when there is nobody any more."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            channel.send(data)
        except BlockingIOError:
            drain(channel)
        except OSError:
            return False
    return True


def drain(channel):
    try:
        while channel.recv(100):
            continue
    except OSError:
        return


def serves_again(one, front):
    """That front is ended, the server is not."""
    wait_until(lambda: not alive(front), 15, "the end of the front")
    wait_until(lambda: one.named("itkwsgi: front"), 10, "the next front")
    for host in ("a.test", "b.test"):
        wait_until(lambda host=host: status(one, host) == 200, 10, host)


def status(one, host):
    try:
        return one.get(host, timeout=5).status
    except OSError:
        return None


@pytest.mark.parametrize(
    "message",
    [
        b"x",
        b"x" * 1000,
        control.pack(99, 0, GENERATION),
        control.pack(control.STOP, 0, GENERATION),
        control.pack(control.AWAKE, 0, GENERATION),
        b"ITK2" + control.pack(control.WAKE, 0, GENERATION)[4:],
    ],
    ids=["short", "long", "unknown", "stop", "awake", "magic"],
)
def test_anything_that_is_not_in_its_table_ends_it(taken, message):
    one, front, channel = taken
    channel.send(message)
    serves_again(one, front)


@pytest.mark.parametrize("kind", [control.WAKE, control.END, control.READY])
@pytest.mark.parametrize("index", [0, 1, 2, 2**32 - 1])
def test_a_flood_of_permitted_messages_ends_nobody_else(taken, kind, index):
    one, front, channel = taken
    memory = resident(one.pid)
    zygotes = one.named("itkwsgi: zygote")
    send(channel, control.pack(kind, index, GENERATION), 1.0)
    assert one.named("itkwsgi: zygote") == zygotes
    assert resident(one.pid) - memory < 4096
    with contextlib.suppress(ProcessLookupError):  # it may have been ended for not listening to all the answers
        os.kill(front, signal.SIGKILL)
    serves_again(one, front)


def resident(pid):
    """kB."""
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))


def test_who_does_not_listen_is_ended(taken):
    one, front, channel = taken
    message = control.pack(control.WAKE, 2**32 - 1, GENERATION)  # answered at once
    for _ in range(100_000):
        try:
            channel.send(message)
        except BlockingIOError:
            time.sleep(0.001)
        except OSError:
            break
    serves_again(one, front)


def test_listeners_that_it_shut_are_opened_again_for_the_next(taken):
    one, front, _ = taken
    with descriptor_of(front, control.FIRST_LISTENER_FD) as listener:
        listener.shutdown(socket.SHUT_RDWR)
    with pytest.raises(ConnectionRefusedError):
        one.get("a.test")
    os.kill(front, signal.SIGKILL)
    serves_again(one, front)


def test_who_hangs_up_and_lives_on_is_ended(taken):
    one, front, channel = taken
    channel.shutdown(socket.SHUT_RDWR)
    serves_again(one, front)


def lingering(seconds):
    """A connection that takes so long to close, and what must be kept for that."""
    listener = socket.create_server(("127.0.0.1", 0))
    sender = socket.create_connection(listener.getsockname())
    receiver, _ = listener.accept()
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, seconds))
    sender.setblocking(False)
    try:
        while True:
            sender.send(b"x" * 65536)
    except BlockingIOError:
        return sender, listener, receiver


def as_before_linux_6_16(pid):
    """Have a process take descriptors from whoever sends some, as older kernels do."""
    for fd in os.listdir(f"/proc/{pid}/fd"):
        if "socket" in os.readlink(f"/proc/{pid}/fd/{fd}"):
            with descriptor_of(pid, int(fd)) as sock:
                if sock.family == socket.AF_UNIX:
                    with contextlib.suppress(OSError):
                        sock.setsockopt(socket.SOL_SOCKET, SO_PASSRIGHTS, 1)


@pytest.mark.parametrize("behind", [False, True], ids=["with a word", "behind nonsense"])
def test_descriptors_that_take_long_to_close_do_not_hold_root_up(taken, behind):
    """Root has to close what comes, and what is left in the queue of a front that it ends."""
    one, front, channel = taken
    as_before_linux_6_16(one.pid)
    sender, *kept = lingering(60)
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [sender.fileno()]))]
    os.kill(one.pid, signal.SIGSTOP)
    if behind:
        channel.send(b"nonsense")
    channel.sendmsg([control.pack(control.WAKE, 0, GENERATION)], rights)
    sender.close()
    os.kill(one.pid, signal.SIGCONT)
    begun = time.monotonic()
    serves_again(one, front)
    assert time.monotonic() - begun < 10
    for sock in kept:
        sock.close()
