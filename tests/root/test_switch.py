"""Changing identity for real: uids without accounts, and every way back tried from inside."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import resource
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest

from itkwsgi.linux import by_ctypes, kernel, process_status, switch
from itkwsgi.linux.by_ctypes import mask
from itkwsgi.linux.identity import Identity, SwitchError, current_identity
from tests.support.forked import in_child, reaped
from tests.support.switching import BACKENDS, SITE, ZYGOTE, ZYGOTE_KEEPS, assert_is, become_site, begin, denied, facts

each_backend = pytest.mark.parametrize("backend", BACKENDS)
each_start = pytest.mark.parametrize("start", ["root", "zygote"])


# --- Where it leads


@each_backend
@each_start
def test_a_site_is_its_user_and_nothing_more(start, backend):
    def change():
        begin(start)
        become_site(BACKENDS[backend])
        return facts(), kernel.get_securebits(), kernel.get_dumpable(), kernel.get_no_new_privs()

    found, *numbers = in_child(change)
    assert_is(found, SITE)
    assert found["no_new_privs"]
    assert numbers == [0xEF, 0, True]


@each_backend
def test_a_zygote_keeps_four_capabilities(backend):
    def change():
        switch.become(ZYGOTE, BACKENDS[backend], privileged=True, keep=ZYGOTE_KEEPS)
        before = facts()
        switch.drop_ambient()
        return before, facts(), kernel.get_securebits()

    before, after, securebits = in_child(change)
    kept = mask(ZYGOTE_KEEPS)
    assert kept == 0x8000E0
    assert_is(before, ZYGOTE, kept, kept)
    assert_is(after, ZYGOTE, kept)
    assert securebits == 0xEF


@contextlib.contextmanager
def waiting_site(dumpable):
    """A process that became the site, and waits; its pid."""
    said, saying = os.pipe()
    gate, opener = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(opener)
            become_site()
            kernel.set_dumpable(dumpable)
            os.write(saying, b"x")
            os.read(gate, 1)
        finally:
            os._exit(0)
    with reaped(pid):
        os.close(saying)
        assert os.read(said, 1) == b"x"
        yield pid
    for fd in (said, gate, opener):
        os.close(fd)


def test_it_is_seen_from_outside():
    with waiting_site(dumpable=False) as pid:
        assert_is(facts(pid), SITE)


def test_groups_may_be_none_or_many():
    for groups in ((), tuple(range(60000, 60500))):
        identity = Identity(50002, 50012, groups)

        def change(identity=identity):
            switch.become(identity, by_ctypes, privileged=True)
            return facts()

        assert_is(in_child(change), identity)


def test_roots_own_groups_do_not_stay():
    def change():
        os.setgroups([0, 4, 27, 50031])
        become_site()
        return os.getgroups()

    assert in_child(change) == list(SITE.groups)


def test_a_former_identity_does_not_stay_in_the_saved_ids():
    def change():
        os.setresgid(50099, 50012, 0)
        os.setresuid(50098, 0, 50097)
        become_site()
        return facts()

    assert_is(in_child(change), SITE)


@each_start
def test_no_new_privs_may_be_left_off(start):
    def change():
        if start == "zygote":
            switch.become(ZYGOTE, by_ctypes, privileged=True, keep=ZYGOTE_KEEPS, no_new_privs=False)
            switch.drop_ambient()
        become_site(no_new_privs=False)
        return facts()

    found = in_child(change)
    assert_is(found, SITE)
    assert not found["no_new_privs"] or process_status.read().no_new_privs


def test_a_site_cannot_become_another():
    def change():
        become_site()
        switch.become(Identity(50003, 50013), by_ctypes, privileged=True)

    with pytest.raises(SwitchError, match=r"setgroups: .*not permitted"):
        in_child(change)


def test_what_a_login_handed_down_to_an_ordinary_user_is_given_up():
    wake_alarm = frozenset({35})

    def change():
        kernel.set_keep_caps(True)
        os.setgroups([50002])
        os.setresgid(50002, 50002, 50002)
        os.setresuid(50002, 50002, 50002)
        by_ctypes.set_capabilities(wake_alarm, wake_alarm)
        by_ctypes.raise_ambient(wake_alarm)
        before = process_status.read().ambient
        switch.become(current_identity(), by_ctypes, privileged=False)
        return before, facts()

    before, found = in_child(change)
    assert before == mask(wake_alarm)
    assert found["permitted"] == found["effective"] == found["inheritable"] == found["ambient"] == 0


# --- No way back


@each_start
def test_every_way_back_is_closed(start):
    def change():
        begin(start)
        become_site()
        ways = {
            "setuid": lambda: os.setuid(0),
            "seteuid": lambda: os.seteuid(0),
            "setresuid": lambda: os.setresuid(-1, -1, 0),
            "setresuid to the zygote": lambda: os.setresuid(-1, ZYGOTE.uid, -1),
            "setgid": lambda: os.setgid(0),
            "setresgid": lambda: os.setresgid(-1, -1, 0),
            "setresgid to the zygote": lambda: os.setresgid(-1, ZYGOTE.gid, -1),
            "initgroups": lambda: os.initgroups("root", 0),
            "setgroups": lambda: os.setgroups([]),
            "signal init": lambda: os.kill(1, 0),
            "signal the parent": lambda: os.kill(os.getppid(), 0),
            "chroot": lambda: os.chroot("/"),
            "nice": lambda: os.setpriority(os.PRIO_PROCESS, 0, -10),
            "read": lambda: open("/etc/shadow", "rb").close(),
            "chown": lambda: os.chown("/etc/passwd", 50002, 50012),
        }
        return [name for name, way in ways.items() if not denied(way)], facts()

    not_denied, found = in_child(change)
    assert not_denied == []
    assert_is(found, SITE)


@pytest.fixture
def setuid_cat():
    """A copy of cat that is root's and setuid, where everybody can execute it."""
    place = Path(tempfile.mkdtemp(prefix="itkwsgi-test-"))
    try:
        place.chmod(0o755)
        program = place / "cat"
        shutil.copyfile("/bin/cat", program)
        program.chmod(0o6755)
        if os.statvfs(place).f_flag & os.ST_NOSUID:
            pytest.skip(f"{place} is on a file system mounted nosuid")
        assert program.stat().st_mode & stat.S_ISUID
        yield str(program)
    finally:
        shutil.rmtree(place)


