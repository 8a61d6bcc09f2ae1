"""What a site may do unless its settings say otherwise, and the front and the log never: programs, networks, files."""

from __future__ import annotations

import ctypes
import mmap
import os
import socket
import subprocess
import threading
import time

from tests.root.attacks.attempt import Way
from tests.root.attacks.calls import call, libc

PROT_READ, PROT_WRITE, PROT_EXEC = 1, 2, 4


def fork(targets):
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return "a process"


def vfork(targets):
    """Called from Python it would share our stack: its flags without its sharing."""
    pid = call("clone", 17, 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return "a process"


def spawn(targets):
    pid = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(pid, 0)
    return "a process"


def start_a_thread(targets):
    threading.Thread(target=len, args=("",)).start()
    return "a thread"


def run_a_program(targets):
    return subprocess.run(["/bin/sh", "-c", "echo ran"], capture_output=True, check=True, timeout=8).stdout


def become_a_program(targets):
    """In this process: who may not fork may not do this either."""
    pid = os.fork()
    if pid == 0:
        try:
            os.execv("/bin/true", ["true"])
        except OSError as error:
            os._exit(error.errno)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status:
        raise OSError(status, os.strerror(status))
    return "another program"


def exec_at(targets):
    """execveat(2) of a file that has no name."""
    fd = os.memfd_create("program")
    with open("/bin/true", "rb") as file:
        os.write(fd, file.read())
    pid = os.fork()
    if pid == 0:
        try:
            os.execve(fd, ["true"], {})
        except OSError as error:
            os._exit(error.errno)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status:
        raise OSError(status, os.strerror(status))
    return "a program out of memory"


def sockets_of(family, kind):
    def way(targets):
        socket.socket(family, kind).close()
        return "a socket"

    return way


def connect(targets):
    """To the server itself: a port that certainly answers."""
    with socket.socket() as sock:
        sock.settimeout(3)
        sock.connect(("127.0.0.1", targets["port"]))
    return "connected"


def bind(targets):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
    return "listening"


def executable_memory(targets):
    mmap.mmap(-1, mmap.PAGESIZE, prot=PROT_READ | PROT_WRITE | PROT_EXEC).close()
    return "memory for code of one's own"


def memory_made_executable(targets):
    page = mmap.mmap(-1, mmap.PAGESIZE, prot=PROT_READ | PROT_WRITE)
    libc("mprotect", ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(page))), mmap.PAGESIZE, 5)
    return "memory for code of one's own"


def read(path):
    def way(targets):
        with open(path(targets), "rb") as file:
            return file.read(10)

    return way


def outside(targets):
    return targets["files"]["outside"]


def by_a_descriptor(targets):
    """A descriptor of a directory that may be named but not read."""
    directory = os.open(os.path.dirname(outside(targets)), os.O_PATH)
    return os.read(os.open(os.path.basename(outside(targets)), os.O_RDONLY, dir_fd=directory), 10)


def by_going_there(targets):
    os.chdir(os.path.dirname(outside(targets)))
    return read(lambda _: os.path.basename(outside(targets)))(targets)


def by_a_link(make):
    """A name of ours, in a directory of ours, for what lies outside."""

    def way(targets):
        name = f"{os.environ['TMPDIR']}/link-{os.getpid()}"
        make(outside(targets), name)
        try:
            return read(lambda _: name)(targets)
        finally:
            os.unlink(name)

    return way


def make_in(path):
    def way(targets):
        name = f"{path(targets)}/confined-{os.getpid()}"
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        os.unlink(name)
        return name

    return way


def trace_a_sibling(targets):
    """A process of the same user, as another request of the same site would be."""
    pid = os.fork()
    if pid == 0:
        import time

        time.sleep(8)
        os._exit(0)
    try:
        return call("ptrace", 0x4206, pid, 0, 0)
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)


def trace_the_pool(targets):
    return call("ptrace", 0x4206, os.getppid(), 0, 0)


def read_memory_of_the_pool(targets):
    """The fork's parent is the request's process, and that one's the pool, which knows all that the import knew."""
    os.open(f"/proc/{parent_of(os.getppid())}/mem", os.O_RDONLY)
    return "the memory of another process"


def parent_of(pid):
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("PPid:"))


