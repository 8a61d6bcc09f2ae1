"""The numbers of system calls, held against the headers of the kernel where they are installed."""

import ctypes
import os
import re
import sys
from pathlib import Path

import pytest

from itkwsgi.errors import OperatorError
from itkwsgi.linux import syscalls
from itkwsgi.linux.syscalls import MACHINES, NEWEST, this_machine

X86_64, *GENERIC = MACHINES
HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "generic": Path("/usr/include/asm-generic/unistd.h"),
}
DEFINITION = re.compile(r"^#define __NR(?:3264)?_(\w+)\s+(\d+)$", re.MULTILINE)


def by_header(name):
    if not HEADERS[name].exists():
        pytest.skip(f"needs {HEADERS[name]}, of linux-libc-dev")
    found = {call: int(number) for call, number in DEFINITION.findall(HEADERS[name].read_text())}
    if "fstatat" in found:  # how the generic header calls it where there are 64 bits
        found["newfstatat"] = found["fstatat"]
    return found


@pytest.mark.parametrize(("machine", "header"), [(X86_64, "x86_64"), *((machine, "generic") for machine in GENERIC)])
def test_the_numbers_are_the_kernels(machine, header):
    official = by_header(header)
    newest = max(number for call, number in official.items() if call not in ("syscalls", "arch_specific_syscall"))
    for call, number in machine.numbers().items():
        if number is None or number <= newest:
            assert official.get(call) == number, call


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_no_two_calls_share_a_number(machine):
    numbers = [number for number in machine.numbers().values() if number is not None]
    assert len(numbers) == len(set(numbers))
    assert 0 <= min(numbers) < max(numbers) <= NEWEST


def test_every_machine_knows_the_same_names():
    assert len({tuple(machine.numbers()) for machine in MACHINES}) == 1


def test_newer_calls_have_one_number_everywhere():
    for call, number in X86_64.numbers().items():
        if number is not None and number >= 424:
            assert {machine.numbers()[call] for machine in MACHINES} == {number}


def test_this_machine_is_the_one_the_kernel_speaks_of():
    """getppid(2) by our number."""
    libc = ctypes.CDLL(None)
    assert libc.syscall(this_machine().numbers()["getppid"]) == os.getppid()


@pytest.mark.parametrize(
    ("machine", "highest", "message"),
    [
        ("ppc64le", 2**63 - 1, "no seccomp filters for a ppc64le: itkwsgi knows the system calls of x86_64, aarch64, "),
        ("x86_64", 2**31 - 1, "no seccomp filters for a 32-bit interpreter on a x86_64"),
    ],
)
def test_an_unknown_machine_is_named(monkeypatch, machine, highest, message):
    monkeypatch.setattr(syscalls.os, "uname", lambda: os.uname_result(("Linux", "", "", "", machine)))
    monkeypatch.setattr(sys, "maxsize", highest)
    with pytest.raises(OperatorError, match=message):
        this_machine()
