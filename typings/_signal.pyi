"""CPython's C half of signal: plain integers in and out, no enums."""

from collections.abc import Callable, Iterable
from types import FrameType

Handler = Callable[[int, FrameType | None], object] | int | None

SIG_BLOCK: int
SIG_DFL: int
SIG_IGN: int
SIG_SETMASK: int
SIGCHLD: int
SIGHUP: int
SIGINT: int
SIGABRT: int
SIGBUS: int
SIGILL: int
SIGKILL: int
SIGSEGV: int
SIGPIPE: int
SIGTERM: int
SIGUSR1: int
SIGUSR2: int
SIGXFSZ: int

class struct_siginfo:  # noqa: N801
    si_signo: int
    si_pid: int

def default_int_handler(number: int, frame: FrameType | None) -> None: ...
def getsignal(number: int) -> Handler: ...
def pthread_sigmask(how: int, mask: Iterable[int]) -> set[int]: ...
def set_wakeup_fd(fd: int, *, warn_on_full_buffer: bool = True) -> int: ...
def signal(number: int, handler: Handler) -> Handler: ...
def sigtimedwait(wanted: Iterable[int], seconds: float) -> struct_siginfo | None: ...
def valid_signals() -> set[int]: ...
