"""Which settings are limits of the kernel's (getrlimit(2)), and how long who exceeds his time still has."""

from __future__ import annotations

import resource

RESOURCES = {
    "memory_limit": resource.RLIMIT_DATA,
    "max_processes": resource.RLIMIT_NPROC,
    "max_open_files": resource.RLIMIT_NOFILE,
    "max_file_size": resource.RLIMIT_FSIZE,
}
# Seconds between the exception of max_execution_time and the end (PHP: hard_timeout).
HARD_TIMEOUT = 2
