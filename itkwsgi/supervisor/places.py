"""The server's own files: run_dir, spool_dir, logs, and the sites' tmp directories.

Root makes and opens files here only along paths on which nobody else can put anything: every directory on the way
belongs to root and is writable by nobody else (a sticky one like /tmp may be passed, but not used), and no link is
followed at its end. A predictable path that a site could write has been the root hole of more than one server.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from itkwsgi.config.walk import steps
from itkwsgi.errors import OperatorError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from itkwsgi.config.model import Config

LOG_MODE = 0o640


@dataclass(frozen=True, slots=True)
class Places:
    """Where the server's files are."""

    run_dir: str
    pools: str  # the pools' sockets; the fronts' group may enter
    bodies: str  # the fronts' spool
    tmp: str  # a directory for each site


def prepare(config: Config, *, privileged: bool) -> Places:
    """Make what is missing.  Raises `OperatorError` when something on the way is not root's alone."""
    server = config.server
    front = server.front_ids
    places = Places(
        server.run_dir,
        os.path.join(server.run_dir, "pools"),
        os.path.join(server.spool_dir, "bodies"),
        os.path.join(server.spool_dir, "tmp"),
    )
    make_directory(server.run_dir, 0o755)
    make_directory(server.spool_dir, 0o755)
    make_directory(places.pools, 0o710)
    make_directory(places.bodies, 0o700, owner=front.uid if privileged else None)
    make_directory(places.tmp, 0o711)
    if privileged:
        os.chown(places.pools, 0, front.gid, follow_symlinks=False)
        os.chown(places.bodies, front.uid, front.gid, follow_symlinks=False)
    remove_old_sockets(places.pools)
    return places


def remove_old_sockets(pools: str) -> None:
    """An earlier server that was killed left its pools' sockets."""
    for entry in os.scandir(pools):
        if stat.S_ISSOCK(entry.stat(follow_symlinks=False).st_mode):
            os.unlink(entry.path)


def make_directory(path: str, mode: int, *, owner: int | None = None) -> None:
    """Make a directory and its parents, or take it when it is there and safe; sets its mode.

    ``owner``: who may have it beside root.
    """
    check_parents(path)
    missing = []
    while not os.path.lexists(path):
        missing.append(path)
        path = os.path.dirname(path)
    for directory in reversed(missing):
        os.mkdir(directory, 0o755)
        path = directory
    own(path, os.lstat(path), sticky_is_fine=False, owner=owner)
    os.chmod(path, mode)


def check_parents(path: str) -> None:
    """Raises `OperatorError` unless every existing directory above ``path`` is safe to pass, and so is every link on
    the way and what that leads through."""
    try:
        for visit in steps(os.path.dirname(path)):
            own(visit.path, visit.info, sticky_is_fine=True, link_is_fine=True)
    except FileNotFoundError:
        return  # the rest is still to be made
    except OSError as error:
        raise OperatorError(f"{path}: {error.filename}: {error.strerror}") from None


def own(
    path: str,
    found: os.stat_result,
    *,
    sticky_is_fine: bool,
    link_is_fine: bool = False,
    owner: int | None = None,
) -> None:
    """Raises `OperatorError` when somebody else could have put something at or below ``path``."""
    is_link = link_is_fine and stat.S_ISLNK(found.st_mode)
    if not (is_link or stat.S_ISDIR(found.st_mode)):
        raise OperatorError(f"{path} is not a directory: name another one in itk.toml, or remove it")
    if found.st_uid not in (0, os.geteuid(), owner):
        raise OperatorError(f"{path} belongs to uid {found.st_uid}: it must be root's (chown root {path})")
    if is_link:
        return  # its mode means nothing
    writable = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if writable and not (sticky_is_fine and found.st_mode & stat.S_ISVTX):
        raise OperatorError(f"{path} is writable by others than its owner: chmod go-w {path}")


def open_log(path: str) -> int:
    """Open a log file for appending, following no link.  Raises `OperatorError`."""
    make_directory_of(path)
    try:
        fd = os.open(
            path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, LOG_MODE
        )
    except OSError as error:
        raise OperatorError(f"{path}: {error.strerror}: name another log file in itk.toml, or mend this one") from None
    os.set_blocking(fd, True)
    return fd


def open_logs(paths: Iterable[str | None]) -> list[int]:
    """Open those that are named, all or none.  Raises `OperatorError`."""
    files: list[int] = []
    try:
        for path in paths:
            if path:
                files.append(open_log(path))
    except OperatorError:
        for fd in files:
            os.close(fd)
        raise
    return files


def make_directory_of(path: str) -> None:
    """The log's directory: made when missing, else as it is, when nobody else can write there."""
    directory = os.path.dirname(path)
    if os.path.lexists(directory):
        check_parents(path)
        own(directory, os.stat(directory), sticky_is_fine=False)
    else:
        make_directory(directory, 0o755)


def site_tmp(places: Places, name: str, uid: int, gid: int, *, privileged: bool) -> str:
    """The site's own tmp directory, 0700 and its user's; made below a directory that only root can write.

    The uid is in its name: two sites may have one name (on different listeners) and different users.
    """
    path = os.path.join(places.tmp, f"{name.replace('*', '_')}-{uid}")
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            raise OperatorError(f"{path} is not a directory: remove it") from None
    if privileged:
        os.chown(path, uid, gid, follow_symlinks=False)
    return path
