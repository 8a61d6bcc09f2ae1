"""What somebody does who has taken over a role of ours.  Run by path, as the role: see tests/root/test_confined_roles.

    python -I taken_over.py front|log confined|free

The role's own main runs as always, down to where it would begin to serve; there it is another's.  What an attack came
to goes out by the control channel: "done", or the name of an errno.  With ``free`` the role does not confine itself,
which is the control; then each attack is made in a process of its own, since some leave nothing of it.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import importlib
import json
import mmap
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from itkwsgi.linux.syscalls import this_machine
from itkwsgi.wire.control import CONTROL_FD

ROLE, HOW = sys.argv[1:3]

Facts = dict[str, Any]
# What comes along with the facts: a site that is taken over as well could send it.
CARRIED = (
    "program",
    "pidfd",
    "terminal",
    "listener to connect",
    "listener to send",
    "listener to write",
    "listener to bind",
)
ATTACKS: dict[str, Callable[[Facts], object]] = {}

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
# Those that no filter of ours names.  All machines: from 424 on; else x86_64.
NUMBERS = {
    **{name: number for name, number in this_machine().numbers().items() if number is not None},
    "add_key": 248, "keyctl": 250, "capset": 126, "setgroups": 116, "memfd_secret": 447, "personality": 135,
    "pidfd_send_signal": 424, "pidfd_open": 434, "shmget": 29, "mq_open": 240, "seccomp": 317, "bind": 49,
    "sched_setaffinity": 203, "name_to_handle_at": 303,
    "tgkill": 234, "rt_sigqueueinfo": 129,
}  # fmt: skip
FASTOPEN, NEWUSER, NEWNS = 0x20000000, 0x10000000, 0x20000


def attack(function: Callable[[Facts], object]) -> Callable[[Facts], object]:
    ATTACKS[function.__name__] = function
    return function


def call(name: str, *arguments: int) -> int:
    """A system call past the C library.  Raises OSError."""
    result = int(libc.syscall(ctypes.c_long(NUMBERS[name]), *(ctypes.c_ulong(word) for word in arguments)))
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)
    return result


# --- to be somebody else


@attack
def become_root(facts: Facts) -> None:
    os.setresuid(0, 0, 0)


@attack
def become_a_site(facts: Facts) -> None:
    os.setresuid(facts["site"], facts["site"], facts["site"])


@attack
def take_a_group(facts: Facts) -> None:
    os.setgroups([facts["site"]])


@attack
def take_a_capability(facts: Facts) -> None:
    header, data = ctypes.create_string_buffer(b"\x22\x05\x08\x20\0\0\0\0"), ctypes.create_string_buffer(b"\xff" * 24)
    call("capset", ctypes.addressof(header), ctypes.addressof(data))


@attack
def execute(facts: Facts) -> None:
    os.execv("/bin/echo", ["echo", "done"])


@attack
def execute_a_descriptor(facts: Facts) -> None:
    """By a descriptor: no open(2)."""
    os.execve(facts["program"], ["echo", "done"], {})


@attack
def make_a_program_in_memory(facts: Facts) -> None:
    os.memfd_create("program")


@attack
def fork(facts: Facts) -> None:
    if os.fork() == 0:
        os._exit(0)


@attack
def fork_by_number(facts: Facts) -> None:
    if call("clone", signal.SIGCHLD, 0, 0, 0, 0) == 0:
        os._exit(0)


# --- new code


@attack
def map_code(facts: Facts) -> None:
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC)


@attack
def make_memory_code(facts: Facts) -> None:
    area = mmap.mmap(-1, 4096)
    call("mprotect", ctypes.addressof(ctypes.c_char.from_buffer(area)), 4096, mmap.PROT_READ | mmap.PROT_EXEC)


@attack
def load_a_library(facts: Facts) -> None:
    importlib.import_module("_sqlite3")


@attack
def turn_all_memory_into_code(facts: Facts) -> None:
    call("personality", 0x0400000)  # READ_IMPLIES_EXEC


# --- others' processes


@attack
def signal_a_site(facts: Facts) -> None:
    os.kill(facts["victim"], 0)


@attack
def signal_root(facts: Facts) -> None:
    os.kill(facts["supervisor"], 0)


@attack
def signal_another_role_of_this_user(facts: Facts) -> None:
    os.kill(facts["sibling"], 0)


@attack
def signal_a_thread_of_another(facts: Facts) -> None:
    call("tgkill", facts["sibling"], facts["sibling"], 0)


@attack
def queue_a_signal(facts: Facts) -> None:
    information = (ctypes.c_int * 32)(0, 0, -1)  # SI_QUEUE
    call("rt_sigqueueinfo", facts["sibling"], 0, ctypes.addressof(information))


@attack
def signal_by_a_pidfd(facts: Facts) -> None:
    call("pidfd_send_signal", facts["pidfd"], 0, 0, 0)


@attack
def have_the_kernel_signal(facts: Facts) -> None:
    """F_SETOWN, with O_ASYNC and F_SETSIG to follow."""
    ours, _ = socket.socketpair()
    fcntl.fcntl(ours, fcntl.F_SETOWN, facts["sibling"])


@attack
def open_a_pidfd(facts: Facts) -> None:
    os.close(call("pidfd_open", facts["sibling"], 0))


@attack
def take_a_descriptor(facts: Facts) -> None:
    call("pidfd_getfd", facts["pidfd"], 0, 0)


@attack
def trace_another(facts: Facts) -> None:
    call("ptrace", 0x4206, facts["sibling"], 0, 0)  # PTRACE_SEIZE


@attack
def read_memory(facts: Facts) -> None:
    buffer = ctypes.create_string_buffer(8)
    vector = (ctypes.c_ulong * 2)(ctypes.addressof(buffer), 8)
    there = (ctypes.c_ulong * 2)(facts["address"], 8)
    call("process_vm_readv", facts["sibling"], ctypes.addressof(vector), 1, ctypes.addressof(there), 1, 0)


@attack
def open_memory(facts: Facts) -> None:
    os.close(os.open(f"/proc/{facts['sibling']}/mem", os.O_RDWR))


@attack
def read_an_environment(facts: Facts) -> None:
    os.close(os.open(f"/proc/{facts['sibling']}/environ", os.O_RDONLY))


@attack
def read_a_sites_environment(facts: Facts) -> None:
    os.close(os.open(f"/proc/{facts['victim']}/environ", os.O_RDONLY))


@attack
def list_processes(facts: Facts) -> None:
    os.listdir("/proc")


@attack
def limit_another(facts: Facts) -> None:
    resource.prlimit(facts["sibling"], resource.RLIMIT_NOFILE, (50, 50))


@attack
def slow_another(facts: Facts) -> None:
    os.setpriority(os.PRIO_PROCESS, facts["sibling"], 19)


@attack
def pin_another(facts: Facts) -> None:
    os.sched_setaffinity(facts["sibling"], os.sched_getaffinity(0))


# --- files


@attack
def read_a_sites_file(facts: Facts) -> None:
    os.close(os.open(facts["private"], os.O_RDONLY))


@attack
def read_what_everybody_may(facts: Facts) -> None:
    os.close(os.open(facts["public"], os.O_RDONLY))


@attack
def read_it_by_another_way(facts: Facts) -> None:
    os.close(os.open(f"/proc/self/root{facts['public']}", os.O_RDONLY))


@attack
def read_passwords(facts: Facts) -> None:
    os.close(os.open("/etc/passwd", os.O_RDONLY))


@attack
def write_where_everybody_may(facts: Facts) -> None:
    os.close(os.open(os.path.join(facts["open"], f"left-by-{os.getpid()}"), os.O_WRONLY | os.O_CREAT, 0o600))


@attack
def empty_what_everybody_may_write(facts: Facts) -> None:
    os.close(os.open(facts["writable"], os.O_WRONLY | os.O_TRUNC))


@attack
def list_a_directory(facts: Facts) -> None:
    os.listdir(facts["open"])


@attack
def make_a_link(facts: Facts) -> None:
    os.symlink("/etc/passwd", os.path.join(facts["open"], f"link-{os.getpid()}"))


@attack
def make_a_fifo(facts: Facts) -> None:
    os.mkfifo(os.path.join(facts["open"], f"fifo-{os.getpid()}"))


@attack
def rename_in_its_own_place(facts: Facts) -> None:
    os.rename(os.path.join(facts["open"], "nothing"), os.path.join(facts["open"], "else"))


@attack
def look_at_a_file_from_outside(facts: Facts) -> None:
    os.stat(facts["private"])


@attack
def open_by_handle(facts: Facts) -> None:
    handle = ctypes.create_string_buffer(b"\x08\0\0\0\x01\0\0\0" + bytes(120))
    call("open_by_handle_at", 2**32 - 100, ctypes.addressof(handle), 0)


# --- the network


@attack
def open_a_connection(facts: Facts) -> None:
    with socket.socket() as sock:
        sock.connect(("127.0.0.1", facts["port"]))


@attack
def make_a_datagram_socket(facts: Facts) -> None:
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()


@attack
def make_a_netlink_socket(facts: Facts) -> None:
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).close()


@attack
def make_an_algorithm_socket(facts: Facts) -> None:
    socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET).close()


@attack
def make_a_unix_datagram_socket(facts: Facts) -> None:
    """For the system's log, or its service manager."""
    socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).close()


