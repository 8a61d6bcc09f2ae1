"""What root and the processes below it say to each other: orders to a zygote, its notices, and a pool's words.

Imported by every zygote and so by every site's process: no json, no re, no collections, for their memory would be
copied for each request.  What root writes for zygotes and pools is marshalled (format 2, the same in every Python
here); only root's words are ever read that way, and nothing of a site's or the network's is in them but what the
operator configured.
"""

from __future__ import annotations

import _signal
import marshal
import struct
import sys

from itkwsgi.errors import Bug

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CONTROL_FD = 3
SETTINGS_FD = 4

MAGIC = b"ITK1"
FORMAT = 2

# zygote -> supervisor: what became of the pool with this serial number.
NOTICE = struct.Struct("<4sBxxxQii")
ZYGOTE_READY = 33  # preloaded, waiting
SPAWNED = 34  # the pool's process exists: value is its pid
EXITED = 35  # it is reaped: value is its wait status
NOT_SPAWNED = 36  # fork failed: value is the errno
ZYGOTE_MAY_SAY = frozenset((ZYGOTE_READY, SPAWNED, EXITED, NOT_SPAWNED))

# supervisor -> zygote: one datagram, with descriptors.
MAX_ORDER = 128 * 1024
SPAWN = "spawn"
TERMINATE = "terminate"  # SIGTERM: drain
KILL = "kill"  # SIGKILL, with every descendant
ORDERS = frozenset((SPAWN, TERMINATE, KILL))


WORD_BITS = 9  # of a counter of 63 bits: each word of a pool has a count of its own


def _word(number: int) -> bytes:
    return (1 << WORD_BITS * number).to_bytes(8, sys.byteorder)


class PoolState:
    """What a pool may say of itself: each word is one more in its own count, in an eventfd(2).

    Not a pipe or a socket: through one a site could make root wait for ever, by writing from memory whose pages never
    come (a pipe is locked meanwhile), or by sending a descriptor that does not close.
    """

    SWITCHED = _word(0)  # it runs as the site's user; the import begins
    SERVING = _word(1)  # imported, spares are waiting
    BROKEN = _word(2)  # the import failed: it answers 500 for a while
    IDLE = _word(3)  # no request for a second
    ACTIVE = _word(4)  # the first request after that
    CRASHED = _word(5)  # a child was ended by one of `FAULTS`
    LEAVING = _word(6)  # its listener is shut: it drains and ends

    IN_ORDER = (SWITCHED, SERVING, BROKEN, IDLE, ACTIVE, CRASHED, LEAVING)
    ALL = frozenset(IN_ORDER)


# What a process gets that was led astray in its memory.
FAULTS = frozenset((_signal.SIGILL, _signal.SIGABRT, _signal.SIGBUS, _signal.SIGSEGV))


def pack_notice(kind: int, serial: int = 0, pid: int = 0, value: int = 0) -> bytes:
    """Encode a zygote's notice."""
    return NOTICE.pack(MAGIC, kind, serial, pid, value)


def encode(data: dict[str, Any]) -> bytes:
    """Encode what root writes for a zygote or a pool: an order, settings, a plan.  Raises `Bug` when it is too long."""
    encoded = marshal.dumps(data, FORMAT)
    if len(encoded) > MAX_ORDER:
        raise Bug(f"an order of {len(encoded)} bytes")
    return encoded


def decode(data: bytes) -> dict[str, Any]:
    """Decode what root wrote.  Raises `Bug` for anything that is no table."""
    try:
        decoded = marshal.loads(data)
    except (ValueError, EOFError, TypeError) as error:
        raise Bug(f"not of root's: {error}") from error
    if not isinstance(decoded, dict):
        raise Bug("not of root's: no table")
    return decoded


def decode_order(data: bytes) -> dict[str, Any]:
    """Decode an order in the zygote.  Raises `Bug` for an unknown one."""
    order = decode(data)
    if order.get("do") not in ORDERS:
        raise Bug("an order the zygote does not know")
    return order
