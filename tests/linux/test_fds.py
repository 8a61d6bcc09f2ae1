from __future__ import annotations

import array
import errno
import fcntl
import mmap
import os
import resource
import socket
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itkwsgi.linux import fds, kernel
from itkwsgi.linux.fds import MessageError
from tests.support.forked import in_child


def null() -> int:
    return os.open("/dev/null", os.O_RDONLY)


def identities(numbers):
    return [(os.fstat(fd).st_dev, os.fstat(fd).st_ino) for fd in numbers]


def refuse_close_range(monkeypatch, number):
    def refuse(first, last):
        raise OSError(number, "no such call")

    monkeypatch.setattr(kernel, "close_range", refuse)


# open_descriptors


def test_open_descriptors_says_what_each_is():
    reader, writer = os.pipe()
    fd = null()
    try:
        found = fds.open_descriptors()
        assert found[fd] == "/dev/null"
        assert found[reader] == found[writer] == f"pipe:[{os.fstat(reader).st_ino}]"
        assert fds.open_descriptors().keys() == found.keys()  # the listing's own is not there
    finally:
        for opened in (reader, writer, fd):
            os.close(opened)


# close_all_except


@pytest.mark.parametrize("kernel_has_it", ["yes", errno.ENOSYS, errno.EPERM])
@given(keep=st.sets(st.integers(0, 40)), opened=st.sets(st.integers(3, 40)))
def test_exactly_the_named_stay(kernel_has_it, keep, opened):
    def change():
        fd = null()
        for target in opened - {fd}:
            os.dup2(fd, target)
        before = fds.open_descriptors()
        if kernel_has_it != "yes":
            refuse_close_range(pytest.MonkeyPatch(), kernel_has_it)
        fds.close_all_except(keep)
        return before, fds.open_descriptors()

    before, after = in_child(change)
    assert after == {fd: what for fd, what in before.items() if fd in keep}


def test_the_highest_descriptor_is_closed_too():
    def change():
        high = fcntl.fcntl(null(), fcntl.F_DUPFD, 1000)
        fds.close_all_except({0, 1, 2})
        return high >= 1000, sorted(fds.open_descriptors())

    assert in_child(change) == (True, [fd for fd in (0, 1, 2) if os.path.exists(f"/proc/self/fd/{fd}")])


def test_a_negative_descriptor_closes_nothing():
    before = fds.open_descriptors()
    with pytest.raises(ValueError, match="-1 is not a descriptor"):
        fds.close_all_except({-1, 2})
    assert fds.open_descriptors() == before


def test_another_error_of_close_range_is_raised(monkeypatch):
    refuse_close_range(monkeypatch, errno.EINVAL)
    with pytest.raises(OSError, match="no such call"):
        fds.close_all_except({0, 1, 2})


# arrange


@given(st.dictionaries(st.integers(3, 20), st.integers(0, 5), min_size=1))
def test_arrange_puts_each_where_it_belongs(wanted):
    """Sources 10..15 and targets 3..20 overlap in every way: chains, swaps, circles, itself, one to many."""
    mapping = {target: 10 + source for target, source in wanted.items()}

    def change():
        sources = range(10, 16)
        for fd in sources:
            os.dup2(os.memfd_create(str(fd)), fd, inheritable=False)
        fds.close_all_except({0, 1, 2, *sources})
        names = {fd: what for fd, what in fds.open_descriptors().items() if fd > 2}
        fds.arrange(mapping)
        after = {fd: what for fd, what in fds.open_descriptors().items() if fd > 2}
        return names, after, [os.get_inheritable(fd) for fd in mapping], [fd for fd in after if os.get_inheritable(fd)]

    names, after, targets, inheritable = in_child(change)
    assert after == {**names, **{target: names[source] for target, source in mapping.items()}}
    assert all(targets)
    assert sorted(inheritable) == sorted(mapping)


def test_a_source_that_is_not_open_changes_no_target():
    def change():
        fd = null()
        before = fds.open_descriptors()
        with pytest.raises(OSError) as caught:
            fds.arrange({fd: 2, 100: 999})
        assert caught.value.errno == errno.EBADF
        return fds.open_descriptors() == before

    assert in_child(change)


