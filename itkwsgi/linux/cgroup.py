"""Control groups, version 2: a group for the processes of one pool, so that one word to the kernel ends all of them,
however they hid: own sessions, double forks, a fork bomb in full flight.

Groups are made below our own, and only where that was given to us to divide: systemd marks it so (Delegate=), and
whoever has no systemd can (setfattr -n trusted.delegate -v 1).  Not without being asked: to move a process into a group
takes the kernel some 10 ms, during which nobody forks.  No controller is enabled in them, so the rule that only leaves
hold processes (cgroups(7)) asks nothing of us.  Groups are root's alone: no site leaves its own, enters another, or
locks one.

The kernel asks what whoever *opened* cgroup.procs may do, not who writes: such a descriptor can pull any process into
its group, to be ended with it.  A forked process writes "0" there, itself, and closes it before a site's code runs.

Nothing here waits: a group whose processes are still ending cannot be removed yet.  Server-side only.
Sources: cgroups(7), cgroup-v2.rst of the kernel (cgroup.kill is of Linux 5.14), systemd's CGROUP_DELEGATION.
"""

from __future__ import annotations

import errno
import fcntl
import os

DELEGATED = ("trusted.delegate", "user.delegate")
# rmdir(2) of a group that still has processes or groups in it, or is gone.
_NOT_YET = frozenset((errno.EBUSY, errno.ENOTEMPTY))


def find(proc: str = "/proc/self") -> str | None:
    """The directory of this process's group, if groups may be made below it.  ``proc``: where to read that."""
    try:
        with open(f"{proc}/cgroup") as cgroups, open(f"{proc}/mountinfo") as mounts:
            group = own_group(cgroups.read(), mounts.read())
    except OSError:
        return None
    return group if group is not None and is_ours(group) else None


def own_group(cgroups: str, mounts: str) -> str | None:
    """The directory of our group of version 2, from /proc/self/cgroup and /proc/self/mountinfo (proc(5)).

    None when there is none, or when it lies outside of what is mounted.
    """
    paths = [line.removeprefix("0::") for line in cgroups.splitlines() if line.startswith("0::")]
    if not paths:
        return None
    for line in mounts.splitlines():
        fields, _, more = line.partition(" - ")
        if more.split(" ")[0] != "cgroup2":
            continue
        root, point = (unescape(field) for field in fields.split(" ")[3:5])
        inside = below(paths[0], root)
        if inside is not None:
            return os.path.normpath(f"{point}/{inside}")
    return None


def below(path: str, root: str) -> str | None:
    """What is left of a path below ``root``; None when it is not below (in another cgroup namespace it begins with
    ``/..``, cgroup_namespaces(7))."""
    if ".." in path.split("/"):
        return None
    if root == "/":
        return path.strip("/")
    return path.removeprefix(root).strip("/") if path == root or path.startswith(f"{root}/") else None


def unescape(field: str) -> str:
    r"""A field of mountinfo, in which space, tab, line feed and backslash stand as ``\040`` and so on."""
    first, *rest = field.split("\\")
    return first + "".join(chr(int(part[:3], 8)) + part[3:] for part in rest)


def is_ours(group: str) -> bool:
    """May we divide it?  That is for whoever made the group to say."""
    return any(marked(group, name) for name in DELEGATED)


def marked(group: str, name: str) -> bool:
    try:
        return os.getxattr(group, name) == b"1"
    except OSError:
        return False


def make(group: str) -> None:
    """Raises OSError."""
    os.mkdir(group, 0o700)


def is_of_use(group: str) -> bool:
    """Can processes be put into it, and be ended at one word?  (Not below a threaded group; not before Linux 5.14.)"""
    with open(f"{group}/cgroup.type") as file:
        return file.read() == "domain\n" and os.path.exists(f"{group}/cgroup.kill")


def lock(group: str) -> int | None:
    """Hold a group as long as the descriptor is open, in whichever process namespace others look.  None when somebody
    else holds it, or removed it meanwhile.  Raises OSError.

    A fork that is not executed would hold it too, and with it what its server left behind when that was killed.
    """
    fd = os.open(group, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(fd), os.stat(group)):
            return fd
    except (BlockingIOError, FileNotFoundError):
        os.close(fd)
        return None
    except OSError:
        os.close(fd)
        raise
    os.close(fd)
    return None


def open_procs(group: str) -> int:
    """A descriptor into which a process writes "0" to enter.  Raises OSError."""
    return os.open(f"{group}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)


def kill(group: str) -> None:
    """Send SIGKILL to all that is in it and below.  One that is gone needs none.  Raises OSError."""
    try:
        fd = os.open(f"{group}/cgroup.kill", os.O_WRONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        os.write(fd, b"1")
    except OSError as error:
        if error.errno != errno.ENODEV:  # removed meanwhile
            raise
    finally:
        os.close(fd)


def remove(group: str) -> bool:
    """Remove it and the groups below; False while a process is left in one.  Raises OSError."""
    try:
        with os.scandir(group) as entries:
            inner = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
        for path in inner:
            if not remove(path):
                return False
        os.rmdir(group)
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno in _NOT_YET:
            return False
        raise
    return True
