"""CPython's C half of signal: plain integers in and out, no enums."""

from collections.abc import Iterable

SIG_SETMASK: int

def pthread_sigmask(how: int, mask: Iterable[int]) -> set[int]: ...
