"""Seccomp: a process has the kernel judge each of its system calls, for good, and those of all its descendants.

Mechanism only: the programs are made elsewhere (`filters`, `bpf`) and come as bytes.  Runs in sites (3.9 and later).
What is installed is the thread's, so it is done while there is one; threads and children inherit it.
Sources: seccomp(2), include/uapi/linux/seccomp.h.
"""

from __future__ import annotations

import ctypes
import errno
import os

SET_MODE_FILTER = 1
GET_ACTION_AVAIL = 2
SPEC_ALLOW = 4  # the processor may go on guessing: what it costs otherwise is no price for a filter (Linux 4.17)
KILL_PROCESS = 0x80000000

INSTRUCTION_SIZE = 8  # struct sock_filter

_SYS_SECCOMP = {"x86_64": 317, "aarch64": 277, "riscv64": 277, "loongarch64": 277}

_syscall = ctypes.CDLL(None, use_errno=True).syscall
_syscall.argtypes = (ctypes.c_long, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_void_p)
_syscall.restype = ctypes.c_long


class _Program(ctypes.Structure):  # struct sock_fprog
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def install(program: bytes) -> None:
    """Hold this thread to the program, in addition to those before.

    Raises `OSError`: EACCES without no_new_privs and CAP_SYS_ADMIN, EINVAL for a program the kernel does not take,
    ENOSYS from a kernel without seccomp.
    """
    buffer = ctypes.create_string_buffer(program, len(program))
    described = _Program(len(program) // INSTRUCTION_SIZE, ctypes.addressof(buffer))
    try:
        _seccomp(SET_MODE_FILTER, SPEC_ALLOW, described)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        _seccomp(SET_MODE_FILTER, 0, described)  # as before Linux 4.17


def available() -> bool:
    """Whether this kernel takes filters, on a machine whose system calls we know."""
    try:
        _seccomp(GET_ACTION_AVAIL, 0, ctypes.c_uint32(KILL_PROCESS))
    except OSError:
        return False
    return True


def _seccomp(operation: int, flags: int, argument: ctypes.Structure | ctypes.c_uint32) -> None:
    number = _SYS_SECCOMP.get(os.uname().machine)
    if number is None or ctypes.sizeof(ctypes.c_void_p) != 8:
        raise OSError(errno.ENOSYS, f"no number for it on a {os.uname().machine}", "seccomp")
    if _syscall(number, operation, flags, ctypes.addressof(argument)) != 0:
        failed = ctypes.get_errno()
        raise OSError(failed, os.strerror(failed), "seccomp")
