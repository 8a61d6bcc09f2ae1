"""A front and the log that are taken over: started as the supervisor starts them, confined by their own main, and then
somebody else's (tests/support/taken_over.py).  What each attack comes to stands here, with the role's walls and, as the
control, without: there only its user and the kernel's own rules stop it.
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from itkwsgi.config.model import Config, Ids
from itkwsgi.linux import landlock
from itkwsgi.supervisor import places as places_module
from itkwsgi.supervisor.loglink import LogLink
from itkwsgi.supervisor.roles import Launcher
from tests.support.configured import LISTEN, make_server, make_vhost
from tests.support.forked import reaped
from tests.support.tenants import public_place

SCRIPT = Path(__file__).parents[1] / "support" / "taken_over.py"
FRONT, LOG, ZYGOTE, SITE = 50401, 50402, 50403, 50404
SECONDS = 20.0

needs_landlock = pytest.mark.skipif(landlock.abi() < 6, reason="needs Landlock 6 (Linux 6.12)")

# What comes of it without the walls, where that is not "done": the role's user is no other's, and has no capability.
BY_ITSELF = {
    "become_root": "EPERM",
    "become_a_site": "EPERM",
    "take_a_group": "EPERM",
    "take_a_capability": "EPERM",
    "signal_a_site": "EPERM",
    "signal_root": "EPERM",
    "read_a_sites_environment": "EACCES",
    "read_a_sites_file": "EACCES",
    "open_by_handle": "EPERM",
    "make_a_mount_namespace": "EPERM",
    "join_a_namespace": "EINVAL",  # it is its own
    "load_a_program_into_the_kernel": {"EPERM", "EINVAL"},  # kernel.unprivileged_bpf_disabled
    "mount_something": {"EPERM", "EFAULT"},
    "change_its_root": "EPERM",
    "rename_in_its_own_place": "ENOENT",
    "type_into_a_terminal": "EPERM",  # not its own
    "make_an_algorithm_socket": {"done", "EAFNOSUPPORT"},
}

# What Landlock stops in a front, which may open files; everything else the filter does.
BY_LANDLOCK = {
    "open_memory", "read_an_environment", "read_a_sites_environment", "list_processes", "read_a_sites_file",
    "read_what_everybody_may", "read_it_by_another_way", "read_passwords", "write_where_everybody_may",
    "empty_what_everybody_may_write", "list_a_directory", "turn_a_listener_around",
}  # fmt: skip


class TakenOver(Launcher):
    """Launches a role's own main, and then another's code in it."""

    how = "confined"

    def own_role(self, name):
        return [sys.executable, "-I", str(SCRIPT), name, self.how]


@pytest.fixture(scope="module")
def place():
    with public_place("taken-over") as path:
        yield path


@contextlib.contextmanager
def running(uid, code):
    """A process of that user that says a line and waits; what it said."""
    argv = [sys.executable, "-I", "-c", f"{code}\nimport signal; signal.pause()"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, user=uid, group=uid, extra_groups=[], text=True) as process:
        try:
            yield process.pid, process.stdout.readline().strip()
        finally:
            process.kill()


@contextlib.contextmanager
def described(place, uid):
    """The facts for the attacks, and the descriptors that come along: a machine with others on it."""
    private, public, writable = place / "private", place / "public", place / "writable"
    for path, mode in ((private, 0o600), (public, 0o644), (writable, 0o666)):
        path.write_text("a site's own")
        os.chown(path, SITE, SITE)
        path.chmod(mode)
    everybodys = place / "open"
    everybodys.mkdir(exist_ok=True)
    everybodys.chmod(0o1777)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=64))
        abstract = stack.enter_context(socket.socket(socket.AF_UNIX))
        abstract.bind(f"\0itkwsgi-test-{os.getpid()}")
        abstract.listen(64)
        with_path = stack.enter_context(socket.socket(socket.AF_UNIX))
        path = place / f"{uid}-{os.urandom(4).hex()}.sock"
        with_path.bind(str(path))
        path.chmod(0o666)
        with_path.listen(64)
        code = "import ctypes; b = ctypes.create_string_buffer(b'secret!!'); print(ctypes.addressof(b), flush=True)"
        sibling, address = stack.enter_context(running(uid, code))
        victim, _ = stack.enter_context(running(SITE, "print(flush=True)"))
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(4)]
        facts = {
            "site": SITE, "victim": victim, "sibling": sibling, "address": int(address), "supervisor": os.getpid(),
            "private": str(private), "public": str(public), "writable": str(writable), "open": str(everybodys),
            "port": server.getsockname()[1], "abstract": abstract.getsockname()[1:].decode(),
            "path": str(path),
        }  # fmt: skip
        descriptors = [os.open("/bin/echo", os.O_PATH), os.pidfd_open(sibling), *pty.openpty()]
        for fd in descriptors:
            stack.callback(os.close, fd)
        program, pidfd, _, terminal = descriptors
        yield facts, [program, pidfd, terminal, *(sock.fileno() for sock in listeners)]


@contextlib.contextmanager
def launcher(kind, base):
    """As the supervisor has it, for a front and a log with users of their own; and the link to the log."""
    ids = {"front_ids": Ids(FRONT, FRONT, ()), "log_ids": Ids(LOG, LOG, ()), "zygote_ids": Ids(ZYGOTE, ZYGOTE, ())}
    base.mkdir()
    config = Config(f"{base}/itk.toml", make_server(base, **ids), {}, (make_vhost(0),), (), (LISTEN,))
    link = LogLink(lambda seconds, callback: None)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield kind(config, places_module.prepare(config, privileged=True), [listener], link, privileged=True)
    for key in list(link.sources):
        link.remove(key)


def outcomes(place, role, how):
    """Launch the role as the supervisor does; what each attack came to."""
    with launcher(TakenOver, place / f"{role}-{how}") as made:
        made.how = how
        started = made.start_front(0) if role == "front" else made.start_log()
        with started.channel, reaped(started.pid), described(place, FRONT if role == "front" else LOG) as (facts, fds):
            started.channel.setblocking(True)
            socket.send_fds(started.channel, [json.dumps(facts).encode()], fds)
            return dict(iter(lambda: heard(started.channel, made.log), []))


def heard(channel, link):
    """The next report; what the role wrote on its stderr when there is none."""
    if select.select([channel], [], [], SECONDS)[0] and (data := channel.recv(65536)):
        return json.loads(data)
    raise AssertionError(f"it said nothing more: {notes(link)}")


def notes(link):
    """What a front wrote on its stderr."""
    return "".join(os.read(fds[0], 65536).decode() for key, (_, fds) in link.sources.items() if key.startswith("notes"))


@pytest.fixture(scope="module")
def front(place):
    return outcomes(place, "front", "confined")


@pytest.fixture(scope="module")
def log(place):
    return outcomes(place, "log", "confined")


@pytest.fixture(scope="module", params=["front", "log"])
def free(place, request):
    return outcomes(place, request.param, "free")


def differing(found, wanted):
    """What is not as it is to be, by the attack's name: found, wanted."""
    return {
        name: (result, wanted(name))
        for name, result in found.items()
        if result not in ({wanted(name)} if isinstance(wanted(name), str) else wanted(name))
    }


