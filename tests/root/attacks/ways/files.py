"""Files: what is root's, the server's, the log's and another site's; reading, writing, replacing, and links."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct

from tests.root.attacks.attempt import Missing, Way
from tests.root.attacks.calls import call

READ = ("config", "key", "secret", "error log", "access log", "victim's log", "shadow", "victim's tmp file", "gshadow")
LIST = ("victim's home", "victim's tmp", "all tmp", "pools", "bodies")
MAKE_IN = ("run", "pools", "spool", "bodies", "all tmp", "logs", "victim's home", "victim's tmp", "code", "package")
CHANGE = ("config", "error log", "access log", "victim's log", "code file", "secret")
OPEN_FOR_WRITING = ("package file", "interpreter")
REPLACE = ("config", "error log", "pool socket", "victim's tmp", "code file", "run")
MACHINE_READ = ("/proc/kcore", "/dev/mem", "/dev/kmsg", "/dev/port", "/proc/vmallocinfo")
OF_INIT = ("/proc/1/environ", "/proc/1/mem", "/proc/1/maps")
MACHINE_WRITE = (
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/modprobe",
    "/proc/sys/vm/drop_caches",
    "/proc/sysrq-trigger",
    "/sys/kernel/uevent_helper",
    "/dev/mem",
    "/etc/passwd",
    "/etc/ld.so.preload",
    "/sys/fs/cgroup/unified/cgroup.procs",
)
HANDLE_BYTES = 128
AT_FDCWD = -100


def reading(path):
    with open(path, "rb") as file:
        return file.read(100)


def opening_for_writing(path):
    try:
        os.open(path, os.O_WRONLY | os.O_APPEND)
    except OSError as error:
        if error.errno != errno.ETXTBSY:  # it runs just now: said only to who may write it
            raise
    return "open for writing"


def truncating(path):
    """To the length that it has: nothing is lost when it works."""
    os.truncate(path, os.stat(path).st_size)
    return "truncated"


def making(directory):
    path = f"{directory}/itkwsgi-attack-{os.getpid()}"
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    os.unlink(path)
    return path


def making_a_link(directory):
    """Where a log or a socket will be opened one day."""
    path = f"{directory}/itkwsgi-attack-{os.getpid()}"
    os.symlink("/etc/passwd", path)
    os.unlink(path)
    return path


def making_a_directory(directory):
    path = f"{directory}/itkwsgi-attack-{os.getpid()}"
    os.mkdir(path)
    os.rmdir(path)
    return path


def replacing(path):
    """Away and back again."""
    os.rename(path, path + ".away")
    os.rename(path + ".away", path)
    return "renamed"


def changing_mode(path):
    os.chmod(path, stat.S_IMODE(os.stat(path).st_mode))
    return "its mode is ours to change"


def taking(path):
    found = os.stat(path)
    os.chown(path, os.getuid(), -1)
    os.chown(path, found.st_uid, found.st_gid)
    return "it was ours"


def on(way, name):
    def does(targets):
        return way(targets["files"][name])

    return does


def own_file(targets):
    path = f"{targets['own']}/own-{os.getpid()}"
    with open(path, "w"):
        return path


def give_away(who):
    """A file of ours that becomes somebody else's: a setuid program, if its mode stays."""

    def way(targets):
        path = own_file(targets)
        try:
            os.chown(path, targets["ids"][who], -1)
        finally:
            os.unlink(path)
        return "given away"

    return way


def set_attribute(name, value):
    def way(targets):
        path = own_file(targets)
        try:
            os.setxattr(path, name, value)
        finally:
            os.unlink(path)
        return name

    return way


def link_to_the_key(targets):
    """A second name in a directory of ours, which root may one day change by that name."""
    if reading("/proc/sys/fs/protected_hardlinks").strip() == b"0":
        raise Missing("fs.protected_hardlinks is 0 on this machine")
    path = f"{targets['own']}/link-{os.getpid()}"
    os.link(targets["files"]["key"], path)
    os.unlink(path)
    return "linked"


def make_device(targets):
    path = f"{targets['own']}/device-{os.getpid()}"
    os.mknod(path, stat.S_IFBLK | 0o600, os.makedev(1, 1))
    os.unlink(path)
    return "a device"


def open_by_handle(targets):
    """open_by_handle_at(2) asks no directory on the way."""
    handle = ctypes.create_string_buffer(struct.pack("=Ii", HANDLE_BYTES, 0), 8 + HANDLE_BYTES)
    mount = ctypes.c_int()
    call("name_to_handle_at", AT_FDCWD, ctypes.c_char_p(b"/etc/passwd"), handle, ctypes.byref(mount), 0)
    return call("open_by_handle_at", os.open("/", os.O_RDONLY), handle, os.O_RDONLY)


def leave_root_directory(targets):
    os.chroot("/etc")
    return "chroot"


def disk_itself(targets):
    """The block device below the file system."""
    device = os.stat(targets["own"]).st_dev
    for entry in os.scandir("/dev"):
        found = entry.stat(follow_symlinks=False)
        if stat.S_ISBLK(found.st_mode) and found.st_rdev == device:
            return reading(entry.path)
    raise Missing("the disk has no name in /dev")


SETUID_CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 7, 0, 0, 0)  # struct vfs_cap_data, revision 2
WAYS = {
    **{f"read {name}": Way(on(reading, name)) for name in READ},
    **{f"list {name}": Way(on(os.listdir, name)) for name in LIST},
    **{f"make a file in {name}": Way(on(making, name)) for name in MAKE_IN},
    **{f"make a link in {name}": Way(on(making_a_link, name)) for name in MAKE_IN},
    **{f"make a directory in {name}": Way(on(making_a_directory, name)) for name in MAKE_IN},
    **{f"write {name}": Way(on(opening_for_writing, name)) for name in (*CHANGE, *OPEN_FOR_WRITING)},
    **{f"truncate {name}": Way(on(truncating, name)) for name in CHANGE},
    **{f"change the mode of {name}": Way(on(changing_mode, name)) for name in CHANGE},
    **{f"take {name}": Way(on(taking, name)) for name in CHANGE},
    **{f"replace {name}": Way(on(replacing, name)) for name in REPLACE},
    **{f"read {path}": Way(lambda targets, path=path: reading(path)) for path in MACHINE_READ},
    **{
        f"read {path}": Way(lambda targets, path=path: reading(path), control="", why="init may hold more than we do")
        for path in OF_INIT
    },
    **{
        f"write {path}": Way(lambda targets, path=path: opening_for_writing(path), control="root")
        for path in MACHINE_WRITE
    },
    "give a file to root": Way(give_away("root")),
    "give a file to the victim": Way(give_away("victim")),
    "give a file capabilities": Way(set_attribute("security.capability", SETUID_CAPABILITY)),
    "set a trusted attribute": Way(set_attribute("trusted.itkwsgi", b"x")),
    "link to the key": Way(link_to_the_key),
    "make a device": Way(make_device),
    "open by handle": Way(open_by_handle),
    "change the root directory": Way(leave_root_directory),
    "read the disk": Way(disk_itself, control="", why="a cgroup may keep devices from root as well"),
}