@pytest.mark.parametrize("mapping", [{-1: 2}, {9: -1}])
def test_a_negative_descriptor_is_refused(mapping):
    with pytest.raises(ValueError, match="negative"):
        fds.arrange(mapping)


def test_nothing_to_arrange():
    before = fds.open_descriptors()
    fds.arrange({})
    assert fds.open_descriptors() == before


# messages


@pytest.fixture(params=[socket.SOCK_SEQPACKET, socket.SOCK_DGRAM, socket.SOCK_STREAM])
def pair(request):
    left, right = socket.socketpair(socket.AF_UNIX, request.param)
    with left, right:
        yield left, right


@pytest.fixture
def packets():
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with left, right:
        yield left, right


@pytest.fixture(autouse=True)
def nothing_is_left_open():
    before = fds.open_descriptors()
    yield
    assert fds.open_descriptors() == before


@pytest.mark.parametrize("count", [0, 1, 2, 3, fds.MOST_PER_MESSAGE])
def test_a_message_and_its_descriptors_arrive(pair, count):
    left, right = pair
    fd = null()
    fds.send_message(left, b"order", [fd] * count)
    data, received = fds.receive_message(right, 100, count)
    assert (data, len(received)) == (b"order", count)
    assert identities(received) == identities([fd] * count)
    assert not any(os.get_inheritable(number) for number in received)
    for number in [fd, *received]:
        os.close(number)


def test_the_end_of_the_connection_is_empty(packets):
    left, right = packets
    left.close()
    assert fds.receive_message(right, 100, 3) == (b"", [])


@pytest.mark.parametrize(("sent", "permitted"), [(1, 0), (2, 1), (3, 2), (5, 1), (253, 252)])
def test_a_descriptor_too_many_is_an_error_and_none_stays(packets, sent, permitted):
    left, right = packets
    fd = null()
    fds.send_message(left, b"order", [fd] * sent)
    os.close(fd)
    with pytest.raises(MessageError):
        fds.receive_message(right, 100, permitted)


@pytest.mark.parametrize("count", [0, 2])
def test_a_byte_too_many_is_an_error_and_no_descriptor_stays(packets, count):
    left, right = packets
    fd = null()
    fds.send_message(left, b"x" * 101, [fd] * count)
    os.close(fd)
    with pytest.raises(MessageError):
        fds.receive_message(right, 100, count)


def test_descriptors_with_an_empty_message_are_an_error(packets):
    left, right = packets
    fd = null()
    left.sendmsg([b""], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])
    os.close(fd)
    with pytest.raises(MessageError):
        fds.receive_message(right, 100, 1)


def test_anything_else_that_comes_along_is_an_error(packets):
    left, right = packets
    right.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    left.sendmsg([b"x"])
    with pytest.raises(MessageError):
        fds.receive_message(right, 100, 8)


def test_a_receiver_without_room_for_descriptors_gets_an_error(packets):
    left, right = packets
    fd = null()
    fds.send_message(left, b"order", [fd, fd, fd])
    os.close(fd)

    def receive():
        before = fds.open_descriptors()
        lowest_free = min(set(range(len(before) + 1)) - before.keys())
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free + 1, lowest_free + 1))  # room for one
        try:
            fds.receive_message(right, 100, 3)
        except MessageError:
            return fds.open_descriptors() == before
        return False

    assert in_child(receive)


@pytest.mark.parametrize(("data", "count"), [(b"", 0), (b"", 1), (b"x", fds.MOST_PER_MESSAGE + 1)])
def test_a_message_that_cannot_be_is_refused(packets, data, count):
    with pytest.raises(ValueError, match="a message of"):
        fds.send_message(packets[0], data, [0] * count)


def fill(sock):
    for _ in range(100000):
        fds.send_message(sock, b"x" * 1000)


def test_a_full_socket_is_the_callers_business(packets):
    left, _ = packets
    left.setblocking(False)
    with pytest.raises(BlockingIOError):
        fill(left)


def test_a_stream_that_takes_a_part_is_an_error():
    left, right = socket.socketpair()
    with left, right:
        left.setblocking(False)
        with pytest.raises(MessageError, match="bytes were sent"):
            fds.send_message(left, b"x" * 10_000_000)


