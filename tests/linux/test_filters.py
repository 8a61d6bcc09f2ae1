"""The policies: as plain statements against an interpreter of the programs, and in real processes."""

import contextlib
import ctypes
import errno
import mmap
import multiprocessing
import os
import socket
import sqlite3
import subprocess
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itkwsgi.errors import Bug
from itkwsgi.linux import bpf, filters, kernel, seccomp
from itkwsgi.linux.syscalls import MACHINES, NEWEST, this_machine
from tests.support.bpf_machine import verdict
from tests.support.forked import as_ordinary, in_child
from tests.support.tenants import public_place

ALLOW, EPERM, ENOSYS = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS
UIDS, GIDS = [(1000, 1999), (5000, 5000)], [(3000, 3999)]
NEWUSER, THREAD, FASTOPEN = 0x10000000, 0x10000, 0x20000000
SET_IDS = {
    f"set{prefix}{kind}id": count for kind in "ug" for prefix, count in (("", 1), ("re", 2), ("res", 3), ("fs", 1))
}
# None of these may be had below a zygote, or by our own roles.
NEVER = [
    "io_uring_setup", "io_uring_enter", "io_uring_register", "setns", "bpf", "perf_event_open", "userfaultfd",
    "open_by_handle_at", "kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module",
    "mount", "umount2", "move_mount", "open_tree", "open_tree_attr", "fsopen", "fsconfig", "fsmount", "fspick",
    "mount_setattr", "pivot_root", "chroot",
]  # fmt: skip
NOT_OF_ROLES = [
    *NEVER, *SET_IDS, "execve", "execveat", "fork", "vfork", "unshare", "ptrace", "process_vm_readv",
    "process_vm_writev", "pidfd_getfd", "kcmp",
]  # fmt: skip
# Not in our tables, as no rule names them: x86_64 only.
UNNAMED = {
    "shmget": 29, "kill": 62, "msgget": 68, "chmod": 90, "chown": 92, "mknod": 133, "personality": 135,
    "setpriority": 141, "setrlimit": 160, "bind": 49, "tkill": 200, "tgkill": 234, "mq_open": 240, "add_key": 248,
    "request_key": 249, "keyctl": 250, "inotify_init": 253, "rt_sigqueueinfo": 129, "seccomp": 317,
    "memfd_create": 319, "pkey_mprotect": 329, "pidfd_send_signal": 424, "pidfd_open": 434, "capset": 126,
    "setgroups": 116, "setsid": 112, "setpgid": 109, "truncate": 76, "rename": 82, "link": 86, "symlink": 88,
    "sched_setaffinity": 203, "splice": 275, "name_to_handle_at": 303, "memfd_secret": 447,
    "landlock_restrict_self": 446,
}  # fmt: skip

every_machine = pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
WORDS = st.one_of(
    st.integers(0, 2**64 - 1),
    st.sampled_from(
        (0, 1, 2, 6, 16, 4, NEWUSER, THREAD, FASTOPEN, 2**32 - 1, 2**64 - 1, 2**32, 0x541B, 15, 16, 17, 1030)
    ),
    st.sampled_from([end + step for pair in (*UIDS, *GIDS) for end in pair for step in (-1, 0, 1)]),
)
ARGUMENTS = st.lists(
    WORDS | st.builds(lambda low, high: low | high << 32, WORDS.map(lambda w: w % 2**32), st.integers(0, 3)),
    min_size=6,
    max_size=6,
)
NUMBERS = st.integers(0, NEWEST) | st.integers(0, 2**32 - 1)


def low(value):
    return value & 0xFFFFFFFF


def name_of(machine, number):
    return next((call for call, known in machine.numbers().items() if known == number), None)


def outside(machine, number, arch):
    """What concerns no call: None when it is a call to be judged."""
    if arch != machine.audit:
        return 0x80000000
    if machine.name == "x86_64" and number >= 0x40000000:
        return ENOSYS
    return None


# --- What the policies say, in other words


