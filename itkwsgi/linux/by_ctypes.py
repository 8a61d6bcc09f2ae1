"""The `Backend` for any interpreter (3.9 and later): every call by way of `kernel`."""

from __future__ import annotations

from itkwsgi.linux import kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from itkwsgi.linux.backend import Backend

keep_caps = kernel.set_keep_caps
clear_ambient = kernel.ambient_clear
set_no_new_privs = kernel.set_no_new_privs
set_death_signal = kernel.set_death_signal
set_subreaper = kernel.set_subreaper
set_dumpable = kernel.set_dumpable


def drop_bounding() -> None:
    for capability in range(kernel.last_capability() + 1):
        if kernel.bounding_has(capability):
            kernel.drop_bounding(capability)


def set_securebits() -> None:
    others = kernel.get_securebits() & ~kernel.SECUREBITS_MASK
    kernel.set_securebits(others | kernel.SECUREBITS_LOCKED)


def set_capabilities(permitted: frozenset[int], inheritable: frozenset[int]) -> None:
    held = mask(permitted)
    kernel.capset(held, held, mask(inheritable))


def raise_ambient(capabilities: Iterable[int]) -> None:
    for capability in capabilities:
        kernel.ambient_raise(capability)


def set_name(name: str) -> None:
    kernel.set_name(checked_name(name))


def mask(capabilities: Iterable[int]) -> int:
    """The bit mask of a set of capability numbers."""
    bits = 0
    for capability in capabilities:
        bits |= 1 << capability
    return bits


def checked_name(name: str) -> bytes:
    """The bytes of a thread's name.

    Raises `ValueError` for one the kernel would cut or another program could not decode.
    """
    if not name.isascii() or "\0" in name or len(name) > kernel.LONGEST_NAME:
        raise ValueError(f"{name!r} is not a thread name: ASCII, {kernel.LONGEST_NAME} characters at most")
    return name.encode("ascii")


if TYPE_CHECKING:
    from itkwsgi.linux import by_ctypes

    _: Backend = by_ctypes
