"""What binds one site beyond its user, computed from its settings: the "confine" of its pool's plan.

Numbers, paths and finished programs only: the site's own process carries them out after its switch, and it is that
process that opens the paths, with its user's rights.  Root touches none of them.

open_basedir, as PHP's, but held by the kernel (Landlock) and so for every library and program of the site.  It grants
the directories that are listed, and beside them what a Python program cannot do without:

* libraries, the interpreter, its environment, and this package: to read and execute; to execute, because the dynamic
  linker is a library.  Not /usr/bin: a site that runs the system's programs lists "/usr";
* its own temporary directory;
* /proc and the machine's processors, to read: threads, memory and the number of cores are looked up there.  Processes
  from outside the site's pool show what every user may see, the site's own user's too: a domain may not trace;
* the harmless devices, time zones, and what name resolution, TLS and the dynamic linker need below /etc.  Not passwd
  and group: the site knows its own user from its environment.

Not granted is /dev/shm, which all users of a machine share and where files outlive the site: multiprocessing's locks,
queues and pools, and shared_memory, need it listed; its processes and pipes do not.

A rule belongs to a file, not to its name.  Who replaces a single file (resolv.conf, hosts, ld.so.cache) and not what is
in it takes it from the pools that are running; directories stay.  A link that leads out of the listed directories leads
to nothing; a hard link inside is inside.  What Landlock does not govern is said in `linux.rulesets`.
"""

from __future__ import annotations

import math
import os
import resource
from typing import TYPE_CHECKING

import itkwsgi
from itkwsgi.errors import OperatorError
from itkwsgi.ini.rlimits import HARD_TIMEOUT, RESOURCES
from itkwsgi.linux import landlock, rulesets
from itkwsgi.linux.abilities import OPEN_BASEDIR_NEEDS, UNTRACED_NEEDS
from itkwsgi.linux.filters import site_filter
from itkwsgi.linux.rulesets import EXECUTE, READ, READ_FILE, WRITE_FILE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from itkwsgi.config.model import Config, Vhost
    from itkwsgi.linux.landlock import Rule

LIBRARIES = (
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/libx32",
    "/usr/local/lib",
    "/usr/local/lib32",
    "/usr/local/lib64",
)
# ctypes.util.find_library() asks it.
LINKER_CACHE = "/sbin/ldconfig"
READABLE = (
    "/proc",
    "/sys/devices/system/cpu",
    "/sys/devices/system/node",
    # the dynamic linker
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/ld.so.preload",
    # name resolution
    "/etc/gai.conf",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/protocols",
    "/etc/resolv.conf",
    "/etc/services",
    "/run/resolvconf",
    "/run/systemd/resolve",
    # TLS
    "/etc/ca-certificates",
    "/etc/crypto-policies",
    "/etc/pki",
    "/etc/ssl",
    "/usr/local/share/ca-certificates",
    "/usr/share/ca-certificates",
    "/usr/share/crypto-policies",
    # time, types of files
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/timezone",
    "/usr/share/zoneinfo",
)
RUN = READ | EXECUTE
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


Limit = tuple[int, int, int]


def confinement(vhost: Vhost, config: Config, *, tmp_dir: str | None, abi: int | None = None) -> dict[str, object]:
    """The "confine" of this site's plan.

    ``tmp_dir``: the site's own.  ``abi``: the version of Landlock, asked of the kernel when not said.
    Raises `OperatorError` for what this kernel cannot keep.
    """
    version = landlock.abi() if abi is None else abi
    disable = frozenset(vhost.setting("disable"))
    in_pool = disable - {"fork"}  # a pool must fork, its children need not
    return {
        "rlimits": limits(vhost),
        "landlock": landlock_table(vhost, config, tmp_dir, version),
        "seccomp": site_filter(in_pool) if in_pool else None,
        "child_landlock": rulesets.domain_table(version) if "ptrace" in disable else None,
        "child_seccomp": site_filter(frozenset({"fork"})) if "fork" in disable else None,
    }


