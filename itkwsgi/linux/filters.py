"""Which system calls each kind of process may make: the policies behind the seccomp programs.  Server only.

Two kinds.  What people's own code runs under allows everything but what is named: a site may need calls nobody here
thought of.  What our own roles run under denies everything but what is named: after their start we know what they
need.  A denied call fails with EPERM, as for want of a capability, and never kills: programs ask and go on, and so does
the proof of the switch that root cannot be regained.  ENOSYS is said where the C library has an older call to fall back
on, as for clone3, whose flags lie in memory that a filter cannot read.

What a filter cannot do: look at paths, addresses or lists of groups (setgroups(2) is held to gid_range before the
zygote is told of it), or be taken back; it passes to every child and over every exec.
Sources: seccomp(2), the manual pages of the calls, the kernel's Documentation/userspace-api/seccomp_filter.rst.
"""

from __future__ import annotations

from socket import AF_UNIX, IPPROTO_TCP, SOCK_STREAM, SOL_SOCKET
from typing import TYPE_CHECKING

from itkwsgi.errors import Bug
from itkwsgi.linux import bpf
from itkwsgi.linux.bpf import ALLOW, DENIED, MISSING, Bits, Policy, Rule, Within, allow, allow_if, deny, equals
from itkwsgi.linux.syscalls import this_machine

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from itkwsgi.linux.syscalls import Machine

    Ranges = Sequence[tuple[int, int]]

# What `disable` of a site can name.
EXEC, NETWORK, FORK, PTRACE = "exec", "network", "fork", "ptrace"
CAN_DISABLE = frozenset((EXEC, NETWORK, FORK, PTRACE))

UNCHANGED = 2**32 - 1  # -1, as an id: "leave as it is"

CLONE_NEWUSER = 0x10000000
CLONE_THREAD = 0x00010000
PROT_EXEC = 0x4
MSG_FASTOPEN = 0x20000000
SOCK_TYPE = 0xF  # the other bits are flags
AT_EMPTY_PATH = 0x1000

UNIX = equals(0, AF_UNIX)
# Threads of this process; the C library falls back on clone(2) from clone3(2).
THREADS_ONLY = (allow_if(("clone",), Bits(0, CLONE_THREAD, CLONE_THREAD)), deny("clone3", verdict=MISSING))

# --- Below zygotes

# How many ids each call takes, the first at its first argument.
SET_IDS = {
    "setuid": 1, "setreuid": 2, "setresuid": 3, "setfsuid": 1,
    "setgid": 1, "setregid": 2, "setresgid": 3, "setfsgid": 1,
}  # fmt: skip

IO_URING = ("io_uring_setup", "io_uring_enter", "io_uring_register")

# Large parts of the kernel that few sites need, and that have often let a user become root.  Most of these calls need
# capabilities as well, which nothing below a zygote has or can get: there the filter is the second wall, and chroot(2)
# stands with them because nothing is lost, it fails with the same error anyway.
DANGEROUS = (
    *IO_URING,
    "setns",  # joins namespaces; unshare(2) and clone(2) may make others than those of users
    "bpf", "perf_event_open", "userfaultfd", "open_by_handle_at",
    "kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module",
    "mount", "umount2", "move_mount", "open_tree", "open_tree_attr", "fsopen", "fsconfig", "fsmount", "fspick",
    "mount_setattr", "pivot_root", "chroot",
)  # fmt: skip


def zygote_filter(uids: Ranges, gids: Ranges) -> bytes:
    """What a zygote hands down to every pool, child and program of a site, for life.

    Real, effective, saved and file-system ids can only become ids of these ranges, both ends included, whatever
    capabilities or setuid programs say.  No user namespace can be made, which keeps whole capability sets out of reach.
    Raises `OperatorError` on a machine whose calls we do not know, `ValueError` for ranges that are none or too many.
    """
    return bpf.assemble(zygote_policy(this_machine(), uids, gids))


def zygote_policy(machine: Machine, uids: Ranges, gids: Ranges) -> Policy:
    set_ids = [_set_ids(call, count, uids if "uid" in call else gids) for call, count in SET_IDS.items()]
    no_new_users = allow_if(("clone", "unshare"), Bits(0, CLONE_NEWUSER, 0))
    return Policy(machine, (*set_ids, no_new_users, deny("clone3", verdict=MISSING), deny(*DANGEROUS)), ALLOW)


def _set_ids(call: str, count: int, ranges: Ranges) -> Rule:
    permitted = (*ranges, (UNCHANGED, UNCHANGED))
    return allow_if((call,), *(Within(argument, permitted) for argument in range(count)))


def site_filter(disable: Iterable[str]) -> bytes:
    """What ``disable`` of a site takes away, any of "exec", "network", "fork" and "ptrace".

    "fork" leaves threads; since the children of a pool are forks too, it belongs into a program of its own, for each
    child.  Raises `OperatorError` as above, `Bug` for a word that is none of these.
    """
    return bpf.assemble(site_policy(this_machine(), disable))


