"""How a front and the log confine themselves, after their start and before they read anything from outside.

What they are is known by then: their modules are loaded, their settings read.  What they give up they never get back,
whoever takes them over: new rights on files by Landlock, as far as this kernel has it, and system calls by a filter,
without which they do not start.  Both are looked at afterwards: that the calls returned is not enough.
In the server's own interpreter only.  Sources: landlock(7), seccomp(2), proc_pid_status(5).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from itkwsgi.errors import OperatorError
from itkwsgi.linux import filters, kernel, landlock, process_status, rulesets, seccomp

if TYPE_CHECKING:
    from itkwsgi.linux.process_status import ProcessStatus
    from itkwsgi.linux.rulesets import Table

FILTERED = 2  # SECCOMP_MODE_FILTER


def confine_front(spool_dir: str) -> None:
    """In a front: its files are its spool directory and its libraries.  Raises `OperatorError`."""
    _confined("front", filters.front_filter(), rulesets.front_table(landlock.abi(), spool_dir))


def confine_log() -> None:
    """In the log: its files are what it was given open.  Raises `OperatorError`."""
    _confined("log", filters.log_filter(), rulesets.log_table(landlock.abi()))


def _confined(name: str, program: bytes, table: Table | None) -> None:
    try:
        confine_role(program, table)
    except OSError as error:
        raise OperatorError(f"the {name} cannot be confined: {error}") from error


def confine_role(program: bytes, table: Table | None) -> None:
    """Set no_new_privs, then Landlock's table, if there is one, then the filter.  This thread must be the only one.

    Raises `OSError` as the kernel refuses, `OperatorError` when it is not as it must be afterwards.
    """
    before = process_status.read()
    if before.threads != 1:
        raise OperatorError(f"{before.threads} threads: only one of them would be confined")
    kernel.set_no_new_privs()
    with open("/proc/self/status", encoding="utf-8") as witness:  # open now: the filter may not let us later
        if table is not None:
            landlock.restrict(table)
            _verify_closed("/")
        seccomp.install(program)
        _verify_filtered(before, process_status.parse(witness.read()))


def _verify_closed(path: str) -> None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:
        return
    os.close(fd)
    raise OperatorError(f"{path} can be read in spite of Landlock")


def _verify_filtered(before: ProcessStatus, after: ProcessStatus) -> None:
    """A container's own filter is there already; before Linux 5.10 they are not counted."""
    one_more = after.filters == before.filters + 1 or not after.filters
    if after.seccomp != FILTERED or not one_more or not after.no_new_privs:
        raise OperatorError(f"no filter is in force that was not before: {after}")