@attack
def turn_a_listener_around(facts: Facts) -> None:
    """shutdown(2) makes an ordinary socket of it again."""
    with socket.socket(fileno=os.dup(facts["listener to connect"])) as sock:
        sock.shutdown(socket.SHUT_RDWR)
        sock.settimeout(5)
        sock.connect(("127.0.0.1", facts["port"]))


@attack
def send_with_fast_open(facts: Facts) -> None:
    """A connect(2) inside of sendto(2)."""
    with socket.socket(fileno=os.dup(facts["listener to send"])) as sock:
        sock.shutdown(socket.SHUT_RDWR)
        sock.setblocking(True)
        sock.sendto(b"hello", FASTOPEN, ("127.0.0.1", facts["port"]))


@attack
def send_a_message_with_fast_open(facts: Facts) -> None:
    with socket.socket(fileno=os.dup(facts["listener to write"])) as sock:
        sock.shutdown(socket.SHUT_RDWR)
        sock.setblocking(True)
        sock.sendmsg([b"hello"], [], FASTOPEN, ("127.0.0.1", facts["port"]))


@attack
def listen_elsewhere(facts: Facts) -> None:
    with socket.socket(fileno=os.dup(facts["listener to bind"])) as sock:
        sock.shutdown(socket.SHUT_RDWR)
        sock.bind(("127.0.0.1", 0))


