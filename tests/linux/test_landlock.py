from __future__ import annotations

import ctypes
import errno
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from itkwsgi.linux import kernel, landlock, rulesets
from tests.support.forked import as_ordinary, in_child
from tests.support.ground import SECRET, a_ground

ABI = landlock.abi()
if ABI < 6:  # what is newer is not relied on here
    pytest.skip(f"Landlock {ABI} on this kernel, and what is tested here needs 6", allow_module_level=True)

PTRACE_ATTACH, PTRACE_DETACH = 16, 17
RENAME_EXCHANGE = 2
AT_FDCWD = -100
RUN = rulesets.READ | rulesets.EXECUTE
LIBRARIES = [(path, RUN, False) for path in ("/lib", "/lib64", "/usr/lib", "/usr/local/lib")]


@pytest.fixture(scope="module")
def laid():
    with a_ground() as ground:
        yield ground


@pytest.fixture
def ground(laid):
    laid.lay()
    return laid


def table(ground, *rules):
    own = [(str(ground.inside), rulesets.ALL, True), ("/proc", rulesets.READ, True), *LIBRARIES, *rules]
    return rulesets.files_table(ABI, own)


def confined(wanted, function, *args):
    kernel.set_no_new_privs()
    landlock.restrict(wanted, landlock.interpreter_rules(RUN))
    return function(*args)


def call(name, *args):
    """A function of libc's that Python lacks."""
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*args) == -1:
        raise OSError(ctypes.get_errno(), name)


# --- What is denied; each of these succeeds without


def read(ground):
    assert ground.file.read_text() == SECRET


def read_by_symlink(ground):
    (ground.inside / "link").read_text()


def read_by_proc_root(ground):
    Path(f"/proc/self/root{ground.file}").read_text()


def read_by_own_cwd(ground):
    os.chdir(ground.outside)
    Path("file").read_text()


def read_by_anothers_cwd(ground):
    Path(f"/proc/{ground.outsider}/cwd/file").read_text()


def read_by_dots(ground):
    Path(f"{ground.inside}/../outside/file").read_text()


def reopen_path_descriptor(ground):
    Path(f"/proc/self/fd/{os.open(ground.file, os.O_PATH)}").read_text()


def write(ground):
    os.open(ground.file, os.O_WRONLY)


def write_by_symlink(ground):
    os.open(ground.inside / "link", os.O_WRONLY)


def truncate(ground):
    os.truncate(ground.file, 0)


def truncate_by_open(ground):
    os.open(ground.file, os.O_RDONLY | os.O_TRUNC)


def create(ground):
    os.open(ground.outside / "new", os.O_WRONLY | os.O_CREAT)


def create_without_name(ground):
    os.open(ground.outside, os.O_TMPFILE | os.O_RDWR, 0o600)


def list_directory(ground):
    os.listdir(ground.outside)


def make_directory(ground):
    os.mkdir(ground.outside / "new")


def remove_directory(ground):
    os.rmdir(ground.outside / "empty")


def unlink(ground):
    os.unlink(ground.file)


def make_symlink(ground):
    os.symlink("x", ground.outside / "new")


def make_fifo(ground):
    os.mkfifo(ground.outside / "new")


def bind_socket(ground):
    socket.socket(socket.AF_UNIX).bind(str(ground.outside / "new"))


def rename_out(ground):
    os.rename(ground.inside / "file", ground.outside / "new")


def rename_in(ground):
    os.rename(ground.file, ground.inside / "new")


def rename_directory_in(ground):
    os.rename(ground.outside / "empty", ground.inside / "new")


def exchange(ground):
    ours, theirs = os.fsencode(ground.inside / "file"), os.fsencode(ground.file)
    call("renameat2", AT_FDCWD, ours, AT_FDCWD, theirs, RENAME_EXCHANGE)


def link_in(ground):
    os.link(ground.file, ground.inside / "new")


def link_out(ground):
    os.link(ground.inside / "file", ground.outside / "new")


def execute(ground):
    subprocess.run([ground.outside / "program"], check=True)


def ioctl_device(ground):
    os.get_terminal_size(os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY))


