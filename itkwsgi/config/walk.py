"""Walks a path as the kernel does, component by component, links and their targets included.

Two questions are asked of such a walk: may somebody else change what is found there (`untrusted`), and may a given user
get there at all (`itkwsgi.config.reach`).  Nothing is opened; only lstat(2) and readlink(2) are used, and both can be
replaced.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

# As the kernel's MAXSYMLINKS (path_resolution(7)).
MOST_LINKS = 40
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def has_acl(path: str) -> bool:
    """Has it an access list (acl(5)), beside which the mode bits tell little?"""
    try:
        return bool(os.getxattr(path, "system.posix_acl_access", follow_symlinks=False))
    except OSError:  # ENODATA: none; ENOTSUP: the file system knows none
        return False


class Sight(NamedTuple):
    """How paths are looked at."""

    lstat: Callable[[str], os.stat_result] = os.lstat
    readlink: Callable[[str], str] = os.readlink
    has_acl: Callable[[str], bool] = has_acl


PLAIN_SIGHT = Sight()


class Visit(NamedTuple):
    """One component on the way; ``last``: what the path finally names, never a link."""

    path: str
    info: os.stat_result
    last: bool


def steps(path: str, sight: Sight = PLAIN_SIGHT) -> Iterator[Visit]:
    """Every component from / to what the absolute ``path`` names.

    Raises OSError as the kernel would, with the component in question as ``filename``: ENOENT, ENOTDIR, ELOOP.
    """
    here, rest, links = "/", _components(path), 0
    while rest:
        name = rest.popleft()
        there = _next(here, name)
        info = sight.lstat(there)
        link = stat.S_ISLNK(info.st_mode)
        yield Visit(there, info, not rest and not link)
        if link:
            links += 1
            if links > MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            target = sight.readlink(there)
            rest.extendleft(reversed(_components(target)))
        elif rest and not stat.S_ISDIR(info.st_mode):
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), there)
        else:
            here = there


def _components(path: str) -> deque[str]:
    """The names of a path; "/" itself first when it is absolute."""
    names = deque(name for name in path.split("/") if name)
    if path.startswith("/"):
        names.appendleft("/")
    return names


def _next(here: str, name: str) -> str:
    if name == "/":
        return "/"
    if name == ".":
        return here
    return os.path.dirname(here) if name == ".." else os.path.join(here, name)


def exists(path: str, sight: Sight = PLAIN_SIGHT) -> bool:
    """Is there something?  What cannot be looked at counts as nothing."""
    try:
        return any(visit.last for visit in steps(path, sight))
    except OSError:
        return False


def untrusted(path: str, owners: frozenset[int], sight: Sight = PLAIN_SIGHT, sticky: bool = False) -> str:
    """Says why somebody other than the owners could change what ``path`` names; "" when nobody can.

    Every component must belong to one of them, and none may be writable by its group or by others, but sticky
    directories on the way (/tmp), in which nobody can replace what is not theirs.  What does not exist is
    trusted, unless anybody could make it.  ``sticky``: may ``path`` itself be a sticky directory?
    """
    open_to_all = ""
    try:
        for visit in steps(path, sight):
            fault = fault_of(visit.path, visit.info, owners, passing=sticky or not visit.last)
            if fault:
                return fault
            if not stat.S_ISLNK(visit.info.st_mode):
                open_to_all = visit.path if visit.info.st_mode & _OTHERS_WRITE else ""
    except FileNotFoundError as error:
        return f"{error.filename} does not exist, and anybody could make it in {open_to_all}" if open_to_all else ""
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    return ""


def fault_of(path: str, info: os.stat_result, owners: frozenset[int], passing: bool = False) -> str:
    """Says why somebody other than the owners could change this one thing; ``passing``: a directory on the way."""
    if info.st_uid not in owners:
        return f"{path} belongs to uid {info.st_uid}"
    if stat.S_ISLNK(info.st_mode):
        return ""  # its mode means nothing, its owner alone may change it
    if not info.st_mode & _OTHERS_WRITE or (passing and info.st_mode & stat.S_ISVTX):
        return ""
    who = "everybody" if info.st_mode & stat.S_IWOTH else "its group"
    return f"{path} is {stat.S_IMODE(info.st_mode):04o}: {who} may write it"