def test_without_its_walls_a_role_can_do_all_that_its_user_can(free):
    """The control.  Each attack works by itself, or else is stopped by who the role is, as the table says."""
    assert len(free) >= 55
    assert differing(free, lambda name: BY_ITSELF.get(name, "done")) == {}


@needs_landlock
def test_a_front_that_is_taken_over_can_do_next_to_nothing_of_it(front):
    wanted = {
        **dict.fromkeys(BY_LANDLOCK, "EACCES"),
        "load_a_library": "ImportError",
        # Not stopped: it is how a front reaches its pools, and Landlock asks for neither.
        "reach_a_socket_that_has_a_path": "done",
        "look_at_a_file_from_outside": "done",
    }
    assert len(front) >= 55
    assert differing(front, lambda name: wanted.get(name, "EPERM")) == {}


def test_a_log_that_is_taken_over_can_do_nothing_of_it(log):
    assert len(log) >= 55
    assert differing(log, lambda name: "ModuleNotFoundError" if name == "load_a_library" else "EPERM") == {}


@needs_landlock
def test_a_front_that_cannot_be_confined_serves_nobody(place):
    with launcher(Launcher, place / "no-spool") as made:
        os.rmdir(made.places.bodies)
        front = made.start_front(0)
        with front.channel:
            assert os.waitstatus_to_exitcode(os.waitpid(front.pid, 0)[1]) == 1
            assert front.channel.recv(100) == b""
        missing = f"[Errno 2] No such file or directory: '{made.places.bodies}'"
        assert notes(made.log) == f"itkwsgi front: the front cannot be confined: {missing}\n"