def signal_outsider(ground):
    os.kill(ground.outsider, signal.SIGCONT)


def signal_by_pidfd(ground):
    signal.pidfd_send_signal(os.pidfd_open(ground.outsider), signal.SIGCONT)


def connect_abstract(ground):
    socket.socket(socket.AF_UNIX).connect("\0" + ground.abstract)


def trace(ground):
    call("ptrace", PTRACE_ATTACH, ground.outsider, None, None)
    os.waitpid(ground.outsider, 0)
    call("ptrace", PTRACE_DETACH, ground.outsider, None, None)


def open_memory(ground):
    os.open(f"/proc/{ground.outsider}/mem", os.O_RDWR)


def read_environment(ground):
    Path(f"/proc/{ground.outsider}/environ").read_bytes()


def read_descriptors(ground):
    os.readlink(f"/proc/{ground.outsider}/fd/0")  # their numbers alone, any process of the user may list


def steal_descriptor(ground):
    call("syscall", 438, os.pidfd_open(ground.outsider), 0, 0)  # pidfd_getfd


ATTEMPTS = (
    read, read_by_symlink, read_by_proc_root, read_by_own_cwd, read_by_anothers_cwd, read_by_dots,
    reopen_path_descriptor, write, write_by_symlink, truncate, truncate_by_open, create, create_without_name,
    list_directory, make_directory, remove_directory, unlink, make_symlink, make_fifo, bind_socket, rename_out,
    rename_in, rename_directory_in, exchange, link_in, link_out, execute, signal_outsider, signal_by_pidfd,
    connect_abstract, trace, open_memory, read_environment, read_descriptors, steal_descriptor,
)  # fmt: skip


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: attempt.__name__)
def test_denied(ground, attempt):
    as_ordinary(attempt, ground)  # without Landlock it can be done
    ground.lay()
    with pytest.raises(OSError) as refusal:
        as_ordinary(confined, table(ground), attempt, ground)
    assert refusal.value.errno in (errno.EACCES, errno.EPERM, errno.EXDEV)


def test_ioctl_of_a_device_that_may_be_opened(ground):
    may_open = table(ground, ("/dev/ptmx", rulesets.READ_FILE | rulesets.WRITE_FILE, True))
    as_ordinary(ioctl_device, ground)
    with pytest.raises(PermissionError):
        as_ordinary(confined, may_open, ioctl_device, ground)


def test_denied_to_what_it_executes_and_for_what_restricts_itself_again(ground):
    code = f"print(open({str(ground.file)!r}).read())"

    def execute_reader():
        return subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False)

    def restrict_again():
        landlock.restrict(rulesets.files_table(ABI, [("/", rulesets.ALL, True)]))
        read(ground)

    assert as_ordinary(execute_reader).stdout == f"{SECRET}\n"
    assert "PermissionError" in as_ordinary(confined, table(ground), execute_reader).stderr
    with pytest.raises(PermissionError):
        as_ordinary(confined, table(ground), restrict_again)


# --- What is not


def work_inside(ground):
    inside = ground.inside
    (inside / "a" / "b").mkdir(parents=True)
    (inside / "a" / "file").write_text("x")
    os.rename(inside / "a" / "file", inside / "a" / "b" / "file")
    os.link(inside / "a" / "b" / "file", inside / "link of it")
    os.truncate(inside / "link of it", 0)
    os.symlink("file", inside / "soft")
    assert (inside / "soft").read_text() == "inside"
    os.mkfifo(inside / "fifo")
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(inside / "socket"))
    server.listen()
    socket.socket(socket.AF_UNIX).connect(str(inside / "socket"))
    os.unlink(inside / "a" / "b" / "file")
    os.rmdir(inside / "a" / "b")
    program = inside / "program"
    program.write_text(f"#!{sys.executable}\nprint('ran')\n")
    program.chmod(0o755)
    assert subprocess.run([program], capture_output=True, check=True).stdout == b"ran\n"
    return sorted(os.listdir(inside))


def test_inside_everything_goes(ground):
    done = as_ordinary(confined, table(ground), work_inside, ground)
    assert {"a", "fifo", "file", "link of it", "program", "socket", "soft"} <= set(done)


