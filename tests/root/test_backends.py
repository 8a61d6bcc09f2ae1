"""Both backends as root: what each does to a process is the same, to the letter of /proc/self/status."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import prctl
import pytest

from itkwsgi.linux import by_ctypes, by_prctl, kernel, process_status
from tests.support.forked import in_child

BACKENDS = {"ctypes": by_ctypes, "prctl": by_prctl}
KEEP = frozenset({kernel.CAP_SETUID, kernel.CAP_SETGID, kernel.CAP_SYS_NICE, kernel.CAP_KILL})
NOTHING: frozenset[int] = frozenset()
WITNESSES = ("Name:", "Uid:", "Gid:", "Groups:", "Cap", "NoNewPrivs:", "Seccomp:")


def witness():
    """All that any of the functions can change, as the kernel says it."""
    with open("/proc/self/status") as file:
        lines = [line for line in file if line.startswith(WITNESSES)]
    numbers = {
        "securebits": kernel.get_securebits(),
        "keep_caps": kernel.get_keep_caps(),
        "death signal": kernel.get_death_signal(),
        "subreaper": kernel.get_subreaper(),
        "dumpable": kernel.get_dumpable(),
    }
    return lines, numbers


def leave_uid_0(backend):
    backend.keep_caps(True)
    os.setgroups([50002])
    os.setresgid(50001, 50001, 50001)
    os.setresuid(50001, 50001, 50001)


def hand_over(backend):
    leave_uid_0(backend)
    held = frozenset(bit for bit in range(64) if process_status.read().permitted >> bit & 1)
    backend.set_capabilities(held, KEEP)
    backend.raise_ambient(sorted(KEEP))


def lock_everything(backend):
    hand_over(backend)
    backend.drop_bounding()
    backend.set_securebits()
    backend.set_capabilities(KEEP, KEEP)
    backend.set_no_new_privs()


# What is done, and a part of what the kernel must say then.
DEEDS: dict[str, tuple[Callable[[Any], object], dict[str, object]]] = {
    "keep_caps": (lambda b: b.keep_caps(True), {"keep_caps": True}),
    "keep_caps off": (lambda b: (b.keep_caps(True), b.keep_caps(False)), {"keep_caps": False}),
    "keep_caps and leave": (leave_uid_0, {"effective": 0, "uids": (50001,) * 4}),
    "drop_bounding": (lambda b: b.drop_bounding(), {"bounding": 0}),
    "drop_bounding twice": (lambda b: (b.drop_bounding(), b.drop_bounding()), {"bounding": 0}),
    "set_securebits": (lambda b: b.set_securebits(), {"securebits": 0xEF}),
    "securebits end keep_caps": (
        lambda b: (b.keep_caps(True), b.set_securebits()),
        {"securebits": 0xEF, "keep_caps": False},
    ),
    "no capabilities": (
        lambda b: b.set_capabilities(NOTHING, NOTHING),
        {"permitted": 0, "effective": 0, "inheritable": 0},
    ),
    "some capabilities": (
        lambda b: b.set_capabilities(KEEP, frozenset({kernel.CAP_KILL})),
        {"permitted": by_ctypes.mask(KEEP), "effective": by_ctypes.mask(KEEP), "inheritable": 1 << kernel.CAP_KILL},
    ),
    "the highest capability": (
        lambda b: b.set_capabilities(frozenset({kernel.last_capability()}), NOTHING),
        {"permitted": 1 << kernel.last_capability()},
    ),
    "raise_ambient": (hand_over, {"ambient": by_ctypes.mask(KEEP)}),
    "clear_ambient": (lambda b: (hand_over(b), b.clear_ambient()), {"ambient": 0}),
    "everything": (lock_everything, {"securebits": 0xEF, "bounding": 0, "ambient": by_ctypes.mask(KEEP)}),
    "death signal": (lambda b: b.set_death_signal(signal.SIGKILL), {"death signal": 9}),
    "subreaper": (lambda b: b.set_subreaper(), {"subreaper": True}),
    "dumpable": (lambda b: b.set_dumpable(False), {"dumpable": 0}),
    "name": (lambda b: b.set_name("a name"), {"name": "a name"}),
}


@pytest.mark.parametrize("deed", DEEDS)
def test_both_do_the_same_and_it_is_what_was_asked(deed):
    do, wanted = DEEDS[deed]

    def done_by(backend):
        do(backend)
        status = process_status.read()
        lines, numbers = witness()
        found = {name: getattr(status, name) for name in status.__slots__} | numbers
        return lines, numbers, {name: found[name] for name in wanted}

    results = [in_child(done_by, backend) for backend in BACKENDS.values()]
    assert results[0] == results[1]
    assert results[0][2] == wanted
    assert in_child(witness) != results[0][:2] or deed == "keep_caps off"


@pytest.mark.parametrize("known", [37, 40])
def test_capabilities_that_prctl_does_not_know_go_too(known):
    """As if it had been built with headers that end there; its own `limit` leaves the rest, without a word."""

    def old():
        prctl.ALL_CAPS = tuple(cap for cap in prctl.ALL_CAPS if cap <= known)
        prctl.capbset.limit()
        left_by_prctl = process_status.read().bounding
        by_prctl.drop_bounding()
        by_prctl.set_capabilities(NOTHING, NOTHING)
        status = process_status.read()
        return left_by_prctl, status.bounding, status.permitted, status.effective

    left_by_prctl, *ours = in_child(old)
    assert ours == [0, 0, 0]
    assert bool(left_by_prctl) == (known < kernel.last_capability())


@pytest.mark.parametrize("backend", BACKENDS)
def test_locked_is_locked(backend):
    def try_it():
        lock_everything(BACKENDS[backend])
        for attempt in (
            lambda: kernel.set_securebits(0),
            lambda: kernel.set_securebits(kernel.SECUREBITS_LOCKED | kernel.SECBIT_KEEP_CAPS),
            lambda: kernel.set_keep_caps(True),
            lambda: kernel.ambient_raise(kernel.CAP_KILL),
        ):
            with pytest.raises(PermissionError):
                attempt()
        return kernel.get_securebits()

    assert in_child(try_it) == 0xEF


def test_other_securebits_are_left_as_they_are():
    """Linux 6.14 has some about what interpreters execute: they are the administrator's."""
    exec_restrict_file = 0x100

    def change():
        try:
            kernel.set_securebits(exec_restrict_file)
        except OSError:
            return None
        by_ctypes.set_securebits()
        return kernel.get_securebits()

    assert in_child(change) in (None, 0xEF | exec_restrict_file)
