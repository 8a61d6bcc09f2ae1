"""The switch when something fails: each call it makes, one after the other, by an error and by a lie.

Whatever it is, `become` ends with `SwitchError`, does nothing more, and never reports success for half a switch.
"""

from __future__ import annotations

import errno
import os

import pytest

from itkwsgi.linux import by_ctypes, kernel, process_status, switch
from itkwsgi.linux.identity import SwitchError
from tests.support.forked import in_child
from tests.support.switching import BACKENDS, NOTHING, ZYGOTE, ZYGOTE_KEEPS, become_site, begin

each_backend = pytest.mark.parametrize("backend", BACKENDS)

WATCHED = [
    *((os, name) for name in ("setgroups", "setresgid", "setresuid", "getresuid", "getresgid", "getgroups")),
    *((kernel, name) for name in ("get_securebits", "get_dumpable", "last_capability", "capget")),
    (kernel, "join_new_session_keyring"),
    (process_status, "read"),
]
DEEDS = [
    *("keep_caps", "drop_bounding", "set_securebits", "set_capabilities", "raise_ambient", "clear_ambient"),
    *("set_no_new_privs", "set_dumpable"),
]


class Calls:
    """Counts what `become` calls, in order, and has one of them fail; the attempts to regain are left alone."""

    def __init__(self, backend, fail_at=None):
        self.made: list[str] = []
        self.fail_at = fail_at
        self.regaining = False
        for module, name in WATCHED:
            setattr(module, name, self.watched(name, getattr(module, name)))
        self.backend = type("Watched", (), {})()
        for name in DEEDS:
            setattr(self.backend, name, self.watched(name, getattr(backend, name)))
        regain = switch.try_to_regain

        def unwatched(*args, **more):
            self.regaining = True
            regain(*args, **more)
            self.regaining = False

        switch.try_to_regain = unwatched

    def watched(self, name, function):
        def call(*args):
            if self.regaining:
                return function(*args)
            self.made.append(name)
            if len(self.made) - 1 == self.fail_at:
                raise OSError(errno.EDQUOT, "the fault")
            return function(*args)

        return call


def with_fault(start, backend, keep, fail_at):
    begin(start, backend)
    calls = Calls(backend, fail_at)
    try:
        become_site(calls.backend, keep=keep)
    except SwitchError as error:
        return calls.made, str(error)
    return calls.made, ""


@each_backend
@pytest.mark.parametrize(("start", "keep"), [("root", NOTHING), ("root", ZYGOTE_KEEPS), ("zygote", NOTHING)])
def test_whichever_call_fails_nothing_is_done_after_it(start, keep, backend):
    calls, problem = in_child(with_fault, start, BACKENDS[backend], keep, None)
    assert problem == ""
    assert len(calls) >= 20
    for number, name in enumerate(calls):
        made, problem = in_child(with_fault, start, BACKENDS[backend], keep, number)
        assert made == calls[: number + 1], name
        assert "the fault" in problem, name


def test_the_steps_come_in_their_order():
    calls, _ = in_child(with_fault, "root", by_ctypes, ZYGOTE_KEEPS, None)
    steps = [name for name in calls if name in DEEDS or name.startswith(("set", "join"))]
    assert steps == [
        *("keep_caps", "setgroups", "setresgid", "setresuid", "set_dumpable", "join_new_session_keyring"),
        *("set_capabilities", "clear_ambient", "raise_ambient", "drop_bounding", "set_securebits", "set_capabilities"),
        "set_no_new_privs",
    ]


def test_in_a_pool_what_is_locked_is_left_alone():
    calls, _ = in_child(with_fault, "zygote", by_ctypes, NOTHING, None)
    steps = [name for name in calls if name in DEEDS or name.startswith(("set", "join"))]
    assert steps == [
        *("setgroups", "setresgid", "setresuid", "set_dumpable", "join_new_session_keyring"),
        *("clear_ambient", "set_capabilities", "set_no_new_privs"),
    ]


LIES = [
    ("root", NOTHING, "setgroups", "verify: groups"),
    ("root", NOTHING, "setresgid", "verify: group ids"),
    ("root", NOTHING, "setresuid", "verify: user ids"),
    ("root", NOTHING, "keep_caps", "raise capabilities: "),
    ("root", NOTHING, "drop_bounding", "verify: bounding set"),
    ("root", NOTHING, "set_securebits", "verify: securebits"),
    ("root", NOTHING, "set_no_new_privs", "verify: no_new_privs"),
    ("root", NOTHING, "set_capabilities", "bounding set: "),
    ("root", ZYGOTE_KEEPS, "raise_ambient", "verify: ambient"),
    ("root", ZYGOTE_KEEPS, "set_capabilities", "raise ambient: "),
    ("zygote", NOTHING, "setgroups", "verify: groups"),
    ("zygote", NOTHING, "setresgid", "verify: group ids"),
    ("zygote", NOTHING, "setresuid", "verify: user ids"),
    ("zygote", NOTHING, "set_capabilities", "verify: permitted"),
]


