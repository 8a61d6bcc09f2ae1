"""Becoming somebody else: every set*id call, groups, capabilities, and programs that change identity by themselves."""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
import subprocess

from tests.root.attacks.attempt import Missing, Way, refuse
from tests.root.attacks.calls import LIBC, call, libc

PR_SET_KEEPCAPS, PR_SET_SECUREBITS, PR_CAPBSET_DROP = 8, 28, 24
PR_CAP_AMBIENT, AMBIENT_RAISE = 47, 2
CAPABILITY_VERSION = 0x20080522
LAST_CAPABILITY = 40
CAP_DAC_OVERRIDE = 1
WHOLE = 2**32
I386_SETUID32, I386_SETGID32 = 213, 214
X32 = 0x40000000

UID_CALLS = {
    "setuid": lambda uid: os.setuid(uid),
    "seteuid": lambda uid: os.seteuid(uid),
    "setreuid": lambda uid: os.setreuid(uid, uid),
    "setreuid of the effective": lambda uid: os.setreuid(-1, uid),
    "setresuid": lambda uid: os.setresuid(uid, uid, uid),
    "setresuid of the effective": lambda uid: os.setresuid(-1, uid, -1),
    "setresuid of the saved": lambda uid: os.setresuid(-1, -1, uid),
    "setfsuid": lambda uid: LIBC.setfsuid(uid),
    "setuid with a long number": lambda uid: call("setuid", WHOLE + uid),
    "setresuid with long numbers": lambda uid: call("setresuid", -1, WHOLE * 7 + uid, -1),
}
GID_CALLS = {
    "setgid": lambda gid: os.setgid(gid),
    "setegid": lambda gid: os.setegid(gid),
    "setregid": lambda gid: os.setregid(gid, gid),
    "setresgid": lambda gid: os.setresgid(gid, gid, gid),
    "setresgid of the effective": lambda gid: os.setresgid(-1, gid, -1),
    "setresgid of the saved": lambda gid: os.setresgid(-1, -1, gid),
    "setfsgid": lambda gid: LIBC.setfsgid(gid),
    "setgid with a long number": lambda gid: call("setgid", WHOLE + gid),
}
GROUP_CALLS = {
    "setgroups": lambda gid: os.setgroups([gid]),
    "initgroups": lambda gid: os.initgroups("root", gid),
}
SOMEBODY = ("root", "zygote", "front", "victim")


def status(name):
    with open("/proc/self/status") as file:
        return next(line.split()[1:] for line in file if line.startswith(name + ":"))


def becoming(field, function, who):
    """Call it for that somebody's number, then look at what the kernel says."""

    def way(targets):
        number = targets["ids"][who]
        function(number)
        found = status(field)
        return f"{field} {found}" if str(number) in found else refuse()

    return way


def nothing_happens(field, function):
    """A call that must leave everything as it is."""

    def way(targets):
        before = status(field)
        function()
        return f"{field} {status(field)}" if status(field) != before else refuse()

    return way


# --- capabilities


def capset(effective, permitted, inheritable, version=CAPABILITY_VERSION):
    """Sets of all capabilities as numbers."""
    header = struct.pack("=Ii", version, 0)
    sets = (effective, permitted, inheritable)
    data = b"".join(struct.pack("=3I", *(each >> shift & 0xFFFFFFFF for each in sets)) for shift in (0, 32))
    call("capset", ctypes.c_char_p(header), ctypes.c_char_p(data))


def held(name="CapEff"):
    return int(status(name)[0], 16)


def any_of_all(function, field):
    """Some capability, whichever can be had."""

    def way(targets):
        for capability in range(LAST_CAPABILITY + 1):
            try:
                function(1 << capability)
            except OSError as error:
                refusal = error
                continue
            if held(field) >> capability & 1:
                return f"capability {capability}"
        raise refusal

    return way


def prctl(option, *args):
    padded = [ctypes.c_ulong(arg) for arg in (*args, 0, 0, 0, 0)[:4]]
    return libc("prctl", option, *padded)


def ambient(targets):
    for capability in range(LAST_CAPABILITY + 1):
        try:
            prctl(PR_CAP_AMBIENT, AMBIENT_RAISE, capability)
            return f"capability {capability}"
        except OSError as error:
            refusal = error
    raise refusal


def ambient_after_inheriting(targets):
    capset(held("CapEff"), held("CapPrm"), held("CapPrm") or 1)
    return ambient(targets)


def unlock_securebits(targets):
    prctl(PR_SET_SECUREBITS, 0)
    return "securebits 0"


def keep_capabilities(targets):
    prctl(PR_SET_KEEPCAPS, 1)
    return "it would keep capabilities over a change of identity"


def bounding(targets):
    """Only who holds CAP_SETPCAP may drop one: nothing would be gained, but it tells."""
    prctl(PR_CAPBSET_DROP, 0)
    return "CAP_SETPCAP works"


