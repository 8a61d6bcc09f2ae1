"""Each pool in a control group of its own, where the machine lets us have them: what a site left behind cannot hide.

    <our own group>/itkwsgi-PID/pool-SERIAL

This comes on top of process groups and subreapers, which end what they can find; nothing depends on it, and where it
cannot be had it is absent.  A group is removed when it is empty, which is tried again until it is: nothing waits.  What
a supervisor that was killed left behind is ended by the next one; that a supervisor lives is told by its lock, not by
its pid, which may be somebody else's by now, or of another pid namespace.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from itkwsgi.linux import cgroup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    After = Callable[[float, Callable[[], None]], None]
    Note = Callable[[str], None]

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 10.0
NAMES = 10  # tries for a name that nobody has or removes under our hands
OURS = re.compile(r"itkwsgi-[0-9]+(\.[0-9]+)?")


class Cgroups:
    """The groups of one supervisor.  ``base``: the directory that holds them; ``lock``: held on it.

    ``after(seconds, callback)`` calls back once; ``note`` takes a line for the server's error log.
    """

    def __init__(self, base: str, lock: int, after: After, note: Note) -> None:
        self.base = base
        self.lock = lock
        self.after = after
        self.note = note
        self.serials: set[int] = set()
        self.leaving: set[str] = set()  # to be removed once they are empty
        self.pause = 0.0  # until that is tried again; 0: it is not due
        self.complained = False

    def open(self, serial: int) -> int | None:
        """Make a pool's group; a descriptor for whom the pool is forked by: see `linux.cgroup`.  The caller closes it.
        None when it cannot be had: that pool goes without, which is said once."""
        path = self.path(serial)
        try:
            cgroup.make(path)
            self.serials.add(serial)
            return cgroup.open_procs(path)
        except OSError as error:
            if not self.complained:
                self.note(f"pools go without control groups: {path}: {error.strerror}")
                self.complained = True
            self.forget(serial)
            return None

    def kill(self, serial: int) -> None:
        """End every process of that pool, if it has a group."""
        if serial in self.serials:
            self.end(self.path(serial))

    def forget(self, serial: int) -> None:
        """The pool is gone: end what it left behind, remove its group."""
        if serial in self.serials:
            self.serials.discard(serial)
            self.leave(self.path(serial))

    def close(self) -> None:
        """At the end of the server: end all, remove what is empty.  What is not is left to the next start."""
        for path in (*self.leaving, self.base):
            self.end(path)
            self.is_removed(path)
        self.leaving.clear()
        self.serials.clear()
        os.close(self.lock)

    def path(self, serial: int) -> str:
        return f"{self.base}/pool-{serial}"

    def leave(self, path: str) -> None:
        """End a group and remove it, now or later."""
        self.end(path)
        if self.is_removed(path):
            return
        self.leaving.add(path)
        if not self.pause:
            self.pause = FIRST_PAUSE
            self.after(self.pause, self.try_again)

    def try_again(self) -> None:
        """Ended once more, too: a fork that was under way when its pool was given up enters late."""
        for path in list(self.leaving):
            self.end(path)
            if self.is_removed(path):
                self.leaving.discard(path)
        self.pause = min(self.pause * 2, LONGEST_PAUSE) if self.leaving else 0.0
        if self.pause:
            self.after(self.pause, self.try_again)

    def end(self, path: str) -> None:
        try:
            cgroup.kill(path)
        except OSError as error:
            self.note(f"the control group {path} cannot be ended: {error.strerror}")

    def is_removed(self, path: str) -> bool:
        """Also when it cannot be: there is no use in trying that again."""
        try:
            return cgroup.remove(path)
        except OSError as error:
            self.note(f"the control group {path} cannot be removed: {error.strerror}")
            return True


def begin(after: After, note: Note, group: str | None) -> Cgroups | None:
    """Make the server's own group below ``group`` (see `cgroup.find`), and end what others left there.

    None, and nothing is said, where it cannot be had: a read-only mount, no rights, a kernel that is too old.
    """
    if group is None:
        return None
    try:
        base, lock = make_base(group)
    except OSError:
        return None
    groups = Cgroups(base, lock, after, note)
    if not is_of_use(base):
        groups.close()
        return None
    for path in leftovers(group):
        groups.leave(path)
    return groups


def make_base(group: str) -> tuple[str, int]:
    """A new group and the lock on it.  Raises OSError."""
    path = f"{group}/itkwsgi-{os.getpid()}"
    for number in range(NAMES):
        base = f"{path}.{number}" if number else path
        try:
            cgroup.make(base)
            lock = cgroup.lock(base)
        except (FileExistsError, FileNotFoundError):
            continue
        if lock is not None:
            return base, lock
    raise FileExistsError(f"{path} and {NAMES - 1} more")


def is_of_use(base: str) -> bool:
    try:
        return cgroup.is_of_use(base)
    except OSError:
        return False


def leftovers(group: str) -> Iterator[str]:
    """Groups of servers that are no more, each locked while it is looked at: it may be of a server that just starts and
    has not locked it yet, which then takes another name."""
    for name in os.listdir(group):
        if not OURS.fullmatch(name):
            continue
        path = f"{group}/{name}"
        try:
            lock = cgroup.lock(path)
        except OSError:
            continue  # gone, or of somebody else
        if lock is None:
            continue
        try:
            yield path
        finally:
            os.close(lock)
