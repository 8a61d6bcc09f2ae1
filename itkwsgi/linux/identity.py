"""Who a process is to be: user id, group id, supplementary groups.  Numbers; names were looked up elsewhere."""

from __future__ import annotations

import os

from itkwsgi.errors import Bug

# The last one, 2**32 - 1, is -1 to the kernel: "leave as it is".
HIGHEST_ID = 2**32 - 2


class SwitchError(Bug):
    """An identity that is not, or may not be, what was asked for.  The process ends, by `os._exit`, at once."""


class Identity:
    """A user, its group and its supplementary groups (kept sorted, each once).  Cannot be changed, compares by value.

    Raises `SwitchError` for anything that is not an id: a process must not find out in the middle of the switch.
    """

    __slots__ = ("gid", "groups", "uid")

    uid: int
    gid: int
    groups: tuple[int, ...]

    def __init__(self, uid: int, gid: int, groups: tuple[int, ...] = ()) -> None:
        for number in (uid, gid, *groups):
            if type(number) is not int or not 0 <= number <= HIGHEST_ID:
                raise SwitchError(f"{number!r} is not a user or group id")
        object.__setattr__(self, "uid", uid)
        object.__setattr__(self, "gid", gid)
        object.__setattr__(self, "groups", tuple(sorted(set(groups))))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("an Identity cannot be changed")

    def __delattr__(self, name: str) -> None:
        raise AttributeError("an Identity cannot be changed")

    def __reduce__(self) -> tuple[type[Identity], tuple[int, int, tuple[int, ...]]]:
        return Identity, (self.uid, self.gid, self.groups)  # so that it can be copied, through its checks

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Identity):
            return NotImplemented
        return (self.uid, self.gid, self.groups) == (other.uid, other.gid, other.groups)

    def __hash__(self) -> int:
        return hash((self.uid, self.gid, self.groups))

    def __repr__(self) -> str:
        return f"Identity(uid={self.uid}, gid={self.gid}, groups={self.groups})"


def current_identity() -> Identity:
    """Who this process is (effective ids)."""
    return Identity(os.geteuid(), os.getegid(), tuple(os.getgroups()))