def zygote(call, arguments):
    if call in SET_IDS:
        ranges = UIDS if "uid" in call else GIDS
        ids = [low(value) for value in arguments[: SET_IDS[call]]]
        return ALLOW if all(i == 2**32 - 1 or any(a <= i <= b for a, b in ranges) for i in ids) else EPERM
    if call in ("clone", "unshare"):
        return EPERM if arguments[0] & NEWUSER else ALLOW
    if call == "clone3":
        return ENOSYS
    return EPERM if call in NEVER else ALLOW


def site(disable):
    def policy(call, arguments):
        if "exec" in disable and call in ("execve", "execveat"):
            return EPERM
        if "network" in disable and call in ("socket", "socketpair"):
            return ALLOW if low(arguments[0]) == 1 else EPERM
        if "network" in disable and call is not None and call.startswith("io_uring_"):
            return EPERM
        if "fork" in disable and call == "clone3":
            return ENOSYS
        if "fork" in disable and (call in ("fork", "vfork") or (call == "clone" and not arguments[0] & THREAD)):
            return EPERM
        traces = ("ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd", "kcmp")
        return EPERM if "ptrace" in disable and call in traces else ALLOW

    return policy


# Of a role: what it may do with some arguments only.
CAREFULLY = {
    "mmap": lambda a: not a[2] & 4,
    "mprotect": lambda a: not a[2] & 4,
    "fcntl": lambda a: low(a[1]) in (0, 1, 2, 3, 4, 1030),
    "ioctl": lambda a: low(a[1]) in (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451),
    "prctl": lambda a: low(a[0]) in (15, 16),
    "prlimit64": lambda a: low(a[0]) == 0,
}
OF_FRONT = {
    **CAREFULLY,
    "sendto": lambda a: not a[3] & FASTOPEN,
    "sendmsg": lambda a: not a[2] & FASTOPEN,
    "sendmmsg": lambda a: not a[3] & FASTOPEN,
    "socket": lambda a: low(a[0]) == 1 and a[1] & 0xF == 1,
    "socketpair": lambda a: low(a[0]) == 1 and a[1] & 0xF == 1,
    "setsockopt": lambda a: low(a[1]) in (1, 6),
    "clone": lambda a: bool(a[0] & THREAD),
}
OF_LOG = {**CAREFULLY, "newfstatat": lambda a: bool(a[3] & 0x1000), "statx": lambda a: bool(a[2] & 0x1000)}


def role(careful, always, missing=()):
    def policy(call, arguments):
        if call in missing:
            return ENOSYS
        return ALLOW if call in always or (call in careful and careful[call](arguments)) else EPERM

    return policy


front = role(OF_FRONT, {*filters.LIVING, *filters.STREAMS, *filters.FILES, *filters.CONNECTIONS}, ("clone3",))
log = role(OF_LOG, {*filters.LIVING, *filters.STREAMS})


def judge(policy, stated, machine, number, arch, arguments, *, known_only=False):
    expected = outside(machine, number, arch)
    if expected is None:
        expected = ENOSYS if known_only and number > NEWEST else stated(name_of(machine, number), arguments)
    assert verdict(bpf.assemble(policy), number, arch, arguments) == expected


@given(machine=st.sampled_from(MACHINES), number=NUMBERS, arguments=ARGUMENTS, other=st.booleans())
def test_every_policy_says_what_it_is_to_say(machine, number, arguments, other):
    arch = MACHINES[0 if machine is not MACHINES[0] else 1].audit if other else machine.audit
    judge(filters.zygote_policy(machine, UIDS, GIDS), zygote, machine, number, arch, arguments)
    judge(filters.front_policy(machine), front, machine, number, arch, arguments, known_only=True)
    judge(filters.log_policy(machine), log, machine, number, arch, arguments, known_only=True)