def test_a_peer_that_is_gone_is_no_signal(packets):
    left, right = packets
    right.close()
    with pytest.raises(BrokenPipeError):
        fds.send_message(left, b"x")


# memfd_with


@pytest.mark.parametrize("data", [b"", b"{}", b"x" * 3_000_000])
def test_a_memfd_is_read_from_its_start(data):
    fd = fds.memfd_with(data, "settings")
    assert not os.get_inheritable(fd)
    assert os.readlink(f"/proc/self/fd/{fd}").startswith("/memfd:settings")
    with open(fd, "rb") as file:
        assert file.read() == data


def test_nobody_can_change_a_memfd():
    fd = fds.memfd_with(b"settings", "settings")
    try:
        again = os.open(f"/proc/self/fd/{fd}", os.O_RDWR)
        for attempt in (
            lambda: os.write(again, b"x"),
            lambda: os.pwrite(fd, b"x", 100),
            lambda: os.ftruncate(again, 3),
            lambda: os.ftruncate(again, 100),
            lambda: fcntl.fcntl(fd, fcntl.F_ADD_SEALS, 0x10),
            lambda: mmap.mmap(again, 8),
        ):
            with pytest.raises(PermissionError):
                attempt()
        os.close(again)
        assert os.pread(fd, 100, 0) == b"settings"
    finally:
        os.close(fd)


def test_a_memfd_cannot_be_executed():
    fd = fds.memfd_with(b"#!/bin/sh\n", "settings")
    try:
        if os.fstat(fd).st_mode & 0o111:
            pytest.skip("a kernel before 6.3")
        with pytest.raises(PermissionError):
            os.fchmod(fd, 0o755)
    finally:
        os.close(fd)


def test_a_kernel_before_6_3_makes_one_too(monkeypatch):
    real = os.memfd_create
    asked = []

    def old(name, flags):
        asked.append(flags)
        if flags & 8:
            raise OSError(errno.EINVAL, "unknown flag")
        return real(name, flags)

    monkeypatch.setattr(os, "memfd_create", old)
    os.close(fds.memfd_with(b"x", "settings"))
    assert len(asked) == 2


def test_a_memfd_that_cannot_be_sealed_is_not_left_open(monkeypatch):
    def refuse(fd, command, argument):
        raise OSError(errno.EPERM, "sealed already")

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    with pytest.raises(PermissionError):
        fds.memfd_with(b"x", "settings")


def test_a_memfd_that_cannot_be_had_is_an_error(monkeypatch):
    def refuse(name, flags):
        raise OSError(errno.EMFILE, "too many")

    monkeypatch.setattr(os, "memfd_create", refuse)
    with pytest.raises(OSError, match="too many"):
        fds.memfd_with(b"x", "settings")


# descriptors that nobody asked for; more about them in tests/system/test_hostile_descriptors.py


def test_whether_they_are_refused_is_known():
    left, right = socket.socketpair()
    with left, right:
        refused = fds.refuse_descriptors(right)
        assert (fds.refuses_descriptors(left), fds.refuses_descriptors(right)) == (False, refused)


@pytest.mark.parametrize(("number", "answer"), [(errno.ENOPROTOOPT, False), (errno.EPERM, None)])
def test_a_kernel_that_cannot_say_does_not_refuse(number, answer):
    def getsockopt(*what):
        raise OSError(number, "no such option")

    if answer is None:
        with pytest.raises(PermissionError):
            fds.refuses_descriptors(SimpleNamespace(getsockopt=getsockopt))
    else:
        assert fds.refuses_descriptors(SimpleNamespace(getsockopt=getsockopt)) is answer


def test_what_is_looked_at_stays():
    left, right = socket.socketpair()
    with left, right:
        left.send(b"abc")
        assert (fds.look_bare(right, 2), fds.look_bare(right, 9), right.recv(9)) == (b"ab", b"abc", b"abc")
        fds.send_message(left, b"x", [0])
        assert fds.look_bare(right, 9) is None
        data, received = fds.receive_message(right, 9, 1)
        assert (data, len(received)) == (b"x", 1)
        os.close(received[0])
