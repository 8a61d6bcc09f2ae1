"""Is an environment's venv nobody's but root's?

Its zygote imports from it while it may become any site's user, so whoever can write one file in it, or in what a link
or a .pth file in it leads to, owns every site.  Everything in the tree is looked at, never opened but .pth files;
links that lead out are followed, and what they lead to must be as safe, with all above it.  The first fault is
enough.

Its base interpreter is checked as the target of bin/python.  Not looked at: the standard library of that interpreter,
and code that the venv's own (trusted) modules choose to load from elsewhere.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from itkwsgi.config.machine import Machine
from itkwsgi.config.walk import fault_of, untrusted


def interpreter(venv: str) -> str:
    """The interpreter of a virtual environment."""
    return os.path.join(venv, "bin", "python")


def fault_in(venv: str, machine: Machine) -> str:
    """Says what in the venv, or on the way to it, somebody else could change; "" when nothing."""
    fault = untrusted(venv, machine.trusted, machine.sight)
    if fault:
        return fault
    try:
        machine.sight.lstat(venv)
        return _Inspection(machine).fault(os.path.realpath(venv))
    except FileNotFoundError as error:
        return f"{error.filename} does not exist"
    except OSError as error:
        return f"{error.filename}: {error.strerror}"


class _Inspection:
    """One venv with everything outside it that it leads to."""

    def __init__(self, machine: Machine) -> None:
        self.sight = machine.sight
        self.owners = machine.trusted
        self.trees: list[str] = []  # roots, real paths, of what is or will be looked at
        self.waiting: list[str] = []

    def fault(self, tree: str) -> str:
        """The first fault, in the order of names."""
        self.add_tree(tree)
        while self.waiting:
            directory = self.waiting.pop()
            for entry in sorted(os.scandir(directory), key=lambda entry: entry.name):
                fault = self.fault_of_entry(entry.path)
                if fault:
                    return fault
        return ""

    def add_tree(self, tree: str) -> None:
        """Look at a directory and all below it, unless that is done anyway."""
        if not self.covers(tree):
            self.trees.append(tree)
            self.waiting.append(tree)

    def covers(self, path: str) -> bool:
        """Is it in one of the trees?"""
        return any(path == tree or path.startswith(tree.rstrip("/") + "/") for tree in self.trees)

    def fault_of_entry(self, path: str) -> str:
        info = self.sight.lstat(path)
        fault = fault_of(path, info, self.owners)
        if fault:
            return fault
        if stat.S_ISLNK(info.st_mode):
            return self.fault_of_target(path)
        if stat.S_ISDIR(info.st_mode):
            self.waiting.append(path)
        elif is_pth(path) and stat.S_ISREG(info.st_mode):
            return self.fault_of_pth(path)
        return ""

    def fault_of_target(self, path: str) -> str:
        """Where a link, or a line of a .pth file, leads: what is outside is looked at like what is inside."""
        real = os.path.realpath(path)
        if self.covers(real):
            return ""
        fault = untrusted(path, self.owners, self.sight)
        if fault:
            return fault if fault.startswith(path) else f"{path} leads to where {fault}"
        if os.path.isdir(real):
            self.add_tree(real)
        return ""

    def fault_of_pth(self, path: str) -> str:
        """Lines of a .pth file that are paths are put on sys.path (site in the standard library)."""
        for target in pth_paths(path):
            fault = self.fault_of_target(target)
            if fault:
                return f"{path}: {fault}"
        return ""


def is_pth(path: str) -> bool:
    """A path configuration file; elsewhere the ending means other things."""
    directory, name = os.path.split(path)
    return name.endswith(".pth") and os.path.basename(directory) in ("site-packages", "dist-packages")


def pth_paths(path: str) -> Iterator[str]:
    """The directories that a .pth file adds."""
    with open(path, "rb") as file:
        text = file.read().decode(errors="surrogateescape")
    for line in text.splitlines():
        if line.strip() and "\0" not in line and not line.startswith(("#", "import ", "import\t")):
            yield os.path.join(os.path.dirname(path), line.rstrip())
