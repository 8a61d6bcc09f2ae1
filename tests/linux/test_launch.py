"""Launching a role as an ordinary user; with real uids in tests/root/test_launch.py."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time

import pytest

from itkwsgi.errors import Bug, OperatorError
from itkwsgi.linux import fds, kernel, launch, process_status
from itkwsgi.linux.identity import Identity, current_identity
from itkwsgi.linux.launch import RoleSpec
from itkwsgi.linux.title import PADDING
from tests.support.forked import as_ordinary, reaped, said_by

PYTHON = [sys.executable, "-I", "-S", "-c"]
SLEEP = [*PYTHON, "import time; time.sleep(60)"]

ALL_ABOUT_IT = """
import json, os, resource, signal, sys
fds = {}
for name in os.listdir("/proc/self/fd"):
    try:
        fds[int(name)] = os.readlink("/proc/self/fd/" + name)
    except FileNotFoundError:
        pass
umask = os.umask(0)
with open("/proc/self/environ", "rb") as file:
    environ = file.read().decode()
with open("/proc/self/status") as file:
    status = file.read()
print(json.dumps({
    "argv": sys.orig_argv, "fds": fds, "umask": umask, "environ": environ, "status": status, "cwd": os.getcwd(),
    "sid": os.getsid(0), "pgid": os.getpgid(0), "pid": os.getpid(), "nice": os.getpriority(os.PRIO_PROCESS, 0),
    "core": resource.getrlimit(resource.RLIMIT_CORE), "ppid": os.getppid(),
}))
"""


def all_about(**spec):
    return json.loads(said_by([*PYTHON, ALL_ABOUT_IT], **spec))


def test_a_role_gets_what_the_spec_says_and_nothing_else():
    def start():
        spare = os.open("/dev/zero", os.O_RDONLY)
        for fd in (30, 31, 32, 400):
            os.dup2(spare, fd, inheritable=True)
        memfd = fds.memfd_with(b"settings", "settings")
        about = all_about(fds={4: memfd, 7: 31, 31: 4 if os.path.exists("/proc/self/fd/4") else 0}, nice=3, cwd="/usr")
        return about, os.getpid()

    about, parent = as_ordinary(start)
    found = {int(fd): what for fd, what in about["fds"].items()}
    assert found.keys() == {0, 1, 2, 4, 7, 31}
    assert found[0] == "/dev/null"
    assert found[1] == found[2] and found[1].startswith("pipe:")
    assert found[4].startswith("/memfd:settings")
    assert found[7] == "/dev/zero"
    assert about["environ"] == ""
    assert about["cwd"] == "/usr"
    assert about["umask"] == 0o077
    assert about["nice"] == 3
    assert about["core"] == [0, 0]
    assert about["sid"] == about["pgid"] == about["pid"]
    assert about["ppid"] == parent
    assert about["argv"] == [*PYTHON, ALL_ABOUT_IT, PADDING]


def test_the_environment_and_the_umask_of_the_spec():
    about = as_ordinary(lambda: all_about(env={"A": "b", "C": "é"}, umask=0o027))
    assert sorted(about["environ"].rstrip("\0").split("\0")) == ["A=b", "C=é"]
    assert about["umask"] == 0o027


def test_no_signal_is_ignored_blocked_or_handled():
    """A shell program, as an interpreter sets handlers of its own."""

    def start():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGUSR1, lambda *args: None)
        signal.signal(signal.SIGRTMIN + 1, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGCHLD})
        said = said_by(["/bin/cat", "/proc/self/status", "--"])
        return said, signal.pthread_sigmask(signal.SIG_BLOCK, ())

    said, mask_of_the_parent = as_ordinary(start)
    assert re.findall(r"^Sig(?:Ign|Blk|Cgt):\t(\w+)$", said, re.MULTILINE) == ["0" * 16] * 3
    assert mask_of_the_parent == {signal.SIGTERM, signal.SIGCHLD}


@pytest.mark.parametrize("wanted", [True, False])
def test_no_new_privs_is_as_the_spec_says(wanted):
    def start():
        had_it = kernel.get_no_new_privs()
        return process_status.parse(all_about(no_new_privs=wanted)["status"]).no_new_privs, had_it

    found, had_it = as_ordinary(start)
    assert found == (wanted or had_it)


def test_a_role_dies_with_its_parent():
    def start():
        reader, writer = os.pipe()
        between = os.fork()
        if between == 0:
            try:
                launch.launch(spec_of(SLEEP, {9: writer}, death_signal=signal.SIGKILL))
            finally:
                os._exit(0)
        os.close(writer)
        os.waitpid(between, 0)
        begin = time.monotonic()
        assert os.read(reader, 1) == b""  # the last writer is gone
        return time.monotonic() - begin

    assert as_ordinary(start) < 10


def test_a_role_without_a_death_signal_outlives_its_parent():
    """The negative control of the test above."""

    def start():
        kernel.set_subreaper()
        reader, writer = os.pipe()
        between = os.fork()
        if between == 0:
            try:
                os.write(writer, str(launch.launch(spec_of(SLEEP, {}))).encode())
            finally:
                os._exit(0)
        os.waitpid(between, 0)
        with reaped(int(os.read(reader, 20))) as pid:
            time.sleep(0.05)
            return process_status.read(pid).state

    assert as_ordinary(start) == "S"


def spec_of(argv, more, **spec):
    null = os.open("/dev/null", os.O_RDWR)
    return RoleSpec(name="role", argv=argv, fds={0: null, 1: null, 2: null, **more}, **spec)


@pytest.mark.parametrize(
    ("argv", "spec", "message"),
    [
        (["/nonexistent/program"], {}, r"role: cannot start: exec /nonexistent/program: .*No such file"),
        (["/etc/passwd"], {}, r"role: cannot start: exec /etc/passwd: .*Permission denied"),
        (["/bin/true", "a\0b"], {}, r"exec /bin/true: .*null byte"),
        (["/bin/true"], {"cwd": "/nonexistent"}, r"directory: .*No such file"),
        (["/bin/true"], {"nice": -5}, r"nice: .*Permission denied"),
        (["/bin/true"], {"fds": {5: 999}}, r"descriptors: .*Bad file descriptor"),
        (["/bin/true"], {"fds": {10**6: 0}}, r"start: .*Invalid argument"),
        (["/bin/true"], {"death_signal": 1000}, r"death signal: Unknown signal"),
        (["/bin/true"], {"identity": Identity(50001, 50001)}, r"identity: verify: user ids"),
        (["/bin/true"], {"identity": Identity(0, 50001)}, r"identity: .*root's"),
        (["/bin/true"], {"keep": frozenset({kernel.CAP_KILL})}, r"identity: an ordinary user has no capabilities"),
        (["/bin/true"], {"env": {"A=B": "c"}}, r"exec /bin/true: illegal environment variable name"),
    ],
)
def test_the_step_that_failed_is_named_and_nothing_is_left(argv, spec, message):
    def start():
        resource.setrlimit(resource.RLIMIT_NOFILE, (1000, 1000))
        spec.setdefault("fds", {})
        before = fds.open_descriptors()
        try:
            said_by(argv, **spec)
        except OperatorError as error:
            assert fds.open_descriptors() == before
            assert process_status.children_of(os.getpid()) == []
            return str(error)
        return "it was started"

    assert re.search(message, as_ordinary(start))


def test_a_failure_is_said_on_the_roles_own_output_too():
    def start():
        reader, writer = os.pipe()
        with pytest.raises(OperatorError):
            launch.launch(spec_of(["/nonexistent"], {2: writer}))
        return os.read(reader, 1000)

    said = as_ordinary(start)
    assert re.fullmatch(rb"role: cannot start: exec /nonexistent: .*No such file or directory.*\n", said)


@pytest.mark.parametrize("output", ["full", "closed"])
def test_an_output_that_nobody_reads_does_not_hold_the_failure(output):
    def start():
        reader, writer = os.pipe()
        if output == "closed":
            os.close(reader)
        else:
            os.set_blocking(writer, False)
            with pytest.raises(BlockingIOError):
                fill(writer)
            os.set_blocking(writer, True)
        try:
            launch.launch(spec_of(["/nonexistent"], {2: writer}))
        except OperatorError as error:
            return str(error)
        return ""

    assert "No such file" in as_ordinary(start)


def fill(writer):
    while True:
        os.write(writer, b"x" * 4096)


def test_what_is_ours_to_blame_is_refused_before_a_fork(monkeypatch):
    monkeypatch.setattr(os, "fork", None)
    for argv, numbers, message in (
        ([], (0, 1, 2), "no absolute path"),
        (["true"], (0, 1, 2), "no absolute path"),
        (["/bin/true"], (0, 2), "without 0, 1 and 2"),
    ):
        with pytest.raises(Bug, match=message):
            launch.launch(RoleSpec(name="role", argv=argv, fds=dict.fromkeys(numbers, 0), identity=Identity(5, 5)))


def test_no_role_of_roots_stays_root(monkeypatch):
    monkeypatch.setattr(os, "fork", None)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(Bug, match="no role runs as root"):
        launch.launch(RoleSpec(name="role", argv=["/bin/true"], fds={0: 0, 1: 1, 2: 2}))


def test_a_fork_that_fails_is_the_operators_business(monkeypatch):
    def refuse():
        raise BlockingIOError(11, "Resource temporarily unavailable")

    before = fds.open_descriptors()
    monkeypatch.setattr(os, "fork", refuse)
    with pytest.raises(OperatorError, match=r"cannot start: .*Resource temporarily unavailable"):
        launch.launch(RoleSpec(name="role", argv=["/bin/true"], fds={0: 0, 1: 1, 2: 2}, identity=Identity(5, 5)))
    assert fds.open_descriptors() == before
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()


def test_a_handler_that_raises_leaves_no_signal_blocked():
    def start():
        def stop(*args):
            raise KeyboardInterrupt

        def fork():
            os.kill(os.getpid(), signal.SIGUSR1)
            return real()

        signal.signal(signal.SIGUSR1, stop)
        real, os.fork = os.fork, fork
        with pytest.raises(KeyboardInterrupt):
            launch.launch(spec_of(["/bin/true"], {}))
        os.waitpid(-1, 0)
        return signal.pthread_sigmask(signal.SIG_BLOCK, ())

    assert as_ordinary(start) == set()


STEPS = ["setsid", "chdir", "umask", "execve", "getppid"]


@pytest.mark.parametrize("error", [OSError(5, "a surprise"), KeyboardInterrupt("a surprise"), SystemExit("a surprise")])
@pytest.mark.parametrize("step", STEPS)
def test_the_child_never_comes_back(step, error):
    """Whatever is raised in it, the parent's code after launch() runs once, in the parent."""

    def start():
        def refuse(*args):
            raise error

        us = os.getpid()
        setattr(os, step, refuse)
        reader, writer = os.pipe()
        try:
            launch.launch(spec_of(["/bin/true"], {}, death_signal=9))
        except OperatorError as problem:
            os.write(writer, f"{os.getpid() == us} {problem};".encode())
        return os.read(reader, 1000).decode()

    assert re.fullmatch(r"True role: cannot start: .*a surprise;", as_ordinary(start))


