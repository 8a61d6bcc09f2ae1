"""May this user get there?  A static answer from the mode bits of each component on the way, as the kernel reads them.

Of owner, group and others only the first class that fits counts (path_resolution(7)).  What mode bits do not tell is
not judged: a component with an access list, and what root itself may not look at (NFS with root_squash).
Capabilities play no part: no site has any.
"""

from __future__ import annotations

import os
import stat

from itkwsgi.config.model import Ids
from itkwsgi.config.walk import PLAIN_SIGHT, Sight, steps

ENTER = EXECUTE = 1
WRITE = 2
READ = 4


def refusal(path: str, ids: Ids | None, want: int, kind: str = "", sight: Sight = PLAIN_SIGHT) -> str:
    """Says what keeps the user from ``path``, an absolute one: "/root is 0700: user 50001 cannot enter"; "" if
    nothing does.

    ``want`` is what is asked of the last component (READ, WRITE, EXECUTE, ENTER, or several); the others must be
    entered.
    ``kind``: "directory" or "file", when it must be one.  Without ``ids`` only existence and kind are looked at.
    """
    try:
        for visit in steps(path, sight):
            if stat.S_ISLNK(visit.info.st_mode):
                continue
            expected = kind if visit.last else "directory"
            if not is_kind(visit.info, expected):
                return f"{visit.path} is not a {expected}"
            missing = (want if visit.last else ENTER) & ~rights(visit.info, ids) if ids else 0
            if missing and ids and not sight.has_acl(visit.path):
                mode = stat.S_IMODE(visit.info.st_mode)
                return f"{visit.path} is {mode:04o}: user {ids.name or ids.uid} cannot {verb(missing, visit.info)}"
    except FileNotFoundError as error:
        return f"{error.filename} does not exist"
    except PermissionError:
        return ""  # not ours to see, so not ours to judge
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    return ""


def is_kind(info: os.stat_result, kind: str) -> bool:
    """A directory, a regular file, or whatever."""
    check = {"directory": stat.S_ISDIR, "file": stat.S_ISREG}.get(kind)
    return check is None or check(info.st_mode)


def rights(info: os.stat_result, ids: Ids) -> int:
    """The three permission bits (4 read, 2 write, 1 execute) that this user has."""
    if info.st_uid == ids.uid:
        return info.st_mode >> 6 & 7
    if info.st_gid == ids.gid or info.st_gid in ids.groups:
        return info.st_mode >> 3 & 7
    return info.st_mode & 7


def verb(missing: int, info: os.stat_result) -> str:
    """What cannot be done, in a word."""
    if missing & READ:
        return "read"
    if missing & WRITE:
        return "write"
    return "enter" if stat.S_ISDIR(info.st_mode) else "execute"