def status_of_program(program):
    said = subprocess.run([program, "/proc/self/status"], capture_output=True, check=True).stdout
    status = process_status.parse(said.decode("latin-1"))
    return status.uids, status.gids, status.permitted | status.effective | status.ambient


@each_start
def test_a_setuid_program_gives_nothing(setuid_cat, start):
    def change():
        begin(start)
        become_site()
        return status_of_program(setuid_cat)

    assert in_child(change) == ((SITE.uid,) * 4, (SITE.gid,) * 4, 0)


def test_without_no_new_privs_a_setuid_program_gives_a_uid_but_no_capability(setuid_cat):
    """The control of the test above, and what an administrator allows who sets no_new_privs = false."""
    if process_status.read().no_new_privs:
        pytest.skip("these tests run with no_new_privs themselves")

    def change():
        become_site(no_new_privs=False)
        return status_of_program(setuid_cat)

    uids, gids, capabilities = in_child(change)
    assert (uids[1], gids[1]) == (0, 0)
    assert capabilities == 0


def test_a_program_started_by_a_zygote_gets_none_of_its_capabilities():
    def change():
        begin("zygote")
        return status_of_program("/bin/cat")

    assert in_child(change) == ((ZYGOTE.uid,) * 4, (ZYGOTE.gid,) * 4, 0)


@pytest.mark.parametrize("dumpable", [False, True])
def test_another_process_of_the_user_cannot_read_our_memory(dumpable):
    """A pool may be made dumpable again, later, when it holds nothing secret: the control."""

    def peek(pid):
        os.setgroups(SITE.groups)
        os.setresgid(*[SITE.gid] * 3)
        os.setresuid(*[SITE.uid] * 3)
        return denied(lambda: open(f"/proc/{pid}/mem", "rb").close())

    with waiting_site(dumpable) as pid:
        assert in_child(peek, pid) is not dumpable


def test_a_zygote_cannot_hand_on_what_it_dropped():
    def change():
        begin("zygote")
        kept = mask(ZYGOTE_KEEPS)
        return denied(kernel.capset, kept, kept, kept), denied(kernel.ambient_raise, kernel.CAP_SETUID), facts()

    *are_denied, found = in_child(change)
    assert are_denied == [True, True]
    assert_is(found, ZYGOTE, mask(ZYGOTE_KEEPS))


# --- Keys

libc = ctypes.CDLL(None, use_errno=True)
ADD_KEY = {"x86_64": 248, "aarch64": 217}.get(os.uname().machine)
SESSION_KEYRING = -3
KEYCTL_READ = 11


