"""What an ordinary user can see of the switch; the real ones, with real uids, are in tests/root/test_switch.py."""

from __future__ import annotations

import errno
import os
import threading

import pytest

from itkwsgi.linux import by_ctypes, kernel, process_status, switch
from itkwsgi.linux.identity import Identity, SwitchError, current_identity
from tests.support.forked import as_ordinary


def state():
    status = process_status.read()
    return {name: getattr(status, name) for name in status.__slots__ if name != "state"}, kernel.get_securebits()


class Untouchable:
    """A backend for switches that must be refused before anything is done."""

    def __getattr__(self, name):
        raise AssertionError(f"{name} was called")


@pytest.mark.parametrize("privileged", [True, False])
@pytest.mark.parametrize(
    "identity", [Identity(0, 5, (5,)), Identity(5, 0, (5,)), Identity(5, 5, (0,)), Identity(5, 5, (5, 0, 6))]
)
def test_roots_ids_are_refused_before_anything_is_done(identity, privileged):
    before = state()
    with pytest.raises(SwitchError, match="has an id of root's"):
        switch.become(identity, Untouchable(), privileged=privileged)
    assert state() == before


@pytest.mark.parametrize("keep", [{-1}, {kernel.last_capability() + 1}, {kernel.CAP_KILL, 64}])
def test_capabilities_that_do_not_exist_are_refused(keep):
    before = state()
    with pytest.raises(SwitchError, match="not all capabilities of this kernel"):
        switch.become(Identity(5, 5), Untouchable(), privileged=True, keep=frozenset(keep))
    assert state() == before


def test_an_ordinary_user_keeps_no_capability():
    with pytest.raises(SwitchError, match="ordinary user"):
        switch.become(Identity(5, 5), Untouchable(), privileged=False, keep=frozenset({kernel.CAP_KILL}))


@pytest.mark.parametrize(
    "switching",
    [lambda: switch.become(current_identity(), Untouchable(), privileged=False), lambda: switch.drop_ambient()],
)
def test_a_second_thread_is_refused(switching):
    def change():
        stay = threading.Event()
        thread = threading.Thread(target=stay.wait)
        thread.start()
        try:
            switching()
        finally:
            stay.set()
            thread.join()

    with pytest.raises(SwitchError, match="2 threads"):
        as_ordinary(change)


def test_an_ordinary_user_is_who_it_is():
    def change():
        before, _ = state()
        switch.become(current_identity(), by_ctypes, privileged=False)
        after, _ = state()
        return {name for name in before if before[name] != after[name]}

    assert as_ordinary(change) <= {"no_new_privs"}


def test_no_new_privs_may_be_left_off():
    def change():
        before = state()
        switch.become(current_identity(), by_ctypes, privileged=False, no_new_privs=False)
        return state() == before

    assert as_ordinary(change)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda i: Identity(i.uid + 1, i.gid, i.groups), "user ids"),
        (lambda i: Identity(i.uid, i.gid + 1, i.groups), "group ids"),
        (lambda i: Identity(i.uid, i.gid, (*i.groups, 77777)), "groups"),
    ],
)
def test_an_ordinary_user_is_nobody_else(change, name):
    with pytest.raises(SwitchError, match=f"verify: {name}:"):
        as_ordinary(lambda: switch.become(change(current_identity()), by_ctypes, privileged=False))


def test_an_ordinary_user_cannot_switch():
    with pytest.raises(SwitchError, match=r"setgroups: .*not permitted"):
        as_ordinary(lambda: switch.become(Identity(50001, 50001), by_ctypes, privileged=True))


def become_ourselves(backend=by_ctypes, **replaced):
    """Become who we are, with some calls replaced: ``os__setuid`` is `os.setuid`.  In a child only."""
    identity = current_identity()
    for name, function in replaced.items():
        module, _, call = name.partition("__")
        setattr({"os": os, "kernel": kernel, "process_status": process_status}[module], call, function)
    switch.become(identity, backend, privileged=False)


def failing(error):
    def call(*args):
        raise error

    return call


READS = [
    "process_status__read",
    "kernel__last_capability",
    "kernel__capget",
    "os__getresuid",
    "os__getresgid",
    "os__getgroups",
]


@pytest.mark.parametrize("call", READS)
def test_a_status_that_cannot_be_read_is_the_end(call):
    refuse = failing(OSError(errno.EIO, "cannot be read"))
    with pytest.raises(SwitchError, match="cannot be read"):
        as_ordinary(lambda: become_ourselves(**{call: refuse}))


@pytest.mark.parametrize(
    "field", ["uids", "gids", "groups", "permitted", "effective", "inheritable", "ambient", "threads"]
)
def test_a_status_that_differs_is_the_end(field):
    def change():
        status = process_status.read()
        status.no_new_privs = True
        answers = [process_status.read(), status]
        setattr(status, field, (7, 7, 7, 7) if isinstance(getattr(status, field), tuple) else 7)
        become_ourselves(process_status__read=lambda: answers.pop(0))

    with pytest.raises(SwitchError, match=r"verify: .*7.* and not"):
        as_ordinary(change)


