"""System calls the standard library has no name for: one thin function each, one error path.

Rules: no policy, no state, nothing swallowed.  Every function raises `OSError` with the call's name when the kernel
says no.  Capabilities, securebits and no_new_privs belong to a *thread*: whoever changes them must be single-threaded.

Runs in any site's interpreter (3.9 and later), so it needs ctypes, errno and os alone.  Sources: prctl(2), capget(2),
capabilities(7), close_range(2), pidfd_open(2), keyctl(2), and the kernel's include/uapi headers.
"""

from __future__ import annotations

import ctypes
import errno
import os

PR_SET_PDEATHSIG = 1
PR_GET_PDEATHSIG = 2
PR_GET_DUMPABLE = 3
PR_SET_DUMPABLE = 4
PR_GET_KEEPCAPS = 7
PR_SET_KEEPCAPS = 8
PR_SET_NAME = 15
PR_GET_NAME = 16
PR_CAPBSET_READ = 23
PR_CAPBSET_DROP = 24
PR_GET_SECUREBITS = 27
PR_SET_SECUREBITS = 28
PR_SET_CHILD_SUBREAPER = 36
PR_GET_CHILD_SUBREAPER = 37
PR_SET_NO_NEW_PRIVS = 38
PR_GET_NO_NEW_PRIVS = 39
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_IS_SET = 1
PR_CAP_AMBIENT_RAISE = 2
PR_CAP_AMBIENT_CLEAR_ALL = 4

CAP_KILL = 5
CAP_SETGID = 6
CAP_SETUID = 7
CAP_SETPCAP = 8
CAP_SYS_NICE = 23

SECBIT_NOROOT = 0x01
SECBIT_NOROOT_LOCKED = 0x02
SECBIT_NO_SETUID_FIXUP = 0x04
SECBIT_NO_SETUID_FIXUP_LOCKED = 0x08
SECBIT_KEEP_CAPS = 0x10
SECBIT_KEEP_CAPS_LOCKED = 0x20
SECBIT_NO_CAP_AMBIENT_RAISE = 0x40
SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED = 0x80

# Everything about capabilities that can be locked (the bits above are about what interpreters execute), and how we lock
# it: uid 0 means nothing, set*id never touches capabilities, none is kept by request, no ambient one can be raised.
SECUREBITS_MASK = 0xFF
SECUREBITS_LOCKED = SECUREBITS_MASK & ~SECBIT_KEEP_CAPS

LONGEST_NAME = 15  # bytes of a thread's name (comm), the closing NUL not counted

_CAPABILITY_VERSION_3 = 0x20080522
_SYS_PIDFD_OPEN = 434  # calls from 424 on have one number on every architecture we run on
_SYS_CLOSE_RANGE = 436
_SYS_KEYCTL = {  # this older one has not; 64-bit processes only
    "x86_64": 250,
    "aarch64": 219,
    "riscv64": 219,
    "loongarch64": 219,
    "ppc64le": 271,
    "s390x": 280,
}
_KEYCTL_GET_KEYRING_ID = 0
_KEYCTL_JOIN_SESSION_KEYRING = 1
_KEYCTL_SETPERM = 5
_KEY_SPEC_SESSION_KEYRING = -3


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapabilityHalf(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


_TwoHalves = _CapabilityHalf * 2

_libc = ctypes.CDLL(None, use_errno=True)
_prctl = _libc.prctl
_prctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong)
_prctl.restype = ctypes.c_int
# For the one call that every child of a pool makes: ctypes' own errno and argument types touch four times the memory.
_prctl_without_errno = ctypes.CDLL(None).prctl
_capget = _libc.capget
_capset = _libc.capset
for _call in (_capget, _capset):
    _call.argtypes = (ctypes.POINTER(_CapabilityHeader), ctypes.POINTER(_CapabilityHalf))
    _call.restype = ctypes.c_int
del _call
_syscall = _libc.syscall
_syscall.argtypes = (ctypes.c_long,) * 4
_syscall.restype = ctypes.c_long


def _checked(result: int, call: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), call)
    return result


def prctl(option: int, arg2: int = 0, arg3: int = 0, arg4: int = 0, arg5: int = 0) -> int:
    """prctl(2); the arguments not given are zero, as the newer options insist.  Raises `OSError`."""
    return _checked(_prctl(option, arg2, arg3, arg4, arg5), f"prctl {option}")


def capget() -> tuple[int, int, int]:
    """The effective, permitted and inheritable capabilities of this thread, as bit masks."""
    halves = _TwoHalves()
    header = _CapabilityHeader(_CAPABILITY_VERSION_3, 0)
    _checked(_capget(ctypes.byref(header), halves), "capget")
    low, high = halves
    return (
        low.effective | high.effective << 32,
        low.permitted | high.permitted << 32,
        low.inheritable | high.inheritable << 32,
    )


def capset(effective: int, permitted: int, inheritable: int) -> None:
    """Set the three capability masks of this thread, all at once."""
    low = 0xFFFFFFFF
    halves = _TwoHalves(
        _CapabilityHalf(effective & low, permitted & low, inheritable & low),
        _CapabilityHalf(effective >> 32, permitted >> 32, inheritable >> 32),
    )
    header = _CapabilityHeader(_CAPABILITY_VERSION_3, 0)
    _checked(_capset(ctypes.byref(header), halves), "capset")


def last_capability() -> int:
    """The highest capability this kernel knows, asked of itself: 40 in 2024.  Headers and libraries may know fewer."""
    known = -1
    while known < 63:
        try:
            prctl(PR_CAPBSET_READ, known + 1)
        except OSError as error:
            if error.errno != errno.EINVAL or known < 0:
                raise
            break
        known += 1
    return known