def read_key(serial):
    room = ctypes.create_string_buffer(100)
    size = libc.syscall(kernel._SYS_KEYCTL[os.uname().machine], KEYCTL_READ, serial, room, 100)
    return os.strerror(ctypes.get_errno()) if size < 0 else room.raw[:size]


@pytest.mark.skipif(ADD_KEY is None, reason="no call number for this machine")
@pytest.mark.parametrize("leaves", [True, False])
@each_start
def test_a_key_in_the_session_is_not_handed_down(start, leaves):
    """A session keyring is inherited, and what is in it readable, whatever the uid: the control shows it."""

    def change():
        begin(start)
        kernel.join_new_session_keyring()
        serial = libc.syscall(ADD_KEY, b"user", b"itkwsgi-test", b"a secret", 8, SESSION_KEYRING)
        assert serial > 0, os.strerror(ctypes.get_errno())
        before = read_key(serial)
        if not leaves:
            kernel.join_new_session_keyring = lambda: None
        become_site()
        return before, read_key(serial)

    assert in_child(change) == (b"a secret", "Permission denied" if leaves else b"a secret")


@pytest.mark.parametrize(
    ("error", "is_fatal"),
    [
        (OSError(errno.ENOSYS, "no keys in this kernel"), False),
        (OSError(errno.EPERM, "denied by a filter"), False),
        (OSError(errno.EDQUOT, "too many"), True),
        (NotImplementedError("no number"), True),
    ],
)
def test_a_keyring_that_cannot_be_left(error, is_fatal):
    def change():
        def refuse():
            raise error

        kernel.join_new_session_keyring = refuse
        try:
            become_site()
        except SwitchError as problem:
            return str(problem)
        return ""

    assert in_child(change).startswith("session keyring: ") is is_fatal


# --- Process limits


def test_a_user_at_its_process_limit_cannot_fork():
    """Linux since 3.1 lets setresuid pass and refuses what follows; before that, setresuid itself."""

    def change():
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
        try:
            become_site()
        except SwitchError as error:
            return str(error)
        try:
            pid = os.fork()
        except BlockingIOError:
            return "fork: EAGAIN"
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        return "it forked"

    assert in_child(change) in ("fork: EAGAIN", "setresuid: (as it is for a user at its RLIMIT_NPROC)")


# --- A user namespace in which root does not exist

CLONE_NEWUSER = 0x10000000


@pytest.fixture
def _user_namespaces():
    """Not every kernel gives them, and none does below a chroot (user_namespaces(7))."""
    if in_child(libc.unshare, CLONE_NEWUSER) != 0:
        pytest.skip("no user namespaces here: this kernel, a sysctl or a chroot forbids them")


def in_namespace(function):
    """Call it in a child whose user namespace has the ids from 50000 to 50099 and no others; what it returned."""

    def confined():
        assert libc.unshare(CLONE_NEWUSER) == 0, os.strerror(ctypes.get_errno())
        os.write(ready, b"x")
        assert os.read(mapped, 1) == b"x"
        return function()

    is_ready, ready = os.pipe()
    mapped, map_it = os.pipe()
    mapper = os.fork()
    if mapper == 0:
        try:
            os.read(is_ready, 1)
            (child,) = set(process_status.children_of(os.getppid())) - {os.getpid()}
            for which in ("uid", "gid"):
                Path(f"/proc/{child}/{which}_map").write_text("50000 50000 100")
            os.write(map_it, b"x")
        finally:
            os._exit(0)
    try:
        with reaped(mapper):
            return in_child(confined)
    finally:
        for fd in (is_ready, ready, mapped, map_it):
            os.close(fd)


@pytest.mark.usefixtures("_user_namespaces")
def test_where_root_does_not_exist_there_is_no_way_back_either():
    def change():
        before = facts()["uids"]
        switch.become(ZYGOTE, by_ctypes, privileged=True, keep=ZYGOTE_KEEPS)
        switch.drop_ambient()
        zygote = facts()
        become_site()
        return before, zygote, facts()

    before, zygote, site = in_child(in_namespace, change)
    assert before == (65534,) * 4  # how an id that has no name here is shown
    assert_is(zygote, ZYGOTE, mask(ZYGOTE_KEEPS))
    assert_is(site, SITE)


@pytest.mark.usefixtures("_user_namespaces")
def test_where_an_id_does_not_exist_nobody_becomes_it():
    def change():
        switch.become(Identity(60000, 50001), by_ctypes, privileged=True)

    with pytest.raises(SwitchError, match=r"setresuid: .*Invalid argument"):
        in_child(in_namespace, change)
