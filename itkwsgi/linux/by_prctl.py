"""The `Backend` of the server's own interpreter: python-prctl, and the ctypes call where that ends.

What python-prctl 1.8.1 cannot do, measured: ambient capabilities, the two securebits about them (and once those are
set, every write of its own to securebits raises), and capabilities its libcap headers did not know when it was built,
which its `limit` leaves alone without a word.  Those three go through `kernel`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import prctl

from itkwsgi.linux import by_ctypes, kernel

if TYPE_CHECKING:
    from itkwsgi.linux.backend import Backend

raise_ambient = by_ctypes.raise_ambient
clear_ambient = by_ctypes.clear_ambient


def keep_caps(on: bool) -> None:
    prctl.set_keepcaps(int(on))


def drop_bounding() -> None:
    prctl.capbset.limit()
    by_ctypes.drop_bounding()  # what is newer than python-prctl's headers


def set_securebits() -> None:
    bits = prctl.securebits
    bits.keep_caps = False
    bits.noroot = True
    bits.noroot_locked = True
    bits.no_setuid_fixup = True
    bits.no_setuid_fixup_locked = True
    bits.keep_caps_locked = True
    by_ctypes.set_securebits()  # the two about ambient capabilities


def set_capabilities(permitted: frozenset[int], inheritable: frozenset[int]) -> None:
    held = (prctl.CAP_PERMITTED, prctl.CAP_EFFECTIVE)
    every = frozenset(prctl.ALL_CAPS)
    prctl.set_caps(
        (sorted(permitted & every), held, True),
        (sorted(every - permitted), held, False),
        (sorted(inheritable & every), prctl.CAP_INHERITABLE, True),
        (sorted(every - inheritable), prctl.CAP_INHERITABLE, False),
    )
    wanted = by_ctypes.mask(permitted)
    if kernel.capget() != (wanted, wanted, by_ctypes.mask(inheritable)):
        by_ctypes.set_capabilities(permitted, inheritable)  # some are newer than python-prctl's headers


def set_no_new_privs() -> None:
    prctl.set_no_new_privs(1)


def set_death_signal(number: int) -> None:
    prctl.set_pdeathsig(number)


def set_subreaper() -> None:
    prctl.set_child_subreaper(1)


def set_dumpable(on: bool) -> None:
    prctl.set_dumpable(int(on))


def set_name(name: str) -> None:
    by_ctypes.checked_name(name)  # its own get_name fails on what is cut or no ASCII
    prctl.set_name(name)


if TYPE_CHECKING:
    from itkwsgi.linux import by_prctl

    _: Backend = by_prctl