def read_memory_of_a_sibling(targets):
    """Another request of the same site: whatever child the pool has besides this one."""
    request, siblings = os.getppid(), []
    for _ in range(500):  # its spare is forked in a moment
        with open(f"/proc/{parent_of(request)}/task/{parent_of(request)}/children") as file:
            siblings = [pid for pid in file.read().split() if int(pid) != request]
        if siblings:
            break
        time.sleep(0.01)
    os.open(f"/proc/{siblings[0]}/mem", os.O_RDONLY)
    return "the memory of another request"


def copy_memory_of_the_pool(targets):
    from tests.root.attacks.ways.processes import copy_memory

    return copy_memory("process_vm_readv")(os.getppid())


def take_a_descriptor(targets):
    return call("pidfd_getfd", os.pidfd_open(os.getppid()), 0, 0)


def signal_outside(targets):
    """A process of the same user that was not started by this site."""
    os.kill(targets["same user"], 23)
    return "delivered"


def abstract_outside(targets):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect("\0" + targets["abstract"])
    return "connected"


FORK = {
    "fork": Way(fork, control="plain"),
    "clone": Way(vfork, control="plain"),
    "posix_spawn": Way(spawn, control="plain"),
}
EXEC = {
    "run a program": Way(run_a_program, control="plain"),
    "become a program": Way(become_a_program, control="plain"),
    "run a program from memory": Way(exec_at, control="plain"),
}
NETWORK = {
    "a TCP socket": Way(sockets_of(socket.AF_INET, socket.SOCK_STREAM), control="plain"),
    "a UDP socket": Way(sockets_of(socket.AF_INET, socket.SOCK_DGRAM), control="plain"),
    "an IPv6 socket": Way(sockets_of(socket.AF_INET6, socket.SOCK_STREAM), control="plain"),
    "a netlink socket": Way(sockets_of(socket.AF_NETLINK, socket.SOCK_RAW), control="plain"),
    "a vsock": Way(sockets_of(40, socket.SOCK_STREAM), control="plain").may_be_refused_by("EAFNOSUPPORT"),
    "connect to the network": Way(connect, control="plain"),
    "listen on the network": Way(bind, control="plain"),
}
PTRACE = {
    "trace a process of one's own": Way(trace_a_sibling, control="plain"),
    "trace the pool": Way(trace_the_pool, control="owner"),
    "read the pool's memory by /proc": Way(read_memory_of_the_pool, control="owner"),
    "read a sibling's memory by /proc": Way(read_memory_of_a_sibling, control="owner"),
    "copy memory": Way(copy_memory_of_the_pool, control="owner"),
    "take a descriptor": Way(take_a_descriptor, control="owner"),
}
MEMORY = {
    "executable memory": Way(executable_memory, control="plain"),
    "memory made executable": Way(memory_made_executable, control="plain"),
}
FILES = {
    "read /etc/passwd": Way(read(lambda _: "/etc/passwd"), control="plain"),
    "read /etc/group": Way(read(lambda _: "/etc/group"), control="plain"),
    "read what everybody may": Way(read(lambda targets: targets["files"]["outside"]), control="plain"),
    "read by the root of its own process": Way(
        read(lambda targets: f"/proc/self/root{outside(targets)}"), control="plain"
    ),
    "read by the root of another process": Way(
        read(lambda targets: f"/proc/{targets['same user']}/root{outside(targets)}"), control="owner"
    ),
    "read by the parent of its directory": Way(
        read(lambda targets: f"/proc/self/cwd/../{os.path.basename(outside(targets))}"), control="plain"
    ),
    "read by a descriptor": Way(by_a_descriptor, control="plain"),
    "read by going there": Way(by_going_there, control="plain"),
    "read by a symbolic link": Way(by_a_link(os.symlink), control="plain"),
    "make a file in /var/tmp": Way(make_in(lambda _: "/var/tmp"), control="plain"),
    "make a file in /dev/shm": Way(make_in(lambda _: "/dev/shm"), control="plain"),
    "list the home of everybody": Way(lambda targets: os.listdir("/home"), control="plain"),
}
ALLOWED = {"a thread": Way(start_a_thread, control="plain")}
SCOPES = {
    "signal a process of its own user outside": Way(signal_outside, control="same user"),
    "connect to an abstract socket outside": Way(abstract_outside, control="plain"),
}
