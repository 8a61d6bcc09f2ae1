from __future__ import annotations

import ctypes
import errno
import os
import signal
import socket
import sys
import sysconfig
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itkwsgi.linux import kernel, landlock, rulesets
from tests.support.forked import as_ordinary
from tests.support.ground import a_ground

ABI = landlock.abi()
needs_6 = pytest.mark.skipif(ABI < 6, reason=f"Landlock {ABI} on this kernel, and this needs 6")


@pytest.fixture
def ground():
    with a_ground() as ground:
        yield ground


# --- What each version handles

RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16, 6: 16, 7: 16}  # how many rights on files; headers of the kernels


@pytest.mark.parametrize(("abi", "count"), [(0, 0), *RIGHTS.items(), (8, 16), (99, 16)])
def test_rights_on_files(abi, count):
    assert rulesets.file_rights(abi) == (1 << count) - 1


@given(st.integers(0, 20), st.integers(0, 20))
def test_a_newer_version_takes_away_no_less(one, other):
    older, newer = sorted((one, other))
    for what in (rulesets.file_rights, rulesets.net_rights, rulesets.scopes, rulesets.log_flags):
        assert what(older) & ~what(newer) == 0


@pytest.mark.parametrize(
    ("what", "first"), [(rulesets.net_rights, 4), (rulesets.scopes, 6), (rulesets.log_flags, 7)], ids=lambda x: str(x)
)
def test_first_known_in(what, first):
    assert (what(first - 1), bool(what(first))) == (0, True)


def apply(table):
    kernel.set_no_new_privs()
    landlock.restrict(table)


@pytest.mark.skipif(not ABI, reason="no Landlock on this kernel")
@pytest.mark.parametrize("version", range(1, min(ABI, 7) + 1))
def test_the_kernel_takes_the_tables_of_every_version_it_knows(version):
    as_ordinary(apply, rulesets.files_table(version, [("/", rulesets.ALL, True)]))
    as_ordinary(apply, rulesets.front_table(version, "/tmp"))
    as_ordinary(apply, rulesets.log_table(version))
    if version >= 2:
        as_ordinary(apply, rulesets.domain_table(version))


def test_without_landlock_the_roles_have_no_table():
    assert rulesets.front_table(0, "/tmp") is None
    assert rulesets.log_table(0) is None


# --- A domain and nothing else


def open_memory(pid):
    os.close(os.open(f"/proc/{pid}/mem", os.O_RDWR))


@needs_6
def test_a_domain_keeps_from_tracing_and_from_nothing_else(ground):
    def in_domain():
        apply(rulesets.domain_table(ABI))
        ground.file.write_text("x")
        os.rename(ground.inside / "file", ground.outside / "new")
        os.rename(ground.outside / "empty", ground.inside / "moved")
        os.link(ground.inside / "hard", ground.outside / "again")
        nameless = os.open(ground.inside, os.O_TMPFILE | os.O_WRONLY, 0o600)
        os.link(f"/proc/self/fd/{nameless}", ground.outside / "named", src_dir_fd=nameless)
        os.kill(ground.outsider, signal.SIGCONT)
        open_memory(ground.outsider)

    as_ordinary(open_memory, ground.outsider)
    with pytest.raises(PermissionError) as refusal:
        as_ordinary(in_domain)
    assert refusal.value.filename == f"/proc/{ground.outsider}/mem"
    assert ground.file.read_text() == "x"


# --- Our own roles


def read_passwd(ground):
    Path("/etc/passwd").read_bytes()


def read_outside(ground):
    ground.file.read_bytes()


def create_outside(ground):
    (ground.outside / "new").write_text("x")


def list_root(ground):
    os.listdir("/")


def read_anothers_status(ground):
    Path(f"/proc/{ground.outsider}/status").read_bytes()


def connect(ground):
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client:
        client.connect(server.getsockname())


def bind(ground):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))


def connect_abstract(ground):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect("\0" + ground.abstract)


def signal_outsider(ground):
    os.kill(ground.outsider, 0)


def rename_within_spool(ground):
    os.mkdir(ground.inside / "sub")


def execute(ground):
    os.posix_spawn(sys.executable, [sys.executable, "-I", "-S", "-c", ""], {})


ATTEMPTS = (
    read_passwd, read_outside, create_outside, list_root, read_anothers_status, connect, bind, connect_abstract,
    signal_outsider, rename_within_spool, execute,
)  # fmt: skip


@needs_6
@pytest.mark.parametrize("role", ["front", "log"])
@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: attempt.__name__)
def test_denied_to_a_role(ground, role, attempt):
    table = rulesets.front_table(ABI, str(ground.inside)) if role == "front" else rulesets.log_table(ABI)

    def as_role():
        apply(table)
        attempt(ground)

    as_ordinary(attempt, ground)
    ground.lay()
    with pytest.raises(OSError) as refusal:
        as_ordinary(as_role)
    assert refusal.value.errno in (errno.EACCES, errno.EPERM)


@needs_6
def test_a_front_does_its_work(ground):
    """A listener from before, bodies of both kinds, modules that are still to be imported, its pools' sockets."""
    path = str(ground.outside / "pool")
    pool = socket.socket(socket.AF_UNIX)
    pool.bind(path)
    os.chmod(path, 0o666)
    pool.listen()
    listener = socket.create_server(("127.0.0.1", 0))

    def front():
        apply(rulesets.front_table(ABI, str(ground.inside)))
        os.write(os.open(ground.inside, os.O_TMPFILE | os.O_RDWR, 0o600), b"x")
        (ground.inside / "body").write_bytes(b"x")
        os.unlink(ground.inside / "body")
        socket.socket(socket.AF_UNIX).connect(path)
        Path("/proc/self/status").read_bytes()
        os.open("/dev/null", os.O_RDWR)
        ctypes.CDLL(os.path.realpath(sysconfig.get_path("stdlib") + "/lib-dynload/") + "/" + an_extension())
        import wave  # noqa: F401 - one that nothing here has imported

        return listener.accept()[0].recv(1)

    with pool, listener, socket.create_connection(listener.getsockname()) as visitor:
        visitor.send(b"x")
        assert as_ordinary(front) == b"x"


def an_extension():
    return next(name for name in os.listdir(sysconfig.get_path("stdlib") + "/lib-dynload") if name.endswith(".so"))
