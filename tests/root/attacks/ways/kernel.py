"""The kernel's own doors: namespaces, mounts, keys, BPF and kin, modules, clocks, names, terminals."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import socket
import struct
import termios
import time

from tests.root.attacks.attempt import Missing, Way
from tests.root.attacks.calls import call, gets_through, libc

NAMESPACES = {
    "mount": 0x00020000, "cgroup": 0x02000000, "uts": 0x04000000, "ipc": 0x08000000, "user": 0x10000000,
    "pid": 0x20000000, "net": 0x40000000, "time": 0x00000080,
}  # fmt: skip
SIGCHLD = 17
MS_BIND, MS_REMOUNT, MNT_DETACH = 4096, 32, 2
KEYCTL_SEARCH, KEYCTL_LINK, KEYCTL_READ, KEYCTL_GET_PERSISTENT = 10, 8, 11, 22
SESSION_KEYRING, PROCESS_KEYRING = -3, -2
BPF_MAP_CREATE, BPF_PROG_LOAD = 0, 5
SYSLOG_READ_ALL, SYSLOG_CLEAR = 3, 5
UFFD_USER_MODE_ONLY = 1
ADJ_TICK = 0x4000
MISTAKES = (errno.EINVAL, errno.EFAULT, errno.ENOENT, errno.ENOEXEC, errno.EBADF)


def unsharing(flag):
    def way(targets):
        libc("unshare", flag)
        return "a namespace of its own"

    return way


def cloning(flag):
    def way(targets):
        pid = call("clone", flag | SIGCHLD, 0, 0, 0, 0)
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        return "a child in a namespace of its own"

    return way


def clone3_of_a_user(targets):
    arguments = struct.pack("=8Q", NAMESPACES["user"], 0, 0, 0, SIGCHLD, 0, 0, 0)
    pid = call("clone3", ctypes.c_char_p(arguments), len(arguments))
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return "a child in a user namespace of its own"


def become_root_in_a_user_namespace(targets):
    uid = os.getuid()
    libc("unshare", NAMESPACES["user"])
    with open("/proc/self/uid_map", "w") as file:
        file.write(f"0 {uid} 1")
    os.setresuid(0, 0, 0)
    libc("unshare", NAMESPACES["net"])
    return "root of a user namespace"


def enter_own_namespace(targets):
    """setns(2) into the one it is in: nothing would change."""
    libc("setns", os.open("/proc/self/ns/uts", os.O_RDONLY), 0)
    return "entered"


def text(value):
    return ctypes.c_char_p(value.encode())


def mounting(source, kind, flags=0):
    def way(targets):
        call("mount", text(source), text(targets["own"]), text(kind), flags, 0)
        call("umount2", text(targets["own"]), MNT_DETACH)
        return "mounted"

    return way


def unmount(targets):
    return gets_through("umount2", text(targets["own"]), 0, errnos=(errno.EINVAL,))


def pivot(targets):
    return gets_through("pivot_root", text("/"), text("/"), errnos=(errno.EBUSY, errno.EINVAL))


def new_mount(targets):
    call("fsopen", text("tmpfs"), 0)
    return "a file system"


def clone_tree(targets):
    call("open_tree", -100, text("/"), 1)
    return "a copy of the tree of mounts"


# --- keys


def add_key_to(ring):
    return call("add_key", text("user"), text(f"itkwsgi-{os.getpid()}"), text("x"), 1, ring)


def persistent_keyring(who):
    def way(targets):
        call("keyctl", KEYCTL_GET_PERSISTENT, targets["ids"][who], PROCESS_KEYRING, 0, 0)
        return "the keyring"

    return way


def find_victims_key(targets):
    """In whatever this process can reach: ``targets`` gives its number, as any process could guess."""
    room = ctypes.create_string_buffer(100)
    size = call("keyctl", KEYCTL_READ, targets["key"], room, 100, 0)
    return room.raw[:size]


# --- the rest


def load_program(targets):
    """bpf(2): two instructions, r0 = 0 and exit."""
    code = ctypes.create_string_buffer(struct.pack("<QQ", 0xB7, 0x95))
    licence = ctypes.create_string_buffer(b"GPL")
    attributes = struct.pack("=IIQQIIQI", 1, 2, ctypes.addressof(code), ctypes.addressof(licence), 0, 0, 0, 0)
    call("bpf", BPF_PROG_LOAD, ctypes.c_char_p(attributes.ljust(128, b"\0")), 128)
    return "a program in the kernel"


def make_map(targets):
    call("bpf", BPF_MAP_CREATE, ctypes.c_char_p(struct.pack("=5I", 2, 4, 4, 1, 0).ljust(128, b"\0")), 128)
    return "a map"


def ring(targets):
    call("io_uring_setup", 4, ctypes.create_string_buffer(120))
    return "a ring: calls that no filter sees"


def measure(config, flags):
    def way(targets):
        attributes = struct.pack("=IIQQQQQ", 1, 112, config, 0, 0, 0, flags).ljust(112, b"\0")
        call("perf_event_open", ctypes.c_char_p(attributes), 0, -1, -1, 0)
        return "a counter"

    return way


def measure_the_machine(targets):
    attributes = struct.pack("=IIQQQQQ", 1, 112, 0, 0, 0, 0, 0).ljust(112, b"\0")
    call("perf_event_open", ctypes.c_char_p(attributes), -1, 0, -1, 0)
    return "a counter for everything on a processor"


def page_faults(flags):
    def way(targets):
        call("userfaultfd", flags)
        return "stops the kernel in the middle of its reading"

    return way


def through(name, *args, mistakes=MISTAKES):
    return lambda targets: gets_through(name, *args, errnos=mistakes)


def read_kernel_log(targets):
    return call("syslog", SYSLOG_READ_ALL, ctypes.create_string_buffer(100), 100)


def host_name(targets):
    name = socket.gethostname()
    socket.sethostname(name)
    return name


def set_clock(targets):
    time.clock_settime(time.CLOCK_REALTIME, time.time())
    return "the time"


def adjust_clock(targets):
    """struct timex: what the clock has already."""
    now = ctypes.create_string_buffer(208)
    call("adjtimex", now)
    struct.pack_into("=I", now, 0, ADJ_TICK)
    call("adjtimex", now)
    return "the clock's rate"


def type_into_the_terminal(targets):
    """TIOCSTI: a key typed on the terminal of whoever started the server, as a shell would read it."""
    fcntl.ioctl(os.open("/dev/tty", os.O_RDWR), termios.TIOCSTI, b"\n")
    return "typed"


def type_by_a_descriptor(targets):
    for number in range(3):
        try:
            fcntl.ioctl(number, termios.TIOCSTI, b"\n")
        except OSError as error:
            refusal = error
            continue
        return "typed"
    raise refusal


def steal_a_terminal(targets):
    for name in os.listdir("/dev/pts"):
        if name.isdigit():
            return fcntl.ioctl(os.open(f"/dev/pts/{name}", os.O_RDWR | os.O_NOCTTY), termios.TIOCSCTTY, 1)
    raise Missing("no terminal is open on this machine")


def ports(targets):
    """ioperm(2), x86 only."""
    if os.uname().machine != "x86_64":
        raise Missing("there are no ports on this machine")
    libc("ioperm", 0x80, 1, 1)
    return "a port"


WAYS = {
    **{f"unshare the {name} namespace": Way(unsharing(flag)) for name, flag in NAMESPACES.items()},
    **{f"clone into a {name} namespace": Way(cloning(flag)) for name, flag in NAMESPACES.items() if name != "time"},
    "clone3 into a user namespace": Way(clone3_of_a_user).may_be_refused_by("ENOSYS"),
    "become root in a user namespace": Way(become_root_in_a_user_namespace),
    "enter a namespace": Way(enter_own_namespace),
    "mount a tmpfs": Way(mounting("none", "tmpfs")),
    "mount proc": Way(mounting("none", "proc")),
    "mount a directory elsewhere": Way(mounting("/etc", "", MS_BIND)),
    "unmount": Way(unmount),
    "exchange the root": Way(pivot),
    "open a file system": Way(new_mount),
    "copy the tree of mounts": Way(clone_tree),
    "get root's persistent keyring": Way(persistent_keyring("root")).may_be_refused_by("EOPNOTSUPP"),
    "get the victim's persistent keyring": Way(persistent_keyring("victim")).may_be_refused_by("EOPNOTSUPP"),
    "read the victim's key": Way(find_victims_key, control="owner"),
    "load a BPF program": Way(load_program),
    "make a BPF map": Way(make_map),
    "io_uring": Way(ring).may_be_refused_by("ENOSYS"),
    "measure itself": Way(measure(1, 1 << 5 | 1 << 6)),
    "measure the kernel": Way(measure(1, 0)),
    "measure the machine": Way(measure_the_machine),
    "userfaultfd": Way(page_faults(0)),
    "userfaultfd of user mode": Way(page_faults(UFFD_USER_MODE_ONLY)),
    "fanotify": Way(through("fanotify_init", 1 << 31, 0)),
    "load another kernel": Way(through("kexec_load", 0, 100, 0, 1 << 30)),
    "load a module": Way(through("init_module", 0, 0, 0)),
    "load a module from a file": Way(through("finit_module", -1, 0, 0)),
    "reboot": Way(through("reboot", 0, 0, 0, 0)),
    "account for processes": Way(through("acct", text("/nowhere/at-all"))),
    "take swap away": Way(through("swapoff", text("/nowhere/at-all"))),
    "hang up the terminal": Way(lambda targets: call("vhangup"), control="", why="it would hang up the tests' own"),
    "read the kernel's log": Way(read_kernel_log),
    "clear the kernel's log": Way(
        lambda targets: call("syslog", SYSLOG_CLEAR, 0, 0), control="", why="it would be gone"
    ),
    "set the host's name": Way(host_name),
    "set the domain's name": Way(through("setdomainname", 0, 1 << 30)),
    "set the clock": Way(set_clock),
    "adjust the clock": Way(adjust_clock),
    "type into the terminal": Way(type_into_the_terminal, control="terminal").may_be_refused_by("ENXIO", "ENOENT"),
    "type by a descriptor": Way(type_by_a_descriptor, control="terminal").may_be_refused_by("ENOTTY", "EBADF"),
    "steal a terminal": Way(steal_a_terminal, control="", why="it would be taken from its user").may_be_refused_by(
        "EIO"
    ),
    "ports of the processor": Way(ports),
}
