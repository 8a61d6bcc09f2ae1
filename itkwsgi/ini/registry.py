"""Every setting, declared once.  None is here that has no effect.

The mode says who may set it: PERDIR is a site's own files below its directories, ALL its code too, SYSTEM neither; an
administrator may set any.  How it is enforced: by the kernel, so that nothing a site does gets past it; by the runtime,
which sets it up and no more; or not at all, as advice to the code.

A limit is the soft rlimit as a ``value``, the hard one as an ``admin_value`` (getrlimit(2)).  "none" clears: no limit,
nothing set.  Names and meanings follow PHP where PHP has them.
"""

from __future__ import annotations

from itkwsgi.ini.kinds import PATH, UMASK, Kind, choice, integer, one_or_list_of, size
from itkwsgi.ini.values import Wrong

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ALL = "ALL"
PERDIR = "PERDIR"
SYSTEM = "SYSTEM"

KERNEL = "kernel"
RUNTIME = "runtime"
ADVISORY = "advisory"

NONE = "none"


class Setting:
    """A setting.  ``default`` and ``none`` are values as the program holds them: without a word, and for "none"."""

    __slots__ = ("default", "enforced", "help", "kind", "mode", "name", "none")

    def __init__(
        self, name: str, kind: Kind, mode: str, enforced: str, help: str, default: Any = None, none: Any = None
    ) -> None:
        self.name, self.kind, self.mode, self.enforced, self.help = name, kind, mode, enforced, help
        self.default, self.none = default, none

    def parse(self, raw: object, directory: str) -> Any:
        """The value of what was written; relative paths start at directory.  Raises `Wrong`."""
        if isinstance(raw, str) and raw.lower() == NONE:
            return self.none
        return self.kind.parse(raw, directory)

    def __repr__(self) -> str:
        return f"Setting({self.name!r})"


def _some_paths(kind: Kind) -> Kind:
    """An empty list would read as "nothing at all" and mean "no restriction"."""

    def parse(raw: object, directory: str) -> object:
        if raw == []:
            raise Wrong("it is empty", f'write "{NONE}" for no restriction')
        return kind.parse(raw, directory)

    return Kind(kind.name, parse, kind.schema, kind.unit)


DISABLE_WORDS = ("exec", "network", "fork", "ptrace")

SETTINGS = (
    Setting(
        "open_basedir",
        _some_paths(one_or_list_of(PATH)),
        ALL,
        KERNEL,
        "The directories in which files can be opened, and what a program needs by itself: the interpreter, libraries, "
        "name resolution, tmp_dir.",
        default=(),
        none=(),
    ),
    Setting(
        "disable",
        one_or_list_of(choice(*DISABLE_WORDS)),
        SYSTEM,
        KERNEL,
        "What the site's processes cannot do: exec another program, use the network, fork, ptrace.",
        default=(),
        none=(),
    ),
    Setting(
        "max_processes",
        integer(2, 2**22, "processes"),  # a pool and one child; the kernel's own bound (PID_MAX_LIMIT)
        SYSTEM,
        KERNEL,
        "Processes and threads of the site's user, as the kernel counts them: all that this user runs on the machine.",
    ),
    Setting(
        "max_open_files",
        integer(16, 2**30, "files"),
        ALL,
        KERNEL,
        "Files and sockets that one process has open.",
        default=1024,
    ),
    Setting("max_file_size", size(2**10, 2**60), ALL, KERNEL, "How large a process can make a file."),
    Setting(
        "umask",
        UMASK,
        ALL,
        RUNTIME,
        "Permissions that new files do not get.",
        default=0o022,
        none=0o022,
    ),
    Setting("tmp_dir", PATH, ALL, RUNTIME, "Where temporary files go (TMPDIR); else a directory of the site's own."),
)

# Names of the full registry that this version does not have.
LATER = frozenset(
    (
        "auto_append_file",
        "auto_prepend_file",
        "default_charset",
        "default_socket_timeout",
        "display_errors",
        "engine",
        "error_log",
        "expose_server",
        "ignore_user_abort",
        "include_path",
        "locale",
        "log_errors",
        "max_execution_time",
        "max_input_time",
        "memory_limit",
        "optimize",
        "output_buffering",
        "post_max_size",
        "recursion_limit",
        "request_timeout",
        "revalidate",
        "slow_request",
        "timezone",
        "update_protection",
        "warnings",
    )
)

BY_NAME = {setting.name: setting for setting in SETTINGS}
