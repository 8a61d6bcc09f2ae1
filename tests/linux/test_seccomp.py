"""Installing a program: by whom, with what, and what the kernel then shows."""

import ctypes
import errno
import os
import signal
import threading

import pytest

from itkwsgi.linux import bpf, kernel, process_status, seccomp
from itkwsgi.linux.bpf import ALLOW, KILL, Policy, deny
from itkwsgi.linux.syscalls import this_machine
from tests.support.forked import as_ordinary, in_child

NO_PARENT = bpf.assemble(Policy(this_machine(), (deny("getppid"),), ALLOW))
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
SYS_SECCOMP = seccomp._SYS_SECCOMP


def installed(program=NO_PARENT, *, no_new_privs=True):
    if no_new_privs:
        kernel.set_no_new_privs()
    seccomp.install(program)


def parent():
    """The errno of getppid(2), 0 when it went well.  The C library knows no error of it."""
    libc = ctypes.CDLL(None, use_errno=True)
    return ctypes.get_errno() if libc.syscall(this_machine().numbers()["getppid"]) == -1 else 0


def test_an_ordinary_user_needs_no_new_privs():
    def without():
        try:
            installed(no_new_privs=False)
        except OSError as error:
            return error.errno, error.filename
        return parent()

    def with_it():
        installed()
        return parent()

    assert as_ordinary(without) == (errno.EACCES, "seccomp")
    assert as_ordinary(with_it) == errno.EPERM
    assert as_ordinary(parent) == 0


@needs_root
def test_root_does_not_and_keeps_the_flag_off():
    def life():
        installed(no_new_privs=False)
        status = process_status.read()
        return parent(), status.seccomp, status.filters, status.no_new_privs

    before = process_status.read().filters
    assert in_child(life) == (errno.EPERM, 2, before + 1, False)


def test_threads_and_children_inherit_it():
    def life():
        installed()
        said = []
        thread = threading.Thread(target=lambda: said.append(parent()))
        thread.start()
        thread.join()
        return said, in_child(parent)

    assert in_child(life) == ([errno.EPERM], errno.EPERM)


@pytest.mark.parametrize("program", [b"", b"\0" * 8, NO_PARENT[:-8], bytes(8 * 4097)])
def test_what_is_no_program_is_refused_and_changes_nothing(program):
    def life():
        try:
            installed(program)
        except OSError as error:
            return error.errno, parent()
        return "installed"

    assert in_child(life) == (errno.EINVAL, 0)


def test_a_kernel_that_does_not_know_the_flag_gets_none(monkeypatch):
    flags = []

    def old_kernel(operation, flag, argument):
        flags.append(flag)
        if flag:
            raise OSError(errno.EINVAL, "")

    monkeypatch.setattr(seccomp, "_seccomp", old_kernel)
    seccomp.install(NO_PARENT)
    assert flags == [4, 0]


def test_another_error_is_not_tried_again(monkeypatch):
    flags = []

    def full(operation, flag, argument):
        flags.append(flag)
        raise OSError(errno.ENOMEM, "")

    monkeypatch.setattr(seccomp, "_seccomp", full)
    with pytest.raises(OSError, match="12"):
        seccomp.install(NO_PARENT)
    assert len(flags) == 1


def test_processors_may_go_on_guessing():
    """A filter shall not cost each branch of a site its prediction (before Linux 5.16 it did, unless asked)."""

    def speculation():
        with open("/proc/self/status") as file:
            return [line for line in file if line.startswith("Speculation")]

    def life():
        before = speculation()
        installed()
        return before == speculation()

    assert in_child(life)


def test_killing_is_for_the_whole_process():
    def life():
        pid = os.fork()
        if pid == 0:
            kill = bpf.assemble(Policy(this_machine(), (deny("getppid", verdict=KILL),), ALLOW))
            installed(kill)
            thread = threading.Thread(target=parent)
            thread.start()
            thread.join()
            os._exit(0)
        return os.waitpid(pid, 0)[1] & 0x7F

    assert in_child(life) == signal.SIGSYS


def test_it_is_available_here():
    assert seccomp.available()


def test_it_is_not_on_a_machine_without_a_number(monkeypatch):
    monkeypatch.setattr(seccomp, "_SYS_SECCOMP", {})
    assert not seccomp.available()
    with pytest.raises(OSError, match="no number for it") as caught:
        seccomp.install(NO_PARENT)
    assert caught.value.errno == errno.ENOSYS


def test_it_is_not_where_an_outer_filter_hides_it():
    """As in a container whose own filter knows no seccomp(2)."""
    hidden = bpf.INSTRUCTION.pack(bpf.LOAD, 0, 0, bpf.NUMBER) + b"".join(
        bpf.INSTRUCTION.pack(*instruction)
        for instruction in (
            (bpf.EQUAL, 0, 1, SYS_SECCOMP[this_machine().name]),
            (bpf.RETURN, 0, 0, bpf.MISSING),
            (bpf.RETURN, 0, 0, bpf.ALLOW),
        )
    )

    def life():
        installed(hidden)
        return seccomp.available()

    assert in_child(life) is False
