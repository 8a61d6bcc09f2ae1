"""Landlock's rights by name, which of them a kernel knows, and what the server's own roles keep.  Server only.

Each version of Landlock can take away more (landlock(7), the kernel's userspace-api/landlock.rst):

    1  Linux 5.13  execute, read, write, list, make, remove; no rename or link into another directory
    2  Linux 5.19  REFER: such a rename or link where both ends are granted; before, it always failed
    3  Linux 6.2   TRUNCATE; before, truncate(2) emptied any file the user may write
    4  Linux 6.7   NET: TCP bind and connect
    5  Linux 6.10  IOCTL_DEV: ioctl on devices; before, on any device that may be opened
    6  Linux 6.12  SCOPE: signals and abstract unix sockets; before, neither
    7  Linux 6.15  denials kept out of the audit log, or put into it

9 (Linux 7.1) knows connections to unix sockets that have a path.  They are not handled: what a site can reach, its
database among it, shall not depend on the age of the kernel.

What no version governs: stat, readlink, chdir, access and so the existence and size of files; chmod, chown, utime and
extended attributes of what is the user's own; flock; file systems that nobody can mount (pipes, sockets, memfd: so a
program can be run from memory); descriptors from before, with what they were opened for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from itkwsgi.linux import landlock

if TYPE_CHECKING:
    from collections.abc import Iterable

    from itkwsgi.linux.landlock import Rule

EXECUTE = 1 << 0
WRITE_FILE = 1 << 1
READ_FILE = 1 << 2
READ_DIR = 1 << 3
REMOVE_DIR = 1 << 4
REMOVE_FILE = 1 << 5
MAKE_CHAR = 1 << 6
MAKE_DIR = 1 << 7
MAKE_REG = 1 << 8
MAKE_SOCK = 1 << 9
MAKE_FIFO = 1 << 10
MAKE_BLOCK = 1 << 11
MAKE_SYM = 1 << 12
REFER = 1 << 13
TRUNCATE = 1 << 14
IOCTL_DEV = 1 << 15

BIND_TCP = 1 << 0
CONNECT_TCP = 1 << 1

SCOPE_ABSTRACT_UNIX_SOCKET = 1 << 0
SCOPE_SIGNAL = 1 << 1

LOG_SAME_EXEC_OFF = 1 << 0
LOG_SUBDOMAINS_OFF = 1 << 2

READ = READ_FILE | READ_DIR
ALL = (1 << 16) - 1

# version -> the rights that came with it
_FILE_RIGHTS_SINCE = {1: (1 << 13) - 1, 2: REFER, 3: TRUNCATE, 5: IOCTL_DEV}
_NET_SINCE = 4
_SCOPES_SINCE = 6
_LOG_FLAGS_SINCE = 7

Table = dict[str, object]


def file_rights(abi: int) -> int:
    """All rights on files that this version of Landlock handles."""
    return sum(rights for since, rights in _FILE_RIGHTS_SINCE.items() if abi >= since)


def net_rights(abi: int) -> int:
    """TCP bind and connect, where they are known."""
    return BIND_TCP | CONNECT_TCP if abi >= _NET_SINCE else 0


def scopes(abi: int) -> int:
    """Signals and abstract unix sockets, where they are known."""
    return SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL if abi >= _SCOPES_SINCE else 0


def log_flags(abi: int) -> int:
    """No denial goes to the machine's audit log, which a hostile process could fill with nothing else."""
    return LOG_SAME_EXEC_OFF | LOG_SUBDOMAINS_OFF if abi >= _LOG_FLAGS_SINCE else 0


def files_table(abi: int, rules: Iterable[Rule]) -> Table:
    """For `landlock.restrict`: no file but by these rules, no signal and no abstract socket to the outside."""
    return {"fs": file_rights(abi), "net": 0, "scoped": scopes(abi), "flags": log_flags(abi), "rules": list(rules)}


def domain_table(abi: int) -> Table:
    """For `landlock.restrict`: only a domain, whose processes cannot trace, or open in /proc, any from outside it.

    A domain must handle something: REFER, as each does anyway, and grants it everywhere.  Needs version 2.
    """
    return {"fs": REFER, "net": 0, "scoped": 0, "flags": log_flags(abi), "rules": [("/", REFER, True)]}


def front_table(abi: int, spool_dir: str) -> Table | None:
    """For a front, asked in its own process: libraries to read, bodies to spool, no TCP but what is open already.

    Its pools' sockets have paths, and connecting to them is not governed.  None without Landlock: it has a seccomp
    filter besides, and a user of its own.
    """
    spool = READ | WRITE_FILE | TRUNCATE | MAKE_REG | REMOVE_FILE
    return _role_table(abi, [(spool_dir, spool, True)])


def log_table(abi: int) -> Table | None:
    """For the log, asked in its own process: its files come to it open.  None without Landlock."""
    return _role_table(abi, [])


def _role_table(abi: int, rules: list[Rule]) -> Table | None:
    if not abi:
        return None
    rules += landlock.interpreter_rules(READ)
    rules += [(path, READ, False) for path in ("/etc/localtime", "/usr/share/zoneinfo", "/proc/self")]
    rules += [("/dev/null", READ_FILE | WRITE_FILE, False), ("/dev/urandom", READ_FILE, False)]
    return {**files_table(abi, rules), "net": net_rights(abi)}
