from __future__ import annotations

import ctypes
import errno
import os
import select
import signal

import pytest

from itkwsgi.linux import kernel, process_status
from tests.support.forked import as_ordinary, in_child


def test_a_refused_call_raises_with_its_errno_and_its_name():
    with pytest.raises(OSError) as caught:
        kernel.prctl(kernel.PR_CAPBSET_READ, 1000)
    assert caught.value.errno == errno.EINVAL
    assert caught.value.filename == "prctl 23"


def test_the_locked_securebits_are_all_but_keep_caps():
    assert kernel.SECUREBITS_LOCKED == 0xEF


def test_the_last_capability_is_what_proc_says():
    with open("/proc/sys/kernel/cap_last_cap") as file:
        assert kernel.last_capability() == int(file.read())


def test_a_kernel_that_knows_64_capabilities_ends_the_search(monkeypatch):
    monkeypatch.setattr(kernel, "prctl", lambda *args: 1)
    assert kernel.last_capability() == 63


def test_an_unexpected_error_in_the_search_is_no_end(monkeypatch):
    def refuse(option, capability):
        raise OSError(errno.EPERM, "refused")

    monkeypatch.setattr(kernel, "prctl", refuse)
    with pytest.raises(OSError, match="refused"):
        kernel.last_capability()


def test_capget_reads_what_proc_says():
    status = process_status.read()
    assert kernel.capget() == (status.effective, status.permitted, status.inheritable)


def test_capset_sets_both_halves():
    def change():
        kernel.capset(0, 0, 0)
        return kernel.capget()

    assert in_child(change) == (0, 0, 0)


def test_capset_keeps_high_and_low_bits_apart():
    _, permitted, _ = kernel.capget()
    if not permitted >> 32 or not permitted & 0xFFFFFFFF:
        pytest.skip("holds no capabilities to keep")

    def change():
        high, low = permitted & ~0xFFFFFFFF, permitted & 0xFFFFFFFF
        kernel.capset(high, permitted, low)
        return kernel.capget()

    high, held, low = in_child(change)
    assert (high | low, high & low, held) == (permitted, 0, permitted)


def test_what_was_given_up_cannot_be_taken_back():
    def try_it():
        for attempt in (
            lambda: kernel.capset(1, 1, 0),
            lambda: kernel.capset(0, 0, 1),
            lambda: kernel.ambient_raise(0),
            lambda: kernel.drop_bounding(0),
            lambda: kernel.set_securebits(kernel.SECBIT_NOROOT),
        ):
            with pytest.raises(PermissionError):
                attempt()
        return process_status.read().permitted

    assert as_ordinary(try_it) == 0


def test_no_new_privs():
    def change():
        kernel.set_no_new_privs()
        return kernel.get_no_new_privs(), process_status.read().no_new_privs

    assert in_child(change) == (True, True)


@pytest.mark.parametrize("on", [True, False])
def test_keep_caps(on):
    def change():
        kernel.set_keep_caps(on)
        return kernel.get_keep_caps(), kernel.get_securebits() & kernel.SECBIT_KEEP_CAPS

    assert in_child(change) == (on, kernel.SECBIT_KEEP_CAPS if on else 0)


def test_death_signal():
    def change():
        before = kernel.get_death_signal()
        kernel.set_death_signal(signal.SIGUSR1)
        return before, kernel.get_death_signal()

    assert in_child(change) == (0, signal.SIGUSR1)


def test_subreaper():
    def change():
        before = kernel.get_subreaper()
        kernel.set_subreaper()
        return before, kernel.get_subreaper()

    assert in_child(change) == (False, True)


def test_dumpable():
    def change():
        answers = []
        for on in (False, True):
            kernel.set_dumpable(on)
            answers.append(kernel.get_dumpable())
        return answers

    assert in_child(change) == [0, 1]


def test_the_kernel_cuts_a_name():
    def change():
        kernel.set_name(b"0123456789abcdefgh")
        return process_status.read().name

    assert in_child(change) == "0123456789abcdefgh"[: kernel.LONGEST_NAME]


def test_close_range_closes_its_ends_too():
    def change():
        null = os.open("/dev/null", os.O_RDONLY)
        fds = [os.dup2(null, fd) for fd in (500, 501, 502, 503)]
        kernel.close_range(501, 502)
        return [is_open(fd) for fd in fds]

    assert in_child(change) == [True, False, False, True]


def is_open(fd: int) -> bool:
    return os.path.exists(f"/proc/self/fd/{fd}")


@pytest.mark.parametrize("has_os_call", [True, False])
def test_pidfd_open(monkeypatch, has_os_call):
    if not has_os_call:
        monkeypatch.delattr(os, "pidfd_open", raising=False)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    pidfd = kernel.pidfd_open(pid)
    try:
        assert not os.get_inheritable(pidfd)
        assert select.select([pidfd], [], [], 0)[0] == []
        os.close(writer)
        assert select.select([pidfd], [], [], 10)[0] == [pidfd]
    finally:
        os.close(pidfd)
        os.close(reader)
        os.waitpid(pid, 0)


def test_pidfd_open_of_nobody(monkeypatch):
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    with pytest.raises(OSError) as caught:
        kernel.pidfd_open(2**22 + 1)  # above PID_MAX_LIMIT
    assert caught.value.errno in (errno.ESRCH, errno.EINVAL)


def test_the_call_number_is_refused_on_an_unknown_machine(monkeypatch):
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", "", "", "", "pdp11")))
    with pytest.raises(NotImplementedError, match="pdp11"):
        kernel.join_new_session_keyring()


def test_the_call_number_is_refused_in_a_32_bit_process(monkeypatch):
    monkeypatch.setattr(ctypes, "sizeof", lambda kind: 4)
    with pytest.raises(NotImplementedError):
        kernel.join_new_session_keyring()
