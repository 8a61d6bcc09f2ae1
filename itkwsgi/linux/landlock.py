"""Landlock: a process gives up rights for itself and all its descendants, for good.

Mechanism only, and little of it, because it runs in every confined site (3.9 and later; ctypes, errno, os, stat, struct
and sys).  What is handled and what is granted comes as numbers and paths from `rulesets` and the supervisor.

Paths are opened here, by the process that is to be confined: with its own rights, after its switch.  A rule belongs to
the file or directory that was found there then, not to its name.  no_new_privs must be set, and there must be one
thread: the others would stay as they are.
Sources: landlock(7), landlock_create_ruleset(2), landlock_add_rule(2), landlock_restrict_self(2), the kernel's
include/uapi/linux/landlock.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    Rule = tuple[str, int, bool]  # path, rights, whether it must be there

ALL_RIGHTS = (1 << 16) - 1  # as many as a table handles
# All that a rule can grant on what is no directory: execute, write, read, truncate, ioctl.
FILE_RIGHTS = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14 | 1 << 15

_SYS_CREATE_RULESET = 444  # one number on every architecture
_SYS_ADD_RULE = 445
_SYS_RESTRICT_SELF = 446
_CREATE_RULESET_VERSION = 1 << 0
_RULE_PATH_BENEATH = 1
_RULESET = struct.Struct("=QQQ")  # handled_access_fs, handled_access_net, scoped
_PATH_BENEATH = struct.Struct("=Qi")  # allowed_access, parent_fd: packed, 12 bytes

# No Landlock built in; built in but not switched on; a container's filter from before Landlock.
_NO_LANDLOCK = frozenset((errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM))
# Who cannot open a path gets nothing by a rule on it, and loses nothing without.
_NOT_THERE = frozenset((errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ELOOP))

_syscall = ctypes.CDLL(None, use_errno=True).syscall
_syscall.argtypes = (ctypes.c_long,) * 5
_syscall.restype = ctypes.c_long


def abi() -> int:
    """The version of Landlock that this kernel speaks; 0 for none."""
    version = _syscall(_SYS_CREATE_RULESET, 0, 0, _CREATE_RULESET_VERSION, 0)
    if version < 0:
        number = ctypes.get_errno()
        if number not in _NO_LANDLOCK:
            raise OSError(number, os.strerror(number), "landlock_create_ruleset")
        return 0
    return int(version)


def restrict(table: dict[str, Any], extra: Iterable[Rule] = ()) -> None:
    """Give up what the table handles, but for what its rules and the extra ones grant.

    ``table``: "fs" and "net" (handled rights), "scoped" and "flags" (of landlock_restrict_self), "rules" (path, rights,
    required).  A path that is not required may be missing.  Raises `OSError`, with the path where there is one.
    """
    attributes = _RULESET.pack(table["fs"], table["net"], table["scoped"])
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    address = ctypes.addressof(buffer)
    ruleset = _called("landlock_create_ruleset", _SYS_CREATE_RULESET, address, len(attributes), 0, 0)
    try:
        for rules in (table["rules"], extra):
            for path, rights, required in rules:
                _allow(ruleset, path, rights & table["fs"], required)
        _called("landlock_restrict_self", _SYS_RESTRICT_SELF, ruleset, table["flags"], 0, 0)
    finally:
        os.close(ruleset)


def interpreter_rules(rights: int) -> list[Rule]:
    """What this interpreter reads as it goes on: its modules and libraries, its virtual environment, and itself.

    ``rights`` on each of them.  To be asked while nothing of a site can have changed sys.path and sys.prefix.
    """
    paths = [*sys.path, sys.executable]
    paths.append(os.path.join(os.path.dirname(os.__file__), "sitecustomize.py"))  # a link into /etc on Debian
    for prefix in (sys.base_prefix, sys.base_exec_prefix):
        paths += [os.path.join(prefix, "lib"), os.path.join(prefix, sys.platlibdir)]
    if sys.prefix != sys.base_prefix:
        paths.append(sys.prefix)
    return [(path, rights, False) for path in sorted(set(paths)) if path.startswith("/")]


def _allow(ruleset: int, path: str, rights: int, required: bool) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        if required or error.errno not in _NOT_THERE:
            raise
        return
    try:
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            rights &= FILE_RIGHTS
        if rights:  # the kernel refuses rules without any
            rule = ctypes.create_string_buffer(_PATH_BENEATH.pack(rights, fd), _PATH_BENEATH.size)
            _called(path, _SYS_ADD_RULE, ruleset, _RULE_PATH_BENEATH, ctypes.addressof(rule), 0)
    finally:
        os.close(fd)


def _called(name: str, *arguments: int) -> int:
    result = _syscall(*arguments)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)
    return int(result)
