"""Every setting, declared once.  None is here that has no effect.

A limit is the soft rlimit as a ``value``, the hard one as an ``admin_value`` (getrlimit(2)).  "none" clears: no limit,
nothing set; for what cannot be nothing it is the default.  Names and meanings follow PHP where PHP has them.
"""

from __future__ import annotations

from itkwsgi.ini.kinds import (
    CHARSET,
    FILTERS,
    FLAG,
    LOCALE,
    PATH,
    SIZE,
    TIME,
    UMASK,
    ZONE,
    choice,
    integer,
    limit,
    one_or_list_of,
    size,
    some,
)
from itkwsgi.ini.setting import ALL, KERNEL, PERDIR, RUNTIME, SYSTEM, Setting

DISABLE_WORDS = ("exec", "network", "fork", "ptrace")

SETTINGS = (
    # --- limits
    Setting(
        "memory_limit",
        size(2**22, 2**50),
        ALL,
        KERNEL,
        "Memory of one process that is its own, the interpreter's and what was imported included (RLIMIT_DATA): beyond "
        "it there is a MemoryError.",
        default=128 * 2**20,
    ),
    Setting(
        "max_execution_time",
        limit(TIME),
        ALL,
        KERNEL,
        "Seconds of processor time for one request: then TimeLimitExceeded is raised in it, 2 s later the process is "
        "ended (RLIMIT_CPU).  0 is no limit.",
        default=30.0,
    ),
    Setting(
        "request_timeout",
        limit(TIME),
        PERDIR,
        RUNTIME,
        "Seconds for one request, by the clock on the wall: then it is ended and answered 504.  0 is no limit.",
    ),
    Setting(
        "slow_request",
        limit(TIME),
        PERDIR,
        RUNTIME,
        "Of a request that takes longer the stacks of its threads are written to the log; it goes on.  0 is never.",
    ),
    Setting(
        "max_input_time",
        limit(TIME),
        PERDIR,
        RUNTIME,
        "Seconds for the body of a request to come in: then 408.  0 is no limit.  The front keeps what the "
        "administrator said: the body is there before the site is asked; a site's own file counts behind its "
        "pool_socket.",
    ),
    Setting(
        "post_max_size",
        limit(SIZE),
        PERDIR,
        RUNTIME,
        "The largest body of a request; a larger one is answered 413 and the app does not see it.  0 is no limit.",
        default=8 * 2**20,
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
        "recursion_limit",
        integer(50, 10**7, "frames"),
        ALL,
        RUNTIME,
        "How deep Python calls may nest (sys.setrecursionlimit).",
        default=1000,
        none=1000,
    ),
    Setting(
        "default_socket_timeout",
        limit(TIME),
        ALL,
        RUNTIME,
        "How long the site's own connections to others wait (socket.setdefaulttimeout).",
        default=60.0,
    ),
    # --- walls
    Setting(
        "open_basedir",
        some(one_or_list_of(PATH)),
        ALL,
        KERNEL,
        "The directories in which files can be opened, and what a program needs by itself: the interpreter, libraries, "
        "name resolution, tmp_dir.  A site's own files and code can only narrow it.",
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
        "engine",
        FLAG,
        PERDIR,
        RUNTIME,
        "Whether anything runs here at all; off, what would run is answered 403.",
        default=True,
        none=True,
    ),
    Setting(
        "expose_server",
        FLAG,
        SYSTEM,
        RUNTIME,
        "Whether answers name the server (the Server field, the foot of its error pages).",
        default=True,
        none=True,
    ),
    # --- errors
    Setting(
        "display_errors",
        FLAG,
        ALL,
        RUNTIME,
        "Whether the visitor sees the traceback of what failed.  For development only.",
        default=False,
        none=False,
    ),
    Setting(
        "log_errors",
        FLAG,
        ALL,
        RUNTIME,
        "Whether the traceback of what failed is written to the log.",
        default=True,
        none=True,
    ),
    Setting(
        "error_log",
        PATH,
        ALL,
        RUNTIME,
        "A further file for tracebacks and wsgi.errors, written as the site's user.",
    ),
    Setting(
        "warnings",
        FILTERS,
        ALL,
        RUNTIME,
        "Filters of Python's warnings, as after -W: error, ignore::DeprecationWarning; the last one that matches "
        "counts.",
        default=(),
        none=(),
    ),
    # --- surroundings
    Setting(
        "timezone",
        ZONE,
        ALL,
        RUNTIME,
        "The time zone (TZ): Europe/Berlin; none is the machine's.",
        default="UTC",
    ),
    Setting("locale", LOCALE, ALL, RUNTIME, "The locale (LC_ALL): de_DE.UTF-8; else C with UTF-8."),
    Setting(
        "default_charset",
        CHARSET,
        ALL,
        RUNTIME,
        "The charset of text that names none.  Where it is said, the app's text/* answers without a charset get it.",
        default="UTF-8",
    ),
    Setting(
        "include_path",
        one_or_list_of(PATH),
        ALL,
        RUNTIME,
        "Directories of modules, on sys.path after the site's root.",
        default=(),
        none=(),
    ),
    Setting(
        "auto_prepend_file",
        PATH,
        PERDIR,
        RUNTIME,
        "A Python file that is run before the app is imported; one that only a directory names, before each of its "
        "requests.",
    ),
    Setting(
        "auto_append_file",
        PATH,
        PERDIR,
        RUNTIME,
        "A Python file that is run after each answer, when the visitor is gone; it finds environ in its globals.",
    ),
    Setting(
        "optimize",
        integer(0, 2),
        PERDIR,
        RUNTIME,
        "1: without assert statements, 2: without docstrings too (python -O and -OO).",
        default=0,
        none=0,
    ),
    Setting("tmp_dir", PATH, ALL, RUNTIME, "Where temporary files go (TMPDIR); else a directory of the site's own."),
    Setting(
        "umask",
        UMASK,
        ALL,
        RUNTIME,
        "Permissions that new files do not get.",
        default=0o022,
        none=0o022,
    ),
    # --- the code
    Setting(
        "revalidate",
        TIME,
        PERDIR,
        RUNTIME,
        "How often it is looked whether a loaded file of the site changed; then the site is imported anew, and the "
        "same request answered by the new code.  0 is with every request, none is never.",
        default=2.0,
    ),
    Setting(
        "update_protection",
        TIME,
        PERDIR,
        RUNTIME,
        "A file that changed less than so long ago is left alone for now: it may still be uploading.",
        default=2.0,
        none=0.0,
    ),
    # --- the answer
    Setting(
        "output_buffering",
        SIZE,
        PERDIR,
        RUNTIME,
        "Bytes of an answer that are gathered before any is sent; 0 sends each piece at once.",
        default=0,
        none=0,
    ),
    Setting(
        "ignore_user_abort",
        FLAG,
        ALL,
        RUNTIME,
        "Whether a request is worked to its end though the visitor went away; off, it ends when it next sends.",
        default=False,
        none=False,
    ),
)

# Settings that are variables of the process environment: what itk.toml's ``env`` says of these is said of those.
VARIABLES = {"TZ": "timezone", "LC_ALL": "locale", "TMPDIR": "tmp_dir"}

BY_NAME = {setting.name: setting for setting in SETTINGS}