def test_a_hard_link_inside_is_inside(ground):
    assert as_ordinary(confined, table(ground), (ground.inside / "hard").read_text) == SECRET


def test_children_and_parent_of_one_domain_signal_each_other(ground):
    def parent():
        signal.alarm(20)
        got = []
        signal.signal(signal.SIGUSR1, lambda number, frame: got.append(number))
        pid = os.fork()
        if pid == 0:
            os.kill(os.getppid(), signal.SIGUSR1)
            signal.pause()
        while not got:
            signal.sigtimedwait([], 0.01)
        os.kill(pid, signal.SIGKILL)
        return os.waitpid(pid, 0)[1]

    assert as_ordinary(confined, table(ground), parent) == signal.SIGKILL


def test_it_dies_with_a_parent_from_outside(ground):
    def parent():
        signal.alarm(20)
        reader, writer = os.pipe()
        if os.fork() == 0:
            if os.fork() == 0:
                kernel.set_death_signal(signal.SIGKILL)
                confined(table(ground), os.write, writer, b"x")
                signal.alarm(30)  # the negative control: without the death signal, this is how long the read takes
                signal.pause()
            os.read(reader, 1)
            os._exit(0)
        os.close(writer)
        os.wait()
        return os.read(reader, 1)

    begun = time.monotonic()
    assert as_ordinary(parent) == b""
    assert time.monotonic() - begun < 10


def test_from_outside_it_can_be_signalled(ground):
    def parent():
        signal.alarm(20)
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            confined(table(ground), os.write, writer, b"x")
            signal.pause()
        os.read(reader, 1)
        os.kill(pid, signal.SIGTERM)
        return os.waitpid(pid, 0)[1]

    assert as_ordinary(parent) == signal.SIGTERM