@given(
    machine=st.sampled_from(MACHINES),
    call=st.sampled_from([*SET_IDS, "clone", "unshare", "clone3", *OF_FRONT, *OF_LOG]),
    arguments=ARGUMENTS,
)
def test_arguments_are_judged_by_what_the_kernel_takes_of_them(machine, call, arguments):
    number = machine.numbers()[call]
    judge(filters.zygote_policy(machine, UIDS, GIDS), zygote, machine, number, machine.audit, arguments)
    judge(filters.front_policy(machine), front, machine, number, machine.audit, arguments, known_only=True)
    judge(filters.log_policy(machine), log, machine, number, machine.audit, arguments, known_only=True)


@given(
    machine=st.sampled_from(MACHINES),
    disable=st.sets(st.sampled_from(sorted(filters.CAN_DISABLE))),
    number=NUMBERS | st.sampled_from(["clone", "socket", "socketpair", "execve", "ptrace", "io_uring_setup"]),
    arguments=ARGUMENTS,
)
def test_disable_takes_away_what_it_names(machine, disable, number, arguments):
    number = machine.numbers()[number] if isinstance(number, str) else number
    judge(filters.site_policy(machine, disable), site(disable), machine, number, machine.audit, arguments)


@every_machine
def test_every_number_once(machine):
    """All there are, with arguments that mean nothing."""
    for number in [*range(600), 2**30 - 1, 2**30, 2**30 + 41, 2**31, 2**32 - 1]:
        judge(filters.zygote_policy(machine, UIDS, GIDS), zygote, machine, number, machine.audit, [7] * 6)
        judge(filters.front_policy(machine), front, machine, number, machine.audit, [7] * 6, known_only=True)
        judge(filters.log_policy(machine), log, machine, number, machine.audit, [7] * 6, known_only=True)


@pytest.mark.parametrize("policy", [filters.front_policy, filters.log_policy])
def test_what_no_role_of_ours_may_do_whatever_the_arguments(policy):
    machine = MACHINES[0]
    program = bpf.assemble(policy(machine))
    numbers = {**UNNAMED, **{call: machine.numbers()[call] for call in NOT_OF_ROLES}}
    allowed = {
        call
        for call, number in numbers.items()
        for argument in (0, 1, 2**32 - 1, 2**64 - 1)
        if verdict(program, number, machine.audit, [argument] * 6) == ALLOW
    }
    assert allowed == set()


def test_the_log_opens_nothing_and_connects_nowhere():
    numbers, program = MACHINES[0].numbers(), bpf.assemble(filters.log_policy(MACHINES[0]))
    calls = ("open", "openat", "socket", "socketpair", "connect", "accept4", "sendto", "sendmsg", "clone", "clone3")
    assert {verdict(program, numbers[call], MACHINES[0].audit, [0x10001] * 6) for call in calls} == {EPERM}


@pytest.mark.parametrize("words", [{"fork", "knife"}, {"Exec"}])
def test_what_cannot_be_disabled_is_refused(words):
    with pytest.raises(Bug, match="cannot be disabled"):
        filters.site_filter(words)


def test_nothing_to_disable_is_everything_allowed():
    machine = this_machine()
    program = filters.site_filter(())
    assert {verdict(program, number, machine.audit) for number in range(500)} == {ALLOW}


# --- In real processes

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
IS_ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not IS_ROOT, reason="needs root, to have ids to change")
whoever = pytest.mark.parametrize("child", [in_child, as_ordinary] if IS_ROOT else [as_ordinary])


def call(name, *arguments):
    """The errno of a system call made past the C library, 0 when it went well."""
    words = [ctypes.c_ulong(argument) for argument in arguments]
    failed = libc.syscall(ctypes.c_long(this_machine().numbers()[name]), *words) == -1
    return ctypes.get_errno() if failed else 0


def under(program, function, *arguments):
    """In this process, for good."""
    if os.geteuid() != 0:
        kernel.set_no_new_privs()
    if program is not None:
        seccomp.install(program)
    return function(*arguments)


def zygotes():
    return filters.zygote_filter(UIDS, GIDS)


