"""Launching roles for real: root, fork, another user, exec; and from a zygote on to a site."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import pytest

import itkwsgi
from itkwsgi.errors import OperatorError
from itkwsgi.linux import fds, kernel, launch, process_status
from itkwsgi.linux.identity import Identity
from itkwsgi.linux.launch import RoleSpec
from tests.support.forked import in_child, reaped, said_by

FRONT = Identity(50001, 50011, (50021,))
ZYGOTE = Identity(50004, 50014, (50024,))
ZYGOTE_KEEPS = frozenset({kernel.CAP_SETUID, kernel.CAP_SETGID, kernel.CAP_SYS_NICE, kernel.CAP_KILL})
PYTHON = [sys.executable, "-I", "-S", "-c"]
SLEEP = [*PYTHON, "import time; time.sleep(60)"]
TOP = os.path.dirname(os.path.dirname(itkwsgi.__file__))

HEAD = f"""
import json, os, sys
sys.path.insert(0, {TOP!r})
from itkwsgi.linux import by_ctypes, fds, kernel, process_status, switch
from itkwsgi.linux.identity import Identity
with open("/proc/self/environ") as file:  # now: nobody but root may open it when we are non-dumpable
    ENVIRON = file.read()
def facts():
    status = process_status.read()
    return {{
        "status": {{name: getattr(status, name) for name in status.__slots__}}, "fds": fds.open_descriptors(),
        "securebits": kernel.get_securebits(), "death signal": kernel.get_death_signal(),
        "dumpable": kernel.get_dumpable(), "sid": os.getsid(0), "pid": os.getpid(), "cwd": os.getcwd(),
        "environ": ENVIRON, "nice": os.getpriority(os.PRIO_PROCESS, 0),
    }}
"""
TELL = HEAD + "print(json.dumps(facts()))"

# What a zygote does: drop what could be handed on, fork, and become the site in the fork.
CHAIN = (
    HEAD
    + """
found = [facts()]
switch.drop_ambient()
found.append(facts())
reader, writer = os.pipe()
pid = os.fork()
if pid == 0:
    try:
        switch.become(Identity(50002, 50012, (50031, 50032)), by_ctypes, privileged=True)
        os.write(writer, json.dumps(facts()).encode())
    except BaseException as error:
        os.write(writer, json.dumps(repr(error)).encode())
    finally:
        os._exit(0)