def test_what_it_does_not_govern(ground):
    """The limits that `rulesets` and SECURITY.md speak of: when one of these fails, the documents can say more."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(ground.outside / "socket"))
    os.chmod(ground.outside / "socket", 0o777)
    server.listen()

    def not_governed():
        size = os.stat(ground.file).st_size
        os.access(ground.file, os.R_OK)
        os.chmod(ground.file, 0o640)
        os.utime(ground.file, (1, 1))
        os.setxattr(ground.file, "user.x", b"y")
        os.readlink(ground.inside / "link")
        os.chdir(ground.outside)
        socket.socket(socket.AF_UNIX).connect(str(ground.outside / "socket"))
        program = os.memfd_create("program")
        os.write(program, Path(os.path.realpath("/lib64/ld-linux-x86-64.so.2")).read_bytes())
        subprocess.run([f"/proc/self/fd/{program}", "--version"], pass_fds=[program], capture_output=True, check=True)
        return size

    with server:
        assert as_ordinary(confined, table(ground), not_governed) == len(SECRET)
    assert ground.file.stat().st_mtime == 1


def test_a_descriptor_from_before_keeps_what_it_was_opened_for(ground):
    def before(flags):
        file = os.open(ground.file, flags)
        directory = os.open(ground.outside, os.O_RDONLY)
        confined(table(ground), int)
        if flags == os.O_RDWR:
            os.ftruncate(file, 3)
        os.pread(file, 100, 0)
        return os.open("file", os.O_RDONLY, dir_fd=directory)

    for flags in (os.O_RDONLY, os.O_RDWR):
        with pytest.raises(PermissionError):  # the last line, and no other
            as_ordinary(before, flags)
    assert ground.file.read_text() == SECRET[:3]


def test_a_rule_belongs_to_the_file_and_not_to_its_name(ground):
    def read_before_and_after(replacement):
        begin, began = os.pipe()
        done, finish = os.pipe()
        if os.fork() == 0:
            os.read(begin, 1)
            (ground.outside / "new").write_text("new")
            os.replace(ground.outside / "new", replacement)
            os.write(finish, b"x")
            os._exit(0)
        confined(table(ground, (str(ground.file), rulesets.ALL, True)), read, ground)
        os.write(began, b"x")
        os.read(done, 1)
        return ground.file.read_text()

    assert as_ordinary(read_before_and_after, ground.outside / "other") == SECRET
    with pytest.raises(PermissionError):
        as_ordinary(read_before_and_after, ground.file)


# --- The calls


def test_a_required_path_must_be_there(ground):
    for required, wanted in ((True, FileNotFoundError), (False, None)):
        rules = table(ground, (f"{ground.inside}/missing", rulesets.ALL, required))
        if wanted is None:
            as_ordinary(confined, rules, int)
            continue
        with pytest.raises(wanted) as refusal:
            as_ordinary(confined, rules, int)
        assert refusal.value.filename == f"{ground.inside}/missing"


def test_a_path_that_the_user_cannot_reach_is_not_there(ground):
    os.chmod(ground.outside, 0)
    hidden = str(ground.outside / "empty")
    try:
        as_ordinary(confined, table(ground, (hidden, rulesets.ALL, False)), int)
        with pytest.raises(PermissionError) as refusal:
            as_ordinary(confined, table(ground, (hidden, rulesets.ALL, True)), int)
        assert refusal.value.filename == hidden
    finally:
        os.chmod(ground.outside, 0o755)


def test_any_other_error_is_no_missing_path(ground):
    with pytest.raises(OSError, match="File name too long"):
        as_ordinary(confined, table(ground, ("/" + "x" * 300, rulesets.ALL, False)), int)


def test_a_file_gets_what_a_file_can_have(ground):
    as_ordinary(confined, table(ground, (str(ground.file), rulesets.ALL, True)), read, ground)
    as_ordinary(confined, table(ground, (str(ground.file), rulesets.READ_DIR, True)), int)


def test_refused_without_no_new_privs(ground):
    with pytest.raises(OSError) as refusal:
        as_ordinary(landlock.restrict, table(ground))
    assert (refusal.value.errno, refusal.value.filename) == (errno.EPERM, "landlock_restrict_self")


def test_what_the_kernel_does_not_know_is_refused(ground):
    def handle_too_much():
        landlock.restrict({**table(ground), "fs": 1 << 63})

    with pytest.raises(OSError) as refusal:
        in_child(handle_too_much)
    assert refusal.value.errno == errno.EINVAL


def test_no_descriptor_is_left(ground):
    def difference():
        before = os.listdir("/proc/self/fd")
        confined(table(ground), int)
        with pytest.raises(FileNotFoundError):
            landlock.restrict(table(ground, ("/missing", rulesets.READ, True)))
        return set(os.listdir("/proc/self/fd")) ^ set(before)

    assert as_ordinary(difference) == set()


def failing(number):
    def syscall(*_):
        ctypes.set_errno(number)
        return -1

    return syscall


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM])
def test_a_kernel_without_landlock(monkeypatch, number):
    monkeypatch.setattr(landlock, "_syscall", failing(number))
    assert landlock.abi() == 0


def test_any_other_answer_is_an_error(monkeypatch):
    monkeypatch.setattr(landlock, "_syscall", failing(errno.EFAULT))
    with pytest.raises(OSError, match="landlock_create_ruleset"):
        landlock.abi()


def test_file_rights_are_what_a_file_can_have():
    named = rulesets.EXECUTE | rulesets.WRITE_FILE | rulesets.READ_FILE | rulesets.TRUNCATE | rulesets.IOCTL_DEV
    assert named == landlock.FILE_RIGHTS


def test_the_rules_of_this_interpreter(monkeypatch):
    monkeypatch.setattr(sys, "path", ["", "relative", "/one", "/one"])
    monkeypatch.setattr(sys, "prefix", "/venv")
    monkeypatch.setattr(sys, "base_prefix", "/base")
    monkeypatch.setattr(sys, "base_exec_prefix", "/base")
    paths = {path for path, rights, required in landlock.interpreter_rules(5) if (rights, required) == (5, False)}
    assert {"/one", "/venv", "/base/lib", sys.executable} <= paths
    assert not {"", "relative", "/base"} & paths
    monkeypatch.setattr(sys, "prefix", "/base")
    assert "/base" not in {path for path, _, _ in landlock.interpreter_rules(5)}