CHANGES = {
    "setuid": (0,), "setreuid": (0, 0), "setresuid": (0, 0, 0), "setfsuid": (0,),
    "setgid": (0,), "setregid": (0, 0), "setresgid": (0, 0, 0), "setfsgid": (0,),
}  # fmt: skip


def changed(name, where, number):
    """The id to become in one place, unchanged elsewhere."""
    count = SET_IDS[name]
    return call(name, *(number if at == where else 2**64 - 1 for at in range(count)))


@needs_root
@pytest.mark.parametrize(("name", "where"), [(name, at) for name, count in SET_IDS.items() for at in range(count)])
def test_ids_are_held_to_the_ranges(name, where):
    inside = 1500 if "uid" in name else 3500
    # The other kind's, root's, just beside, root's in the lower half.
    for forbidden in (3500 if "uid" in name else 1500, 0, 999 if "uid" in name else 4000, 7 << 32):
        assert in_child(under, zygotes(), changed, name, where, forbidden) == errno.EPERM
        assert in_child(under, None, changed, name, where, forbidden) == 0
    for permitted in (inside, inside | 7 << 32):
        assert in_child(under, zygotes(), changed, name, where, permitted) == 0


@needs_root
def test_unchanged_stays_legal():
    def change():
        os.setresgid(-1, 3500, -1)
        os.setresuid(-1, 1500, -1)
        first = os.getresuid(), os.getresgid()
        number = this_machine().numbers()["setresuid"]
        libc.syscall(number, *(ctypes.c_ulong(word) for word in (2**32 - 1, 2**64 - 1, 5 << 32 | 2**32 - 1)))
        return first, os.getresuid()

    assert in_child(under, zygotes(), change) == (((0, 1500, 0), (0, 3500, 0)), (0, 1500, 0))


@needs_root
def test_a_switch_into_the_ranges_works_and_there_is_no_way_back():
    def switch():
        os.setgroups([3001, 3002])
        os.setresgid(3500, 3500, 3500)
        os.setresuid(1500, 1500, 1500)
        return os.getresuid(), [call(name, *CHANGES[name]) for name in CHANGES if "fs" not in name]

    assert in_child(under, zygotes(), switch) == ((1500, 1500, 1500), [errno.EPERM] * 6)


@whoever
def test_there_are_no_user_namespaces_below_a_zygote(child):
    def attempts():
        return call("unshare", NEWUSER), call("clone", NEWUSER | 17, 0, 0, 0, 0), call("clone3", 0, 0)

    assert child(under, zygotes(), attempts) == (errno.EPERM, errno.EPERM, errno.ENOSYS)
    assert child(under, None, call, "unshare", NEWUSER) == 0
    assert child(under, None, call, "clone3", 0, 0) == errno.EINVAL


@whoever
def test_there_are_no_rings_below_a_zygote(child):
    def attempts():
        return call("io_uring_setup", 0, 0), call("io_uring_enter", 2**32 - 1), call("userfaultfd", 2**32 - 1)

    assert child(under, zygotes(), attempts) == (errno.EPERM,) * 3
    assert errno.EPERM not in child(under, None, attempts)


def everyday(tmp):
    """What ordinary sites do.  Returns what came of it, by name."""
    outcome = {}
    for doing in (run_program, run_thread, run_process, run_pool, use_database, resolve, fork_child, open_network):
        try:
            outcome[doing.__name__] = doing(tmp)
        except OSError as error:
            outcome[doing.__name__] = error.errno
    return outcome


def run_program(tmp):
    return subprocess.run(["/bin/echo", "hello"], capture_output=True, check=True).stdout == b"hello\n"


def run_thread(tmp):
    said = []
    thread = threading.Thread(target=said.append, args=(7,))
    try:
        thread.start()
    except RuntimeError:
        return errno.EPERM
    thread.join()
    return said == [7]


def run_process(tmp):
    process = multiprocessing.get_context("fork").Process(target=os._exit, args=(3,))
    process.start()
    process.join()
    return process.exitcode == 3