@pytest.mark.parametrize(
    ("call", "lie"),
    [
        ("os__getresuid", (1, 2, 3)),
        ("os__getresgid", (1, 2, 3)),
        ("os__getgroups", [1, 2, 3]),
        ("kernel__capget", (0, 1, 0)),
    ],
)
def test_a_call_that_differs_from_proc_is_the_end(call, lie):
    with pytest.raises(SwitchError, match="by call"):
        as_ordinary(lambda: become_ourselves(**{call: lambda: lie}))


WAYS_BACK = [
    *("os__setresuid", "os__setreuid", "os__seteuid", "os__setuid", "os__setresgid", "os__setregid", "os__setegid"),
    *("os__setgid", "os__setgroups", "kernel__capset", "kernel__ambient_raise"),
]


@pytest.mark.parametrize("way", WAYS_BACK)
@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda *args: None, "could be regained"),
        (failing(OSError(errno.EAGAIN, "surprise")), "trying to regain .*surprise"),
        (failing(ValueError("surprise")), "trying to regain .*surprise"),
    ],
)
def test_a_way_back_that_is_open_is_the_end(way, answer, message):
    with pytest.raises(SwitchError, match=message):
        as_ordinary(lambda: become_ourselves(**{way: answer}))


ONE_DOOR = [
    ("os__setresuid", (0, 0, 0)),
    ("os__setresuid", (-1, 0, -1)),
    ("os__setresgid", (0, 0, 0)),
    ("os__setresgid", (-1, 0, -1)),
    ("os__setgroups", ([0],)),
    ("os__setgroups", ([77777],)),
    ("kernel__capset", (1, 1, 0)),
    ("kernel__capset", (0, 0, 1)),
    ("kernel__capset", (1 << kernel.last_capability(), 1 << kernel.last_capability(), 0)),
    ("kernel__capset", (0, 0, 1 << kernel.last_capability())),
    ("kernel__ambient_raise", (kernel.last_capability(),)),
]


@pytest.mark.parametrize(("way", "arguments"), ONE_DOOR)
def test_every_single_door_is_tried(way, arguments):
    """Each call is refused with all arguments but these."""

    def call(*args):
        if args != arguments:
            raise PermissionError(errno.EPERM, "Operation not permitted")

    def change():
        before = process_status.read()
        before.groups = (77777,)  # as if we had come from there
        identity = current_identity()
        module = os if way.startswith("os") else kernel
        setattr(module, way.partition("__")[2], call)
        switch.try_to_regain(identity, before, privileged=False, keep=frozenset())

    with pytest.raises(SwitchError, match="could be regained"):
        as_ordinary(change)


def test_an_id_that_does_not_exist_here_is_no_way_back():
    """In a user namespace without uid 0, asking for it is EINVAL."""
    refuse = failing(OSError(errno.EINVAL, "no such id"))
    assert as_ordinary(lambda: become_ourselves(os__setresuid=refuse)) is None


@pytest.mark.parametrize("call", ["os__setgroups", "kernel__capset", "kernel__ambient_raise"])
def test_an_attempt_that_was_none_proves_nothing(call):
    refuse = failing(OSError(errno.EINVAL, "not a call of this kernel"))
    with pytest.raises(SwitchError, match=r"trying to regain .*not a call of this kernel"):
        as_ordinary(lambda: become_ourselves(**{call: refuse}))


def test_no_new_privs_that_fails_or_lies_is_the_end():
    class Lying:
        def set_no_new_privs(self):
            pass

    class Failing:
        def set_no_new_privs(self):
            raise OSError(errno.EINVAL, "an old kernel")

    cases = [(Failing(), "no_new_privs: .*an old kernel")]
    if not kernel.get_no_new_privs():
        cases.append((Lying(), "verify: no_new_privs"))
    for backend, message in cases:
        with pytest.raises(SwitchError, match=message):
            as_ordinary(become_ourselves, backend)


def test_a_user_at_its_process_limit_is_told_so(monkeypatch):
    def refuse():
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(process_status, "read", refuse)
    with pytest.raises(SwitchError, match="RLIMIT_NPROC"):
        switch.become(Identity(5, 5), Untouchable(), privileged=True)


@pytest.mark.parametrize("field", ["ambient", "inheritable", "permitted", "effective"])
def test_drop_ambient_reads_back_what_it_did(monkeypatch, field):
    def change():
        status = process_status.read()
        answers = [process_status.read(), status]
        setattr(status, field, 7)
        monkeypatch.setattr(process_status, "read", lambda: answers.pop(0))
        switch.drop_ambient()

    with pytest.raises(SwitchError, match=f"verify: {field} capabilities: 7 and not 0"):
        as_ordinary(change)


def test_drop_ambient_of_nothing():
    def change():
        before = state()
        switch.drop_ambient()
        return state() == before

    assert as_ordinary(change)