def landlock_table(vhost: Vhost, config: Config, tmp_dir: str | None, abi: int) -> dict[str, object] | None:
    """The table for `landlock.restrict`, with the rights on the interpreter's own files; None when it needs none."""
    basedir = vhost.setting("open_basedir")
    if basedir:
        require("open_basedir", abi, OPEN_BASEDIR_NEEDS)
        rules = [*granted(basedir, vhost, tmp_dir), *by_itself(vhost, config)]
        return {**rulesets.files_table(abi, rules), "interpreter": RUN}
    if "ptrace" in vhost.setting("disable"):
        require('disable = ["ptrace"]', abi, UNTRACED_NEEDS)
        return {**rulesets.domain_table(abi), "interpreter": 0}
    return None


def require(name: str, abi: int, needed: int) -> None:
    """Raises `OperatorError` when the kernel's Landlock is older than what a protection needs."""
    if abi < needed:
        found = f"version {abi} of it" if abi else "none"
        raise OperatorError(f"{name} needs Landlock version {needed}, and this kernel has {found}")


def granted(basedir: Iterable[str], vhost: Vhost, tmp_dir: str | None) -> Iterator[Rule]:
    """All rights, as far as the user's own go: what is listed, and the site's temporary directories."""
    for path in basedir:
        yield path, rulesets.ALL, True
    yield from temporary(vhost, tmp_dir)


def temporary(vhost: Vhost, tmp_dir: str | None) -> Iterator[Rule]:
    """All rights on the site's own temporary directory, and on those that are named for parts of it."""
    if tmp_dir:
        yield tmp_dir, rulesets.ALL, True
    for area in (*vhost.directories, *vhost.locations):
        said = area.settings.get("tmp_dir")
        if said is not None and said.value:
            yield said.value, rulesets.ALL, False
    if vhost.private_tmp:
        yield "/tmp", rulesets.ALL, True  # nobody else's
        if vhost.private_var_tmp:
            yield "/var/tmp", rulesets.ALL, True


def by_itself(vhost: Vhost, config: Config) -> Iterator[Rule]:
    """What a Python program cannot do without, where it is there."""
    for path in (*LIBRARIES, LINKER_CACHE, *interpreter(vhost, config)):
        yield path, RUN, False
    for path in READABLE:
        yield path, READ, False
    for path in DEVICES:
        yield path, READ_FILE | WRITE_FILE, False
    yield os.path.dirname(os.path.abspath(itkwsgi.__file__)), READ, True


def interpreter(vhost: Vhost, config: Config) -> Iterator[str]:
    """What root can say of the site's interpreter; the rest it says itself (`landlock.interpreter_rules`)."""
    if vhost.venv:
        yield vhost.venv
    if vhost.environment is not None:
        yield config.environments[vhost.environment].venv
    for path in (vhost.python, vhost.binary):
        if path:
            yield path


def limits(vhost: Vhost) -> list[Limit]:
    """(resource, soft, hard) for setrlimit(2): a value is the soft limit, an admin_value both; "none" lifts the soft.

    What nobody said and what has no default stays as it is.  No site leaves a core file.
    """
    found: list[Limit] = [(resource.RLIMIT_CORE, 0, 0), *processor_time(vhost)]
    for name, number in RESOURCES.items():
        said, value = vhost.holding.get(name), vhost.setting(name)
        if said is None and value is None:
            continue
        _, hard = resource.getrlimit(number)
        soft = hard if value is None else within(value, hard)
        found.append((number, soft, soft if said is not None and said.fixed else hard))
    return found


def processor_time(vhost: Vhost) -> Iterator[Limit]:
    """RLIMIT_CPU where max_execution_time is fixed: a bound from before the import, which may take its time.

    It counts for each process anew; a child sets that of its request itself.
    """
    said = vhost.holding.get("max_execution_time")
    if said is not None and said.fixed and said.value is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        bound = within(math.ceil(max(said.value, vhost.startup_timeout)) + HARD_TIMEOUT, hard)
        yield resource.RLIMIT_CPU, bound, bound


def within(value: int, hard: int) -> int:
    """The value, or the server's own hard limit where that is lower: none of its processes can go beyond it."""
    return value if hard == resource.RLIM_INFINITY else min(value, hard)