def run_pool(tmp):
    with multiprocessing.get_context("fork").Pool(2) as pool:
        return pool.map(abs, [-1, -2]) == [1, 2]


def use_database(tmp):
    with contextlib.closing(sqlite3.connect(os.path.join(tmp, f"{os.getpid()}.db"))) as database:
        database.execute("pragma journal_mode = wal")
        database.execute("create table t (x)")
        database.execute("insert into t values (5)")
        return list(database.execute("select x from t")) == [(5,)]


def resolve(tmp):
    return {info[4][0] for info in socket.getaddrinfo("localhost", 80, socket.AF_INET)} == {"127.0.0.1"}


def fork_child(tmp):
    pid = os.fork()
    if pid == 0:
        os._exit(4)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 4


def open_network(tmp):
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        return client.send(b"x") == 1


ALL_WORKS = {
    "run_program": True, "run_thread": True, "run_process": True, "run_pool": True, "use_database": True,
    "resolve": True, "fork_child": True, "open_network": True,
}  # fmt: skip
NO_FORK = dict.fromkeys(("run_program", "run_process", "run_pool", "fork_child"), errno.EPERM)


@pytest.fixture
def public():
    """A directory that an ordinary user may write to."""
    with public_place("filters") as path:
        path.chmod(0o1777)
        yield str(path)


@whoever
@pytest.mark.parametrize(
    ("disable", "lost"),
    [
        (None, {}),
        ((), {}),
        (("ptrace",), {}),
        (("exec",), {"run_program": errno.EPERM}),
        (("network",), {"open_network": errno.EPERM}),
        (("fork",), NO_FORK),
        (("exec", "network", "fork", "ptrace"), {**NO_FORK, "open_network": errno.EPERM}),
    ],
)
def test_what_still_works(child, public, disable, lost):
    """Under a zygote's filter, and with what a site disabled on top."""

    def life():
        if disable is not None:
            seccomp.install(filters.site_filter(disable))
        return everyday(public)

    assert child(under, filters.zygote_filter(UIDS, GIDS), life) == {**ALL_WORKS, **lost}


@whoever
def test_a_filter_is_inherited_by_programs(child):
    code = "import os\ntry: os.fork()\nexcept PermissionError: print('denied')"

    def life():
        return subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, check=True).stdout

    def without_a_fork_of_its_own():
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.dup2(writer, 1)
            seccomp.install(filters.site_filter({"fork"}))
            os.execv(sys.executable, [sys.executable, "-I", "-c", code])
        os.waitpid(pid, 0)
        os.set_blocking(reader, False)
        return os.read(reader, 100)

    assert child(under, None, life) == b""
    assert child(under, None, without_a_fork_of_its_own) == b"denied\n"


@whoever
def test_ptrace_is_taken_away(child):
    trace_me, memory = 0, bytes(8)

    def attempts():
        # kcmp(2) of this process with itself, by type KCMP_VM.
        return (
            call("ptrace", trace_me),
            call("process_vm_readv", os.getpid(), id(memory), 0),
            call("kcmp", os.getpid(), os.getpid(), 1),
        )

    assert child(under, filters.site_filter({"ptrace"}), attempts) == (errno.EPERM,) * 3
    assert child(under, None, attempts)[0] == 0


@whoever
def test_memory_of_a_role_never_becomes_code(child):
    def attempts():
        with mmap.mmap(-1, 4096) as area:
            address = ctypes.addressof(ctypes.c_char.from_buffer(area))
            return call("mprotect", address, 4096, mmap.PROT_READ | mmap.PROT_EXEC), call(
                "mmap", 0, 4096, mmap.PROT_READ | mmap.PROT_EXEC, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, 2**64 - 1, 0
            )

    for program in (filters.front_filter(), filters.log_filter()):
        assert child(under, program, attempts) == (errno.EPERM, errno.EPERM)
    assert child(under, None, attempts) == (0, 0)