# --- programs that change identity by themselves


def run(argv, **more):
    done = subprocess.run(argv, capture_output=True, timeout=8, **more)
    if done.returncode:
        refuse()
    return done.stdout.decode(errors="replace").strip()


def reading_by(program, what):
    """A copy of cat with other rights reads what only others may."""
    return lambda targets: run([targets["programs"][program], targets["files"][what]])


def python_of_root(targets):
    code = "import os, sys; os.setuid(0); sys.stdout.write(open(sys.argv[1]).read())"
    return run([targets["programs"]["setuid python"], "-I", "-S", "-c", code, targets["files"]["key"]])


def library_in_a_setuid_program(targets):
    """The dynamic linker forgets such variables for programs like these; without the mode they mean nothing."""
    return run([targets["programs"]["setuid cat"], targets["files"]["key"]], env={"LD_PRELOAD": "/nowhere.so"})


# --- other doors into the kernel


def by_i386(number):
    """int 0x80: the table of 32-bit programs, with numbers of its own."""

    def way(targets):
        if os.uname().machine != "x86_64":
            raise Missing("there is no int 0x80 on this machine")
        # push rbx; mov eax, number; xor ebx, ebx; int 0x80; pop rbx; ret
        code = b"\x53\xb8" + struct.pack("<I", number) + b"\x31\xdb\xcd\x80\x5b\xc3"
        page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        page.write(code)
        result = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
        if result < 0:
            raise OSError(-result, os.strerror(-result))
        return "id 0 by int 0x80"

    return way


def by_x32(targets):
    """The third table of x86_64: the same numbers with a bit."""
    if os.uname().machine != "x86_64":
        raise Missing("there is no x32 on this machine")
    ctypes.set_errno(0)
    if LIBC.syscall(ctypes.c_long(X32 + 105), ctypes.c_ulong(0)) == -1:
        raise OSError(ctypes.get_errno(), "setuid of x32")
    return "uid 0 by x32"


CHANGES_NOTHING = "a call that is allowed to everybody and does nothing"
WAYS = {
    **{
        f"become {who} by {name}": Way(becoming("Uid", function, who))
        for who in SOMEBODY
        for name, function in UID_CALLS.items()
    },
    **{
        f"get the group of {who} by {name}": Way(becoming("Gid", function, who))
        for who in SOMEBODY
        for name, function in GID_CALLS.items()
    },
    **{
        f"join the group of {who} by {name}": Way(becoming("Groups", function, who))
        for who in SOMEBODY
        for name, function in GROUP_CALLS.items()
    },
    "setresuid of -1, -1, -1": Way(
        nothing_happens("Uid", lambda: os.setresuid(-1, -1, -1)), control="", why=CHANGES_NOTHING
    ),
    "setresgid of -1, -1, -1": Way(
        nothing_happens("Gid", lambda: os.setresgid(-1, -1, -1)), control="", why=CHANGES_NOTHING
    ),
    "setuid of 2**32 - 1": Way(
        nothing_happens("Uid", lambda: call("setuid", WHOLE - 1)), control="", why="nobody can have that uid"
    ).may_be_refused_by("EINVAL"),
    "setuid of the 32-bit table": Way(by_i386(I386_SETUID32)).may_be_refused_by("SIGSYS", "ENOSYS"),
    "setgid of the 32-bit table": Way(by_i386(I386_SETGID32)).may_be_refused_by("SIGSYS", "ENOSYS"),
    "setuid of the x32 table": Way(by_x32).may_be_refused_by("SIGSYS", "ENOSYS"),
    "an effective capability": Way(any_of_all(lambda bit: capset(bit, held("CapPrm"), 0), "CapEff")),
    "a permitted capability": Way(any_of_all(lambda bit: capset(0, bit, 0), "CapPrm")),
    "an inheritable capability": Way(any_of_all(lambda bit: capset(held("CapEff"), held("CapPrm"), bit), "CapInh")),
    "an ambient capability": Way(ambient_after_inheriting),
    "an ambient capability at once": Way(ambient, control="", why="it needs an inheritable one first"),
    "CAP_SETPCAP": Way(bounding),
    "securebits": Way(unlock_securebits),
    "keepcaps": Way(keep_capabilities),
    "a setuid root program": Way(reading_by("setuid cat", "key"), control="plain"),
    "a setgid root program": Way(reading_by("setgid cat", "group's"), control="plain"),
    "a setuid program of the victim": Way(reading_by("victim's setuid cat", "secret"), control="plain"),
    "a program with file capabilities": Way(reading_by("capable cat", "key"), control="plain"),
    "a setuid python": Way(python_of_root, control="plain"),
    "a library for a setuid program": Way(library_in_a_setuid_program, control="plain"),
}