def site_policy(machine: Machine, disable: Iterable[str]) -> Policy:
    words = frozenset(disable)
    if words - CAN_DISABLE:
        raise Bug(f"{', '.join(sorted(words - CAN_DISABLE))} cannot be disabled")
    rules: list[Rule] = []
    if EXEC in words:
        rules.append(deny("execve", "execveat"))
    if NETWORK in words:
        # A ring makes sockets by itself; and an ordinary user's sites stand under no zygote's filter.
        rules += [allow_if(("socket", "socketpair"), UNIX), deny(*IO_URING)]
    if FORK in words:
        rules += [deny("fork", "vfork"), *THREADS_ONLY]
    if PTRACE in words:
        rules.append(deny("ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd", "kcmp"))
    return Policy(machine, tuple(rules), ALLOW)


# --- Our own roles

# What an interpreter needs to go on and to end, without asking for anything new.
LIVING = (
    "brk", "munmap", "mremap", "madvise", "futex", "futex_wait", "futex_wake", "futex_requeue", "futex_waitv",
    "sched_yield", "sched_getaffinity", "getcpu", "rseq", "set_robust_list", "restart_syscall", "exit", "exit_group",
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigpending", "rt_sigtimedwait", "sigaltstack",
    "clock_gettime", "clock_getres", "clock_nanosleep", "nanosleep", "gettimeofday", "time", "times",
    "getpid", "gettid", "getppid", "getuid", "geteuid", "getgid", "getegid", "getresuid", "getresgid", "getgroups",
    "getrandom", "getrusage", "getrlimit", "uname", "sysinfo",
)  # fmt: skip

# With descriptors that are open.
STREAMS = (
    "read", "readv", "write", "writev", "close", "dup", "dup2", "dup3", "lseek", "fstat",
    "recvfrom", "recvmsg", "recvmmsg", "shutdown", "getsockname", "getpeername", "getsockopt",
    "poll", "ppoll", "select", "pselect6",
    "epoll_create", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2",
)  # fmt: skip

# Request bodies, and the interpreter's own files; which, is for the file permissions and Landlock to say.
FILES = (
    "open", "openat", "unlink", "unlinkat", "pread64", "preadv", "preadv2", "pwrite64", "pwritev", "pwritev2",
    "stat", "lstat", "newfstatat", "statx", "access", "faccessat", "faccessat2", "readlink", "readlinkat",
    "getdents64", "getcwd",
)  # fmt: skip

CONNECTIONS = ("accept", "accept4", "listen", "connect", "pipe", "pipe2", "eventfd2")

# Commands by number.  Not among them: who owns a descriptor (F_SETOWN, FIOSETOWN), by which the kernel can be made to
# signal other processes of the same user, and everything about terminals but to ask.
F_DUPFD, F_SETFL, F_DUPFD_CLOEXEC = 0, 4, 1030  # 1 to 3: F_GETFD, F_SETFD, F_GETFL
TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX = 0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451
PR_SET_NAME, PR_GET_NAME = 15, 16

# Of any role.
CAREFULLY = (
    allow_if(("mmap", "mprotect"), Bits(2, PROT_EXEC, 0)),
    allow_if(("fcntl",), Within(1, ((F_DUPFD, F_SETFL), (F_DUPFD_CLOEXEC, F_DUPFD_CLOEXEC)))),
    allow_if(("ioctl",), equals(1, TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX)),
    allow_if(("prctl",), equals(0, PR_SET_NAME, PR_GET_NAME)),
    allow_if(("prlimit64",), equals(0, 0)),  # this process, and no other of the same user
)

# MSG_FASTOPEN is a connect(2) that Landlock does not see, up to Linux 6.18 at least.
SENDING = tuple(
    allow_if((call,), Bits(flags, MSG_FASTOPEN, 0)) for call, flags in (("sendto", 3), ("sendmsg", 2), ("sendmmsg", 3))
)


def front_filter() -> bytes:
    """What a front is left with: its files, its clients, its pools by unix sockets, threads.

    It cannot execute, fork, signal, trace, load code into its memory, or make a socket of the network.  A listener can
    be turned around by shutdown(2) and connect(2), which only Landlock (TCP connect) stops.
    Raises `OperatorError` as above.
    """
    return bpf.assemble(front_policy(this_machine()))


def front_policy(machine: Machine) -> Policy:
    rules = (
        *CAREFULLY,
        *SENDING,
        *THREADS_ONLY,
        allow_if(("socket", "socketpair"), UNIX, Bits(1, SOCK_TYPE, SOCK_STREAM)),
        allow_if(("setsockopt",), equals(1, SOL_SOCKET, IPPROTO_TCP)),  # TLS can move into the kernel by TCP_ULP
        allow(*LIVING, *STREAMS, *FILES, *CONNECTIONS),
    )
    return Policy(machine, rules, DENIED, unknown=MISSING)


def log_filter() -> bytes:
    """What the log is left with: the descriptors it was given and is given.  It opens no file and makes no thread.

    Raises `OperatorError` as above.
    """
    return bpf.assemble(log_policy(this_machine()))


def log_policy(machine: Machine) -> Policy:
    rules = (
        *CAREFULLY,
        # fstat(3) is one of these in some C libraries, and needs no path.
        allow_if(("newfstatat",), Bits(3, AT_EMPTY_PATH, AT_EMPTY_PATH)),
        allow_if(("statx",), Bits(2, AT_EMPTY_PATH, AT_EMPTY_PATH)),
        allow(*LIVING, *STREAMS),
    )
    return Policy(machine, rules, DENIED, unknown=MISSING)