@attack
def reach_an_abstract_socket(facts: Facts) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect("\0" + facts["abstract"])


@attack
def reach_a_socket_that_has_a_path(facts: Facts) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(facts["path"])


@attack
def listen_on_a_unix_socket(facts: Facts) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind("\0" + f"{facts['abstract']}-{os.getpid()}")


# --- the kernel


@attack
def make_a_ring(facts: Facts) -> None:
    parameters = ctypes.create_string_buffer(120)
    os.close(call("io_uring_setup", 4, ctypes.addressof(parameters)))


@attack
def make_a_user_namespace(facts: Facts) -> None:
    call("unshare", NEWUSER)


@attack
def make_a_process_in_a_user_namespace(facts: Facts) -> None:
    if call("clone", NEWUSER | signal.SIGCHLD, 0, 0, 0, 0) == 0:
        os._exit(0)


@attack
def make_a_mount_namespace(facts: Facts) -> None:
    call("unshare", NEWNS)


@attack
def join_a_namespace(facts: Facts) -> None:
    call("setns", facts["pidfd"], NEWUSER)


@attack
def use_keys(facts: Facts) -> None:
    call("keyctl", 0, 2**64 - 3, 1)  # KEYCTL_GET_KEYRING_ID of the session's


@attack
def add_a_key(facts: Facts) -> None:
    kind, name = ctypes.create_string_buffer(b"user"), ctypes.create_string_buffer(b"x")
    call("add_key", ctypes.addressof(kind), ctypes.addressof(name), ctypes.addressof(name), 1, 2**64 - 2)


