"""Other processes: signals, their memory, what /proc shows of them, their descriptors, their limits and their turn."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import signal
import struct

from tests.root.attacks.attempt import Way
from tests.root.attacks.calls import call, gets_through, libc

HARMLESS = signal.SIGURG  # ignored by whoever did not ask for it
PTRACE_SEIZE, PTRACE_ATTACH = 0x4206, 16
SI_QUEUE = -1
KCMP_VM = 1
CLONE_NEWUTS = 0x04000000
PROCESS, BEST_EFFORT, REAL_TIME = 1, 2, 1

ROLES = ("supervisor", "front", "log", "zygote", "pool", "child")
READABLE = ("mem", "environ", "maps", "smaps", "auxv", "io", "syscall", "stack", "pagemap", "personality")
WRITABLE = ("mem", "oom_score_adj", "coredump_filter", "clear_refs", "comm", "uid_map", "gid_map", "setgroups")
LINKS = ("cwd", "root", "exe", "ns/mnt", "ns/user", "fd/1")
LISTS = ("fd", "fdinfo", "map_files")


def send_signal(pid):
    os.kill(pid, HARMLESS)


def send_signal_by_pidfd(pid):
    signal.pidfd_send_signal(os.pidfd_open(pid), HARMLESS)


def send_signal_to_group(pid):
    os.killpg(os.getpgid(pid), HARMLESS)


def queue_signal(pid):
    info = struct.pack("=iiiiii", HARMLESS, 0, SI_QUEUE, 0, os.getpid(), os.getuid()).ljust(128, b"\0")
    call("rt_sigqueueinfo", pid, int(HARMLESS), ctypes.c_char_p(info))


def seize(pid):
    call("ptrace", PTRACE_SEIZE, pid, 0, 0)


def copy_memory(name):
    """Where nothing is mapped: who may do it hears EFAULT."""

    def way(pid):
        buffer = ctypes.create_string_buffer(8)
        here = struct.pack("=QQ", ctypes.addressof(buffer), 8)
        there = struct.pack("=QQ", 8, 8)
        args = (pid, ctypes.c_char_p(here), 1, ctypes.c_char_p(there), 1, 0)
        return gets_through(name, *args, errnos=(errno.EFAULT,))

    return way


def reading(name):
    def way(pid):
        fd = os.open(f"/proc/{pid}/{name}", os.O_RDONLY)
        if name != "mem":  # nothing is mapped at its beginning
            return f"{os.read(fd, 64)!r}"
        return "open"

    return way


def writing(name):
    def way(pid):
        os.open(f"/proc/{pid}/{name}", os.O_WRONLY)
        return "open for writing"

    return way


def following(name):
    return lambda pid: os.readlink(f"/proc/{pid}/{name}")


def listing(name):
    return lambda pid: os.listdir(f"/proc/{pid}/{name}")


def entering_its_directory(pid):
    return os.listdir(f"/proc/{pid}/cwd/")


def take_descriptor(pid):
    call("pidfd_getfd", os.pidfd_open(pid), 0, 0)


def change_priority(pid):
    os.setpriority(os.PRIO_PROCESS, pid, os.getpriority(os.PRIO_PROCESS, pid))


def change_affinity(pid):
    os.sched_setaffinity(pid, os.sched_getaffinity(pid))


def change_scheduler(pid):
    os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))


def change_disk_priority(pid):
    call("ioprio_set", PROCESS, pid, BEST_EFFORT << 13 | 4)


def see_limits(pid):
    return resource.prlimit(pid, resource.RLIMIT_NOFILE)


def compare_memory(pid):
    call("kcmp", os.getpid(), pid, KCMP_VM, 0, 0)


def migrate_memory(pid):
    nodes = ctypes.c_ulong(1)
    call("migrate_pages", pid, 64, ctypes.byref(nodes), ctypes.byref(nodes))


def measure(pid):
    """perf_event_open(2), a software counter, without the kernel's share."""
    attributes = struct.pack("=IIQQQQQ", 1, 112, 1, 0, 0, 0, 1 << 5 | 1 << 6).ljust(112, b"\0")
    call("perf_event_open", ctypes.c_char_p(attributes), pid, -1, -1, 0)


def enter_namespace(pid):
    libc("setns", os.pidfd_open(pid), CLONE_NEWUTS)


def its_parent(pid):
    """One can put only a child of one's own into another group."""
    os.setpgid(pid, pid)


DEEDS = {
    "signal": Way(send_signal),
    "signal by pidfd": Way(send_signal_by_pidfd),
    "signal the group of": Way(send_signal_to_group),
    "queue a signal for": Way(queue_signal),
    "trace": Way(seize),
    "read memory of": Way(copy_memory("process_vm_readv")),
    "write memory of": Way(copy_memory("process_vm_writev")),
    **{f"read {name} of": Way(reading(name)) for name in READABLE},
    **{f"write {name} of": Way(writing(name)) for name in WRITABLE},
    **{f"follow {name} of": Way(following(name)) for name in LINKS},
    **{f"list {name} of": Way(listing(name)) for name in LISTS},
    "list the directory of": Way(entering_its_directory),
    "take a descriptor of": Way(take_descriptor),
    "change the priority of": Way(change_priority),
    "change the processors of": Way(change_affinity),
    "change the scheduling of": Way(change_scheduler),
    "change the disk priority of": Way(change_disk_priority),
    "see the limits of": Way(see_limits, control="owner"),
    "compare with": Way(compare_memory),
    "migrate the memory of": Way(migrate_memory),
    "measure": Way(measure),
    "enter a namespace of": Way(enter_namespace),
    "regroup": Way(its_parent, control="", why="only a parent may").may_be_refused_by("ESRCH"),
}


def against(role, deed):
    """A front has no pid file: ``targets`` says who is who."""

    def way(targets):
        return deed(targets["pids"][role]) or "done"

    return way


WAYS = {
    f"{name} the {role}": way._replace(does=against(role, way.does)) for role in ROLES for name, way in DEEDS.items()
}
