"""System calls that Python has no function for, by number."""

from __future__ import annotations

import ctypes
import os

from tests.root.attacks.attempt import Missing

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long

# (x86_64, the asm-generic table: aarch64, riscv64, loongarch64): asm/unistd_64.h, asm-generic/unistd.h.
NUMBERS = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "adjtimex": (159, 171),
    "bpf": (321, 280),
    "capset": (126, 91),
    "clone": (56, 220),
    "clone3": (435, 435),
    "fanotify_init": (300, 262),
    "finit_module": (313, 273),
    "fsopen": (430, 430),
    "init_module": (175, 105),
    "io_uring_setup": (425, 425),
    "ioprio_set": (251, 30),
    "kcmp": (312, 272),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "migrate_pages": (256, 238),
    "mount": (165, 40),
    "move_pages": (279, 239),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "pidfd_getfd": (438, 438),
    "pivot_root": (155, 41),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "reboot": (169, 142),
    "rt_sigqueueinfo": (129, 138),
    "setdomainname": (171, 162),
    "setns": (308, 268),
    "setresgid": (119, 149),
    "setresuid": (117, 147),
    "setuid": (105, 146),
    "setgid": (106, 144),
    "setfsuid": (122, 151),
    "setfsgid": (123, 152),
    "settimeofday": (164, 170),
    "swapoff": (168, 225),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
    "vhangup": (153, 58),
}
GENERIC = ("aarch64", "riscv64", "loongarch64")


def number(name):
    machine = os.uname().machine
    if machine == "x86_64":
        return NUMBERS[name][0]
    if machine in GENERIC:
        return NUMBERS[name][1]
    raise Missing(f"the number of {name} on {machine} is not in the table")


def call(name, *args):
    """The result; raises OSError.  Integers go as 64 bits wide, so that their upper half arrives as well."""
    wide = [ctypes.c_ulong(arg % 2**64) if isinstance(arg, int) else arg for arg in args]
    ctypes.set_errno(0)
    result = LIBC.syscall(ctypes.c_long(number(name)), *wide)
    if result == -1:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")
    return result


def libc(name, *args):
    """A function of the C library that returns -1 and sets errno."""
    ctypes.set_errno(0)
    result = getattr(LIBC, name)(*args)
    if result == -1:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")
    return result


def gets_through(name, *args, errnos):
    """Was it let through to where its arguments are looked at?  ``errnos``: what it then says of bad ones."""
    try:
        return f"{name} returned {call(name, *args)}"
    except OSError as error:
        if error.errno in errnos:
            return f"{name} went on to look at its arguments"
        raise