@each_backend
@pytest.mark.parametrize(("start", "keep", "lying", "message"), LIES)
def test_a_step_that_only_says_it_was_done_is_found_out(start, keep, lying, message, backend):
    def change():
        begin(start)
        calls = Calls(BACKENDS[backend])
        target = calls.backend if lying in DEEDS else os
        setattr(target, lying, lambda *args: None)
        become_site(calls.backend, keep=keep)

    with pytest.raises(SwitchError, match=message):
        in_child(change)


def test_a_last_step_that_leaves_capabilities_is_found_out():
    """The first `set_capabilities` is done, the one that gives up is not."""

    def change():
        calls = Calls(by_ctypes)
        real, made = calls.backend.set_capabilities, []

        def only_once(permitted, inheritable):
            made.append(permitted)
            if len(made) == 1:
                real(permitted, inheritable)

        calls.backend.set_capabilities = only_once
        become_site(calls.backend)

    with pytest.raises(SwitchError, match="verify: permitted capabilities"):
        in_child(change)


LEFT_OPEN = [
    ("setresuid", lambda uid, *_: (uid, uid, 0), "uid 0 could be regained"),
    ("setresuid", lambda uid, *_: (0, uid, uid), "uid 0 could be regained"),
    ("setresgid", lambda gid, *_: (gid, gid, 0), "gid 0 could be regained"),
    ("setresgid", lambda gid, *_: (0, gid, gid), "gid 0 could be regained"),
]


@pytest.mark.parametrize("verified", [True, False])
@pytest.mark.parametrize(("call", "arguments", "message"), LEFT_OPEN)
def test_an_id_left_behind_is_found_by_reading_and_by_trying(call, arguments, message, verified):
    """With the reading taken away, the trying alone finds it."""

    def change():
        real, made = getattr(os, call), []

        def half(*ids):
            made.append(ids)
            return real(*(arguments(*ids) if len(made) == 1 else ids))

        setattr(os, call, half)
        if not verified:
            switch.verify = lambda *args, **more: None
        become_site()

    with pytest.raises(SwitchError, match="verify: .* ids" if verified else message):
        in_child(change)


@pytest.mark.parametrize("kept", sorted(ZYGOTE_KEEPS | {kernel.CAP_SETPCAP, 21, kernel.last_capability()}))
def test_a_capability_left_behind_is_found_by_trying(kept):
    def change():
        def leave_one(permitted, inheritable):
            by_ctypes.set_capabilities(permitted or frozenset({kept}), inheritable)

        calls = Calls(by_ctypes)
        calls.backend.set_capabilities = leave_one
        switch.verify = lambda *args, **more: None
        become_site(calls.backend)

    with pytest.raises(SwitchError, match="could be regained"):
        in_child(change)


def test_securebits_that_are_not_locked_are_found_by_trying():
    def change():
        calls = Calls(by_ctypes)
        calls.backend.set_securebits = lambda: None
        switch.verify = lambda *args, **more: None
        become_site(calls.backend)

    with pytest.raises(SwitchError, match="could be regained"):
        in_child(change)


@pytest.mark.parametrize(
    ("call", "lie", "message"),
    [
        ("set_securebits", None, "unlocked securebits could be regained"),
        ("set_keep_caps", None, "keep_caps could be regained"),
        ("get_dumpable", 1, "verify: dumpable: 1 and not 0"),
        ("get_securebits", 0x6F, "verify: securebits: "),
    ],
)
def test_a_lock_that_is_open_is_found(call, lie, message):
    """In a pool, where nothing of this is set any more: only looked at, and tried."""

    def change():
        begin("zygote")
        setattr(kernel, call, lambda *args: lie)
        calls = Calls(by_ctypes)
        calls.backend.set_securebits = lambda: None
        become_site(calls.backend)

    with pytest.raises(SwitchError, match=message):
        in_child(change)


def test_drop_ambient_that_does_not_is_found_out():
    def change(lying):
        switch.become(ZYGOTE, by_ctypes, privileged=True, keep=ZYGOTE_KEEPS)
        setattr(kernel, lying, lambda *args: None)
        switch.drop_ambient()

    with pytest.raises(SwitchError, match="verify: inheritable capabilities"):
        in_child(change, "capset")
    assert in_child(change, "ambient_clear") is None  # emptying the inheritable set empties the ambient one as well
