"""How a front and the log confine themselves: in which order, what is looked at, and what a failure says."""

import errno
import os
import socket
import threading

import pytest

from itkwsgi.errors import OperatorError
from itkwsgi.linux import filters, landlock, process_status, sandbox, seccomp
from tests.support.forked import as_ordinary, in_child
from tests.support.tenants import public_place

needs_landlock = pytest.mark.skipif(not landlock.abi(), reason="needs Landlock")
whoever = pytest.mark.parametrize("child", [in_child, as_ordinary] if os.geteuid() == 0 else [as_ordinary])


@pytest.fixture
def place():
    with public_place("sandbox") as path:
        path.chmod(0o1777)
        (path / "spool").mkdir()
        (path / "spool").chmod(0o1777)
        (path / "site").write_text("for everybody to read")
        yield path


def tried(function, *arguments):
    """The errno, 0 when it went well."""
    try:
        fd = function(*arguments)
    except OSError as error:
        return error.errno
    if isinstance(fd, int) and fd > 2:
        os.close(fd)
    return 0


@whoever
@needs_landlock
def test_a_front_has_its_spool_and_its_libraries(child, place):
    def life(confined):
        if confined:
            sandbox.confine_front(str(place / "spool"))
        return [
            tried(os.open, place / "spool", os.O_TMPFILE | os.O_RDWR, 0o600),
            tried(os.open, place / "spool" / "named", os.O_CREAT | os.O_RDWR, 0o600),
            tried(os.unlink, place / "spool" / "named"),
            tried(os.open, os.devnull, os.O_RDWR),
            tried(os.open, os.__file__, os.O_RDONLY),
            tried(os.open, place / "site", os.O_RDONLY),
            tried(os.open, "/etc/passwd", os.O_RDONLY),
            tried(os.listdir, "/proc"),
            tried(os.listdir, place),
        ]

    assert child(life, True) == [0] * 5 + [errno.EACCES] * 4
    assert child(life, False) == [0] * 9


@whoever
def test_the_log_opens_nothing(child):
    def life(confined):
        if confined:
            sandbox.confine_log()
        return [tried(os.open, path, os.O_RDONLY) for path in (os.devnull, os.__file__, "/proc/self/status")]

    assert child(life, True) == [errno.EPERM] * 3
    assert child(life, False) == [0] * 3


@whoever
def test_what_the_kernel_shows(child, place):
    def life():
        sandbox.confine_front(str(place / "spool"))
        status = process_status.read()
        return status.seccomp, status.no_new_privs, status.filters

    filters_before = process_status.read().filters
    assert child(life) == (2, True, filters_before + 1)


def test_a_front_goes_on_working(place):
    """Threads, connections by unix sockets, and what an interpreter does by itself."""

    def life():
        ours, theirs = socket.socketpair()
        sandbox.confine_front(str(place / "spool"))
        thread = threading.Thread(target=lambda: theirs.sendall(b"hello"))
        thread.start()
        thread.join()
        with socket.socket(socket.AF_UNIX) as sock:
            return ours.recv(9), tried(sock.connect, "nobody.sock"), tried(socket.socket, socket.AF_INET)

    assert in_child(life) == (b"hello", errno.ENOENT, errno.EPERM)


def test_with_a_second_thread_it_refuses():
    def life():
        end = threading.Event()
        thread = threading.Thread(target=end.wait)
        thread.start()
        try:
            sandbox.confine_log()
        except OperatorError as error:
            return str(error), process_status.read().seccomp
        finally:
            end.set()
            thread.join()
        return "confined"

    assert in_child(life) == ("2 threads: only one of them would be confined", process_status.read().seccomp)


def test_without_landlock_the_filter_stands_alone(monkeypatch, place):
    monkeypatch.setattr(landlock, "abi", lambda: 0)

    def life():
        sandbox.confine_front(str(place / "spool"))
        return tried(os.open, place / "site", os.O_RDONLY), tried(os.fork)

    assert in_child(life) == (0, errno.EPERM)


def refused(confine, *arguments):
    """What the refusal says."""
    try:
        confine(*arguments)
    except OperatorError as error:
        return str(error)
    return "confined"


def fails_with(number):
    def failing(*arguments):
        raise OSError(number, os.strerror(number), "here")

    return failing


@pytest.mark.parametrize(
    ("module", "name", "message"),
    [
        (seccomp, "install", "the log cannot be confined: [Errno 38] Function not implemented: 'here'"),
        (landlock, "restrict", "the log cannot be confined: [Errno 38] Function not implemented: 'here'"),
    ],
)
@needs_landlock
def test_a_step_that_fails_is_told(monkeypatch, module, name, message):
    monkeypatch.setattr(module, name, fails_with(errno.ENOSYS))
    assert in_child(refused, sandbox.confine_log) == message


@needs_landlock
def test_a_spool_that_is_not_there_is_told(place):
    said = in_child(refused, sandbox.confine_front, str(place / "nowhere"))
    assert said == f"the front cannot be confined: [Errno 2] No such file or directory: '{place}/nowhere'"


@needs_landlock
def test_a_landlock_that_does_nothing_is_seen(monkeypatch, place):
    monkeypatch.setattr(landlock, "restrict", lambda table: None)
    assert in_child(refused, sandbox.confine_front, str(place)) == "/ can be read in spite of Landlock"


def test_a_filter_that_is_not_in_force_is_seen(monkeypatch, place):
    monkeypatch.setattr(seccomp, "install", lambda program: None)
    said = in_child(refused, sandbox.confine_front, str(place))
    assert said.startswith("no filter is in force that was not before: ProcessStatus(")


def test_an_outer_filter_is_not_taken_for_ours(monkeypatch, place):
    """In a container the kernel shows mode 2 from the start."""

    def life():
        sandbox.confine_role(filters.zygote_filter([], []), None)
        with monkeypatch.context() as patch:
            patch.setattr(seccomp, "install", lambda program: None)
            return refused(sandbox.confine_front, str(place))

    assert in_child(life).startswith("no filter is in force that was not before: ")


def test_a_machine_without_numbers_starts_no_role(monkeypatch):
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", "", "", "", "ppc64le")))
    assert "no seccomp filters for a ppc64le" in in_child(refused, sandbox.confine_log)