@attack
def share_memory(facts: Facts) -> None:
    call("shmget", 0, 4096, 0o600)


@attack
def load_a_program_into_the_kernel(facts: Facts) -> None:
    attributes = ctypes.create_string_buffer(128)
    call("bpf", 5, ctypes.addressof(attributes), 128)


@attack
def watch_page_faults(facts: Facts) -> None:
    os.close(call("userfaultfd", 1))  # UFFD_USER_MODE_ONLY


@attack
def mount_something(facts: Facts) -> None:
    call("mount", 0, 0, 0, 0, 0)


@attack
def change_its_root(facts: Facts) -> None:
    os.chroot("/")


@attack
def be_dumpable(facts: Facts) -> None:
    """So that processes of the same user can read and trace this one."""
    call("prctl", 4, 1, 0, 0, 0)


@attack
def install_a_filter_of_its_own(facts: Facts) -> None:
    action = ctypes.c_uint32(0x7FFF0000)
    call("seccomp", 2, 0, ctypes.addressof(action))  # only asks what there is; the door is the same


@attack
def type_into_a_terminal(facts: Facts) -> None:
    fcntl.ioctl(facts["terminal"], 0x5412, b"x")  # TIOCSTI


# --- what makes them


def outcome(function: Callable[[Facts], object], facts: Facts) -> str:
    try:
        function(facts)
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    except ImportError as error:
        return type(error).__name__
    except BaseException as error:
        return repr(error)
    return "done"


def in_a_process(function: Callable[[Facts], object], facts: Facts) -> str:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            os.dup2(writer, 1)
            os.write(1, outcome(function, facts).encode())
        os._exit(0)
    os.close(writer)
    with open(reader, encoding="utf-8") as said:
        text = said.read().strip()
    os.waitpid(pid, 0)
    return text


def make_attacks() -> None:
    """Read the facts, one datagram from the test; make every attack; say what each came to."""
    channel = socket.socket(fileno=os.dup(CONTROL_FD))
    channel.setblocking(True)
    text, descriptors, _, _ = socket.recv_fds(channel, 65536, len(CARRIED))
    facts = {**json.loads(text), **dict(zip(CARRIED, descriptors, strict=True))}
    make = in_a_process if HOW == "free" else outcome
    for name, function in ATTACKS.items():
        os.write(channel.fileno(), json.dumps([name, make(function, facts)]).encode())
    os.write(channel.fileno(), b"[]")
    os._exit(0)


def instead(coroutine: Coroutine[Any, Any, int]) -> None:
    """Stands where the front's loop would."""
    coroutine.close()
    make_attacks()


class Instead:
    """Stands where the log's daemon would."""

    def __init__(self, channel: socket.socket) -> None:
        self.channel = channel

    def run(self) -> None:
        make_attacks()


def main() -> None:
    role = importlib.import_module(f"itkwsgi.{ROLE}.__main__")
    if HOW == "free":
        setattr(role, f"confine_{ROLE}", lambda *arguments: None)
    if ROLE == "front":
        role.uvloop.run = instead
    else:
        role.Daemon = Instead  # type: ignore[attr-defined]
    sys.exit(role.main())


if __name__ == "__main__":
    main()
