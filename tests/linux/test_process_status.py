from __future__ import annotations

import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itkwsgi.linux import process_status
from itkwsgi.linux.process_status import StatusError

ids = st.integers(0, 2**32 - 1)
four_ids = st.tuples(ids, ids, ids, ids)
masks = st.integers(0, 2**64 - 1)
# What the kernel leaves as it is in a name: everything but what it escapes.
names = st.text(st.characters(max_codepoint=255, exclude_characters="\0\n\\"), max_size=15)


def text_of(name="cat", uids=(1, 2, 3, 4), gids=(5, 6, 7, 8), groups=(), caps=(1, 2, 3, 4, 5), nnp=0, **more):
    lines = [
        f"Name:\t{name}",
        "Umask:\t0022",
        "State:\tS (sleeping)",
        "PPid:\t77",
        "Uid:\t" + "\t".join(map(str, uids)),
        "Gid:\t" + "\t".join(map(str, gids)),
        "Groups:\t" + "".join(f"{group} " for group in groups),
        "Threads:\t3",
    ]
    sets = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
    lines += [f"{key}:\t{cap:016x}" for key, cap in zip(sets, caps, strict=True)]
    lines += [f"NoNewPrivs:\t{nnp}", *(f"{key}:\t{value}" for key, value in more.items())]
    return "\n".join(lines) + "\n"


@given(names, four_ids, four_ids, st.lists(ids), st.tuples(*[masks] * 5), st.booleans(), st.integers(0, 2))
def test_every_field_is_read_as_written(name, uids, gids, groups, caps, nnp, seccomp):
    status = process_status.parse(text_of(name, uids, gids, groups, caps, int(nnp), Seccomp=seccomp))
    assert status.name == name.strip(" \t")
    assert (status.uids, status.gids, status.groups) == (uids, gids, tuple(groups))
    assert (status.inheritable, status.permitted, status.effective, status.bounding, status.ambient) == caps
    assert (status.no_new_privs, status.seccomp) == (nnp, seccomp)
    assert (status.state, status.parent, status.threads) == ("S", 77, 3)


def test_a_kernel_without_seccomp_has_no_such_line():
    assert process_status.parse(text_of()).seccomp == 0


@pytest.mark.parametrize("separator", ["\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\r"])
def test_a_name_cannot_add_a_line(separator):
    status = process_status.parse(text_of(name=f"x{separator}Uid:\t0\t0"))
    assert status.uids == (1, 2, 3, 4)


def test_a_field_that_comes_twice_is_refused():
    with pytest.raises(StatusError, match="Uid comes twice"):
        process_status.parse(text_of(Uid="0\t0\t0\t0"))


@pytest.mark.parametrize(
    "key",
    ["Name", "State", "PPid", "Threads", "Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"],
)
def test_a_missing_field_is_refused(key):
    lines = [line for line in text_of().split("\n") if not line.startswith(key)]
    with pytest.raises(StatusError, match=key):
        process_status.parse("\n".join(lines))


def test_no_new_privs_missing_is_refused():
    with pytest.raises(StatusError, match="NoNewPrivs"):
        process_status.parse(text_of().replace("NoNewPrivs", "Other"))


@pytest.mark.parametrize(
    ("good", "bad"),
    [("Uid:\t1\t2\t3\t4", "Uid:\t1\t2\t3"), ("Uid:\t1", "Uid:\tx"), ("CapEff:\t0", "CapEff:\tg"), ("\t77", "\t")],
)
def test_no_number_is_refused(good, bad):
    assert good in text_of()
    with pytest.raises(StatusError):
        process_status.parse(text_of().replace(good, bad))


@given(st.text())
def test_any_text_is_read_or_refused(text):
    with pytest.raises(StatusError):
        process_status.parse(text)


def test_our_own_status():
    status = process_status.read()
    assert status.uids[:3] == os.getresuid()
    assert status.gids[:3] == os.getresgid()
    assert sorted(status.groups) == sorted(os.getgroups())
    assert status.parent == os.getppid()
    assert status.threads == len(os.listdir("/proc/self/task"))
    assert f"uids={status.uids}" in repr(status)


def test_a_process_that_is_gone():
    with pytest.raises((FileNotFoundError, ProcessLookupError)):
        process_status.read(2**22 + 1)


def test_children_are_listed_the_dead_ones_too():
    reader, writer = os.pipe()
    living, dead = os.fork(), 0
    if living == 0:
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    try:
        dead = os.fork()
        if dead == 0:
            os._exit(0)
        os.waitid(os.P_PID, dead, os.WEXITED | os.WNOWAIT)
        assert {living, dead} <= set(process_status.children_of(os.getpid()))
        assert process_status.read(dead).state == process_status.ZOMBIE
        os.waitpid(dead, 0)
        assert dead not in process_status.children_of(os.getpid())
    finally:
        os.close(writer)
        os.close(reader)
        os.waitpid(living, 0)


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_children_of_another_thread_are_listed():
    pids = []
    stay = threading.Event()

    def fork_one():
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        pids.append(pid)
        stay.wait(10)

    thread = threading.Thread(target=fork_one)
    thread.start()
    try:
        while not pids:
            pass
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            assert str(pids[0]) not in file.read().split()
        assert pids[0] in process_status.children_of(os.getpid())
    finally:
        stay.set()
        thread.join()
        os.waitpid(pids[0], 0)


def test_children_of_a_process_that_is_gone_are_an_error():
    with pytest.raises(FileNotFoundError):
        process_status.children_of(2**22 + 1)


def test_a_kernel_without_lists_of_children_is_an_error(monkeypatch):
    real = open

    def without(path, *args):
        if str(path).endswith("/children"):
            raise FileNotFoundError(path)
        return real(path, *args)

    monkeypatch.setattr("builtins.open", without)
    with pytest.raises(FileNotFoundError):
        process_status.children_of(os.getpid())


def test_a_thread_that_ends_meanwhile_is_passed_over(monkeypatch):
    monkeypatch.setattr(os, "listdir", lambda path: [str(2**22 + 1)])
    assert process_status.children_of(os.getpid()) == []