def bounding_has(capability: int) -> bool:
    """Whether the bounding set still has it.  Raises `OSError` (EINVAL) for one the kernel does not know."""
    return prctl(PR_CAPBSET_READ, capability) == 1


def drop_bounding(capability: int) -> None:
    """Take one capability out of the bounding set, for good.  Needs CAP_SETPCAP."""
    prctl(PR_CAPBSET_DROP, capability)


def ambient_clear() -> None:
    """Empty the ambient set.  Always permitted."""
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)


def ambient_raise(capability: int) -> None:
    """Have this capability survive exec.  It must be permitted and inheritable, and SECBIT_NO_CAP_AMBIENT_RAISE off."""
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability)


def get_securebits() -> int:
    """The securebits of this thread: `SECBIT_NOROOT` and so on."""
    return prctl(PR_GET_SECUREBITS)


def set_securebits(bits: int) -> None:
    """Replace the securebits.  Needs CAP_SETPCAP; what is locked stays."""
    prctl(PR_SET_SECUREBITS, bits)


def get_keep_caps() -> bool:
    """Whether a set*id call that leaves uid 0 will keep the permitted capabilities."""
    return prctl(PR_GET_KEEPCAPS) == 1


def set_keep_caps(on: bool) -> None:
    """Keep the permitted capabilities (not the effective ones) across a set*id call that leaves uid 0."""
    prctl(PR_SET_KEEPCAPS, int(on))


def get_no_new_privs() -> bool:
    """Whether exec can no longer give this thread anything."""
    return prctl(PR_GET_NO_NEW_PRIVS) == 1


def set_no_new_privs() -> None:
    """Make exec grant nothing from here on: no setuid, no setgid, no file capabilities.  Cannot be undone."""
    prctl(PR_SET_NO_NEW_PRIVS, 1)


def get_death_signal() -> int:
    """The signal sent to this process when its parent's thread ends; 0 for none."""
    number = ctypes.c_int()
    prctl(PR_GET_PDEATHSIG, ctypes.addressof(number))
    return number.value


def set_death_signal(number: int) -> None:
    """Ask for a signal when the parent's thread ends.  The kernel forgets it at fork and at any change of identity."""
    if _prctl_without_errno(PR_SET_PDEATHSIG, number):
        raise OSError(errno.EINVAL, f"no death signal {number}")  # the only error it has


def get_subreaper() -> bool:
    """Whether orphaned descendants come to this process."""
    number = ctypes.c_int()
    prctl(PR_GET_CHILD_SUBREAPER, ctypes.addressof(number))
    return number.value == 1


def set_subreaper() -> None:
    """Have orphaned descendants come to this process instead of init.  Not inherited by fork."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)


def get_dumpable() -> int:
    """0: neither core nor ptrace by its own user; 1: both; 2: core for root only."""
    return prctl(PR_GET_DUMPABLE)


def set_dumpable(on: bool) -> None:
    """Let processes of the same user read and trace this one, or not.  exec makes it so again."""
    prctl(PR_SET_DUMPABLE, int(on))


def set_name(name: bytes) -> None:
    """Name this thread (comm, what `ps -o comm` shows): the kernel cuts at `LONGEST_NAME` bytes."""
    buffer = ctypes.create_string_buffer(name)
    prctl(PR_SET_NAME, ctypes.addressof(buffer))


def close_range(first: int, last: int) -> None:
    """Close every descriptor from first to last, both included.  Linux 5.9; older ones raise `OSError` (ENOSYS)."""
    _checked(_syscall(_SYS_CLOSE_RANGE, first, last, 0), "close_range")


def pidfd_open(pid: int) -> int:
    """A close-on-exec descriptor of a process, readable when it is dead.  Some builds lack `os.pidfd_open`."""
    if hasattr(os, "pidfd_open"):
        return os.pidfd_open(pid)
    return _checked(_syscall(_SYS_PIDFD_OPEN, pid, 0, 0), "pidfd_open")


def join_new_session_keyring() -> None:
    """Leave the inherited session keyring for a new, empty one that no other process has.

    Raises `OSError`: ENOSYS from a kernel without keys, EPERM where a seccomp filter denies them (then to everybody who
    is forked from here too), EDQUOT when this user has too many.
    """
    _keyctl("join", _KEYCTL_JOIN_SESSION_KEYRING, 0)


def close_session_keyring() -> None:
    """Take all rights from this process's session keyring: who inherits it can put nothing in and find nothing there.

    Raises `OSError` as above, and EACCES when it is another user's.
    """
    _keyctl("setperm", _KEYCTL_SETPERM, _KEY_SPEC_SESSION_KEYRING)


def use_session_keyring() -> None:
    """Raises `OSError` (EACCES) when this process may not use its session keyring, as after `close_session_keyring`."""
    _keyctl("get", _KEYCTL_GET_KEYRING_ID, _KEY_SPEC_SESSION_KEYRING)


def _keyctl(name: str, operation: int, key: int) -> None:
    """keyctl(2) with a last argument of 0.  Raises `OSError`, and `NotImplementedError` on a machine whose call number
    is not in the table above."""
    number = _SYS_KEYCTL.get(os.uname().machine)
    if number is None or ctypes.sizeof(ctypes.c_void_p) != 8:
        raise NotImplementedError(f"no number for keyctl on a {os.uname().machine}")
    _checked(_syscall(number, operation, key, 0), f"keyctl {name}")
