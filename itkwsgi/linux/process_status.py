"""What the kernel says of a process, in /proc/<pid>/status: the witness that every change of identity is held against.

The text is the kernel's, but the name in it is the process's own choice.  The kernel escapes newlines in it and nothing
that `str.splitlines` would also split at, so lines end at "\\n" alone, and a field that comes twice is refused.
Source: proc_pid_status(5), proc_pid_task(5).
"""

from __future__ import annotations

import os

from itkwsgi.errors import Bug

DISK_SLEEP = "D"
ZOMBIE = "Z"


class StatusError(Bug):
    """A status this module cannot read: nothing may be concluded from it."""


class ProcessStatus:
    """One reading.  Ids come as (real, effective, saved, file system); capability sets as bit masks."""

    __slots__ = (
        "ambient",
        "bounding",
        "effective",
        "filters",
        "gids",
        "groups",
        "inheritable",
        "name",
        "no_new_privs",
        "parent",
        "permitted",
        "seccomp",
        "state",
        "threads",
        "uids",
    )

    def __init__(self, fields: dict[str, str]) -> None:
        self.name = _field(fields, "Name")
        self.state = _field(fields, "State")[:1]
        self.parent = int(_field(fields, "PPid"))
        self.threads = int(_field(fields, "Threads"))
        self.uids = _four(fields, "Uid")
        self.gids = _four(fields, "Gid")
        self.groups = tuple(int(group) for group in _field(fields, "Groups").split())
        self.inheritable = _mask(fields, "CapInh")
        self.permitted = _mask(fields, "CapPrm")
        self.effective = _mask(fields, "CapEff")
        self.bounding = _mask(fields, "CapBnd")
        self.ambient = _mask(fields, "CapAmb")
        self.no_new_privs = _field(fields, "NoNewPrivs") == "1"
        self.seccomp = int(fields.get("Seccomp", "0"))  # a kernel may be built without
        self.filters = int(fields.get("Seccomp_filters", "0"))  # since Linux 5.10

    def __repr__(self) -> str:
        return f"ProcessStatus({', '.join(f'{name}={getattr(self, name)!r}' for name in self.__slots__)})"


def parse(text: str) -> ProcessStatus:
    """Read the text of a status file.

    Raises `StatusError` when a field is missing, comes twice or is no number.
    """
    fields: dict[str, str] = {}
    for line in text.split("\n"):
        key, colon, value = line.partition(":")
        if not colon:
            continue
        if key in fields:
            raise StatusError(f"{key} comes twice in a process status")
        fields[key] = value.strip(" \t")
    try:
        return ProcessStatus(fields)
    except ValueError as error:
        raise StatusError(f"a process status: {error}") from error


def read(pid: int | str = "self") -> ProcessStatus:
    """The status of a process now.

    Raises `FileNotFoundError` or `ProcessLookupError` when there is no such process, `StatusError` as `parse`.
    """
    with open(f"/proc/{pid}/status", "rb") as file:
        return parse(file.read().decode("latin-1"))


def children_of(pid: int) -> list[int]:
    """The children of a process, the dead and unreaped among them too, in no order.

    The kernel may leave some out while others are exiting: whoever wants them all reads again until nothing changes.
    Raises `FileNotFoundError` when there is no such process, or when the kernel was built without CONFIG_PROC_CHILDREN.
    """
    children: list[int] = []
    tasks = f"/proc/{pid}/task"
    for task in os.listdir(tasks):  # each thread has children of its own
        try:
            with open(f"{tasks}/{task}/children", "rb") as file:
                children.extend(int(child) for child in file.read().split())
        except (FileNotFoundError, ProcessLookupError):
            if os.path.exists(f"{tasks}/{task}/status"):
                raise  # the thread is there: it is the file that this kernel lacks
    return children


def _field(fields: dict[str, str], key: str) -> str:
    value = fields.get(key)
    if value is None:
        raise StatusError(f"no {key} in a process status")
    return value


def _four(fields: dict[str, str], key: str) -> tuple[int, int, int, int]:
    real, effective, saved, file_system = (int(word) for word in _field(fields, key).split())
    return real, effective, saved, file_system


def _mask(fields: dict[str, str], key: str) -> int:
    return int(_field(fields, key), 16)
