"""Which settings cannot be taken back once they are in force, and when one is no less strict than another; pure.

A hard rlimit, a Landlock domain and a seccomp filter only ever get narrower, and what an interpreter was started with
it keeps.  Together they are the profile of a process.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from itkwsgi.ini.merge import Said

# Hard limits where they are fixed; as a default the soft limit alone, which moves both ways.
HARD_LIMITS = ("memory_limit", "max_execution_time", "max_processes", "max_open_files", "max_file_size")
PROFILE = (*HARD_LIMITS, "open_basedir", "disable", "optimize")
# Of these, the ones that a site's own files and code may touch, and then only so.
ONLY_NARROWED = ("open_basedir",)


def tightens(name: str, new: Said | None, old: Said | None) -> bool:
    """Can a process for which ``old`` is in force come to be one for which ``new`` is?  None: nobody said anything."""
    if name in HARD_LIMITS:
        return _limit(new) <= _limit(old)
    if name == "open_basedir":
        return _narrower(_value(new), _value(old))
    if name == "disable":
        return set(_value(new)) >= set(_value(old))
    return (_value(new) or 0) == (_value(old) or 0)  # optimize


def _limit(said: Said | None) -> float:
    if said is None or not said.fixed or said.value is None:
        return float("inf")
    return float(said.value)


def _value(said: Said | None) -> tuple[str, ...]:
    return (said.value or ()) if said is not None else ()


def _narrower(new: tuple[str, ...], old: tuple[str, ...]) -> bool:
    """No directories at all are no restriction."""
    if not old:
        return True
    return bool(new) and all(any(is_within(path, directory) for directory in old) for path in new)


def is_within(path: str, directory: str) -> bool:
    """Is the path that directory or something below it, by its text?"""
    return path == directory or path.startswith(directory.rstrip("/") + "/")
