"""The walls as a pool puts them up: in force afterwards, or the process ends."""

from __future__ import annotations

import os
import socket
import sys

import pytest

from itkwsgi.linux import filters, landlock, process_status, rulesets
from itkwsgi.linux.identity import current_identity
from itkwsgi.linux.kernel import set_dumpable, set_no_new_privs
from itkwsgi.runtime import confine as module
from itkwsgi.runtime.confine import ConfineError, confine, confine_child, filter_calls
from tests.support.forked import as_ordinary, in_child
from tests.support.running import NO_WALLS

VERSION = landlock.abi()
needs_landlock = pytest.mark.skipif(VERSION < 3, reason=f"this kernel has Landlock {VERSION}")


def walls(**more):
    return {**NO_WALLS, **more}


def opens(path):
    try:
        os.close(os.open(path, os.O_RDONLY))
    except PermissionError:
        return False
    return True


def basedir(path):
    rules = [(str(path), rulesets.ALL, True)]
    return {**rulesets.files_table(VERSION, rules), "interpreter": rulesets.READ}


def confined(do, *args):
    """The steps of a pool, and what is seen from inside."""

    def inside():
        set_no_new_privs()
        set_dumpable(True)  # as a pool's process is
        return do(*args)

    return as_ordinary(inside)


def test_without_walls_nothing_changes():
    def inside():
        before = process_status.read().filters
        confine(walls())
        confine_child(walls())
        return process_status.read().filters - before, opens("/etc/passwd"), current_identity().uid

    filters_more, readable, _ = in_child(inside)
    assert (filters_more, readable) == (0, True)


@needs_landlock
def test_files_outside_are_closed_and_the_interpreters_own_stay_open(tmp_path):
    def inside():
        confine(walls(landlock=basedir("/usr/share")))
        return opens("/etc/passwd"), opens("/usr/share"), opens(os.__file__), opens(sys.executable)

    assert confined(inside) == (False, True, True, True)


@needs_landlock
def test_a_directory_that_is_not_there_ends_it():
    with pytest.raises(ConfineError, match=r"cannot be had: .*'/no/such/place'"):
        confined(confine, walls(landlock=basedir("/no/such/place")))


def test_a_filter_is_one_more_in_force():
    def inside():
        before = process_status.read().filters
        confine(walls(seccomp=filters.site_filter({"network"})))
        try:
            socket.socket(socket.AF_INET).close()
        except PermissionError:
            return process_status.read().filters - before
        return None

    assert confined(inside) == 1


def test_a_program_that_the_kernel_does_not_take_ends_it():
    with pytest.raises(ConfineError, match="disable cannot be had"):
        confined(filter_calls, b"\0" * 8)


def test_a_filter_that_is_not_in_force_ends_it(monkeypatch):
    """Whatever the call returned."""
    monkeypatch.setattr(module.seccomp, "install", lambda program: None)
    with pytest.raises(ConfineError, match="is not in force"):
        filter_calls(filters.site_filter({"exec"}))


@needs_landlock
def test_a_child_can_be_kept_from_looking_at_its_siblings():
    """A domain of its own in the pool's; it can still fork, if nothing else forbids that, and look at its own."""

    def reads(pid):
        return opens(f"/proc/{pid}/mem")

    def child(pool):
        confine_child(walls(child_landlock=rulesets.domain_table(VERSION)))
        return reads(pool), reads(os.getpid())

    def inside():
        confine(walls(landlock={**rulesets.domain_table(VERSION), "interpreter": 0}))
        return in_child(child, os.getpid()), in_child(reads, os.getpid())

    assert confined(inside) == ((False, True), True)


def test_a_child_can_be_kept_from_forking():
    def inside():
        confine_child(walls(child_seccomp=filters.site_filter({"fork"})))
        try:
            os.fork()
        except PermissionError:
            return "refused"
        return "forked"

    assert confined(inside) == "refused"