def test_a_parent_that_changed_is_noticed():
    def start():
        real = os.getppid
        os.getppid = lambda: real() + 1
        launch.launch(spec_of(["/bin/true"], {}, death_signal=9))

    with pytest.raises(OperatorError, match="death signal: the supervisor ended"):
        as_ordinary(start)


def test_a_descriptor_that_would_not_close_is_noticed():
    def start():
        fds.close_all_except = lambda keep: None
        launch.launch(spec_of(["/bin/true"], {}))

    with pytest.raises(OperatorError, match="descriptors: open are"):
        as_ordinary(start)


def test_a_child_that_hangs_is_ended(monkeypatch):
    def start():
        launch.LONGEST_START = 0.2
        os.chdir = lambda path: time.sleep(60)
        try:
            launch.launch(spec_of(["/bin/true"], {}))
        except OperatorError as error:
            return str(error), process_status.children_of(os.getpid())
        return "started", []

    assert as_ordinary(start) == ("role: cannot start: nothing happened for 0.2 s", [])


def test_the_handlers_of_the_parent_do_not_run_in_the_child():
    """A signal to the whole group between fork and exec: its wake-up pipe would get a byte that is not its own."""

    def start():
        os.setpgid(0, 0)
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer)
        signal.signal(signal.SIGUSR1, lambda *args: None)
        real = launch._default_signals
        parent = os.getpid()

        def signal_both():
            os.killpg(parent, signal.SIGUSR1)
            time.sleep(0.05)
            real()

        launch._default_signals = signal_both
        try:
            with reaped(launch.launch(spec_of(SLEEP, {}))):
                pass
        except OperatorError:
            pass
        return os.read(reader, 100)

    assert as_ordinary(start) == bytes([signal.SIGUSR1])


def test_who_we_are_may_be_said():
    about = as_ordinary(lambda: all_about(identity=current_identity()))
    assert process_status.parse(about["status"]).effective == 0


def test_a_spec_cannot_be_changed():
    spec = RoleSpec(name="role", argv=["/bin/true"], fds={})
    with pytest.raises(AttributeError):
        spec.keep = frozenset({1})
    assert spec.env == {}


def read(path):
    with open(path, "rb") as file:
        return file.read()


def test_the_padding_is_room_for_a_title():
    argv = ["ps", "-ww", "-o", "args=", "-p"]

    def start():
        with reaped(launch.launch(spec_of(SLEEP, {}))) as pid:
            shown = subprocess.run([*argv, str(pid)], capture_output=True, text=True).stdout
            return read(f"/proc/{pid}/cmdline"), shown

    cmdline, shown = as_ordinary(start)
    assert cmdline == "\0".join([*SLEEP, PADDING, ""]).encode()
    assert shown.rstrip() == " ".join(SLEEP)