os.waitpid(pid, 0)
found.append(json.loads(os.read(reader, 65536)))
print(json.dumps(found))
"""
)


def assert_is(status, identity, kept=0, ambient=0):
    assert status["uids"] == [identity.uid] * 4
    assert status["gids"] == [identity.gid] * 4
    assert status["groups"] == list(identity.groups)
    assert status["permitted"] == status["effective"] == kept
    assert status["inheritable"] == status["ambient"] == ambient
    assert status["bounding"] == 0
    assert status["no_new_privs"]


def test_a_front_has_no_capability_and_only_its_descriptors():
    listener = os.open("/dev/zero", os.O_RDONLY)
    settings = fds.memfd_with(b"{}", "settings")
    spec = {"identity": FRONT, "cwd": "/usr", "nice": -5, "death_signal": signal.SIGKILL}
    found = json.loads(said_by([*PYTHON, TELL], {4: settings, 5: listener}, **spec))
    os.close(listener)
    os.close(settings)
    assert_is(found["status"], FRONT)
    assert found["securebits"] == 0xEF
    assert found["death signal"] == signal.SIGKILL
    assert (found["sid"], found["cwd"], found["environ"], found["nice"]) == (found["pid"], "/usr", "", -5)
    assert {int(fd) for fd in found["fds"]} == {0, 1, 2, 4, 5}
    assert found["fds"]["5"] == "/dev/zero"


def test_the_chain_from_root_by_a_zygote_to_a_site():
    said = said_by([*PYTHON, CHAIN], identity=ZYGOTE, keep=ZYGOTE_KEEPS, death_signal=signal.SIGKILL)
    after_exec, dropped, site = json.loads(said)
    kept = 0x8000E0
    assert_is(after_exec["status"], ZYGOTE, kept, kept)
    assert_is(dropped["status"], ZYGOTE, kept)
    assert_is(site["status"], Identity(50002, 50012, (50031, 50032)))
    assert [step["securebits"] for step in (after_exec, dropped, site)] == [0xEF] * 3
    # Not forgotten at the exec, though capabilities came with it; forgotten at the fork.
    assert [step["death signal"] for step in (after_exec, dropped, site)] == [signal.SIGKILL, signal.SIGKILL, 0]
    # exec makes a process dumpable again, the switch does not leave it so.
    assert [step["dumpable"] for step in (after_exec, dropped, site)] == [1, 1, 0]


def test_the_chain_ends_where_a_capability_is_missing():
    """The control: a zygote that may not change its groups makes no site."""
    keep = ZYGOTE_KEEPS - {kernel.CAP_SETGID}
    *_, site = json.loads(said_by([*PYTHON, CHAIN], identity=ZYGOTE, keep=keep))
    assert "SwitchError('setgroups: " in site


def spec_of(argv, more=None, **spec):
    null = os.open("/dev/null", os.O_RDWR)
    return RoleSpec(name="role", argv=argv, fds={0: null, 1: null, 2: null, **(more or {})}, **spec)


@pytest.mark.parametrize("keep", [frozenset(), ZYGOTE_KEEPS])
def test_a_role_of_another_user_dies_with_its_parent(keep):
    def start():
        kernel.set_subreaper()
        reader, writer = os.pipe()
        between = os.fork()
        if between == 0:
            try:
                spec = {"identity": ZYGOTE, "keep": keep, "death_signal": signal.SIGKILL}
                launch.launch(spec_of(SLEEP, {9: writer}, **spec))
            finally:
                os._exit(0)
        os.close(writer)
        os.waitpid(between, 0)
        begin = time.monotonic()
        assert os.read(reader, 1) == b""
        os.waitpid(-1, 0)
        return time.monotonic() - begin

    assert in_child(start) < 10


@pytest.fixture
def place():
    """A directory that others may enter."""
    path = Path(tempfile.mkdtemp(prefix="itkwsgi-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def failure(argv, **spec):
    def start():
        before = fds.open_descriptors()
        try:
            said_by(argv, **{"identity": FRONT, **spec})
        except OperatorError as error:
            assert process_status.children_of(os.getpid()) == []
            assert fds.open_descriptors() == before
            return str(error)
        return "it was started"

    return in_child(start)


def test_a_program_that_only_root_may_execute_is_not_executed(place):
    program = place / "program"
    shutil.copyfile("/bin/true", program)
    program.chmod(0o700)
    assert failure([str(program)]) == f"role: cannot start: exec {program}: [Errno 13] Permission denied: '{program}'"
    program.chmod(0o755)
    assert failure([str(program)]) == "it was started"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"identity": Identity(0, 50001)}, "identity: Identity(uid=0, gid=50001, groups=()) has an id of root's"),
        ({"identity": Identity(50001, 50001, (0,))}, "has an id of root's"),
        ({"keep": frozenset({99})}, "identity: [99] are not all capabilities of this kernel"),
    ],
)
def test_an_identity_that_may_not_be_is_not_taken(spec, message):
    assert message in failure(["/bin/true"], **spec)


def test_a_switch_that_fails_never_gets_to_the_exec():
    def start():
        real = os.setresuid
        os.setresuid = lambda *ids: None
        reader, writer = os.pipe()
        try:
            launch.launch(spec_of(["/bin/echo", "executed"], {1: writer}, identity=FRONT))
        except OperatorError as error:
            os.setresuid = real
            os.close(writer)
            return str(error), os.read(reader, 100), process_status.children_of(os.getpid())
        return "started", b"", []

    message, said, children = in_child(start)
    assert message.startswith("role: cannot start: identity: verify: user ids: (0, 0, 0, 0)")
    assert (said, children) == (b"", [])


@pytest.mark.parametrize("others", [0, 1])
def test_a_user_at_its_process_limit_is_told_at_the_exec(others):
    """setresuid passes, since Linux 3.1, and the exec is refused for it; it counts the user's other processes only."""
    crowded = Identity(50077, 50077)

    def start():
        with contextlib.ExitStack() as running:
            for _ in range(others):
                running.enter_context(reaped(launch.launch(spec_of(SLEEP, identity=crowded))))
            resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
            try:
                running.enter_context(reaped(launch.launch(spec_of(["/bin/true"], identity=crowded))))
            except OperatorError as error:
                return str(error)
        return "it was started"

    message = in_child(start)
    if others:
        assert "Resource temporarily unavailable" in message
        assert "exec /bin/true" in message or "setresuid" in message
    else:
        assert message == "it was started"


def test_a_role_with_nobody_to_become_is_refused_to_root():
    assert os.geteuid() == 0
    with pytest.raises(Exception, match="no role runs as root"):
        launch.launch(spec_of(["/bin/true"]))


def test_the_parent_is_as_it_was():
    def start():
        before = process_status.read(), kernel.get_securebits(), os.umask(0o22), os.getcwd(), os.getsid(0)
        with reaped(launch.launch(spec_of(["/bin/true"], identity=FRONT, cwd="/usr", umask=0))):
            pass
        after = process_status.read(), kernel.get_securebits(), os.umask(0o22), os.getcwd(), os.getsid(0)
        return repr(before[0]) == repr(after[0]), before[1] == after[1], after[2] == 0o22, before[3:] == after[3:]

    assert in_child(start) == (True, True, True, True)
