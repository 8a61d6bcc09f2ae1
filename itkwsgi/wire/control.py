"""The control messages between the supervisor and the others.

Root reads from three kinds of peers, and each may say only what its table lists:

* a front (network-facing): one fixed-size datagram, a kind, a pool's index and the table's generation.  Nothing else is
  read; anything unlisted ends that front.
* a zygote (unprivileged, but no site's code runs in it): fixed-size notices about the pools it forked.
* a pool (a site's code): single bytes of `PoolState`; whatever it says counts for that site alone.

What root says to zygotes and pools is JSON written by root, so the reader may trust it; size caps guard against our own
mistakes.  Names carry the direction: ``FRONT_*`` from a front, ``TO_FRONT_*`` to it, and so on.
"""

from __future__ import annotations

import json
import struct
from collections import namedtuple

from itkwsgi.errors import Bug

CONTROL_FD = 3
SETTINGS_FD = 4
FIRST_LISTENER_FD = 5

MAGIC = b"ITK1"

_FRONT = struct.Struct("<4sBxxxIQ")
FRONT_MESSAGE_SIZE = _FRONT.size

# front -> supervisor
WAKE = 1  # start this pool, if it sleeps
END = 2  # this pool is overdue: end it with every descendant
READY = 3  # accepting connections
# supervisor -> front
AWAKE = 17  # its socket may be connected to
REFUSED = 18  # it cannot be started: those who wait are answered 500
LATER = 20  # not now (it just died at its start, or its turn did not come): 503
STOP = 19  # drain and exit

FRONT_MAY_SAY = frozenset((WAKE, END, READY))
FRONT_MAY_HEAR = frozenset((AWAKE, REFUSED, LATER, STOP))

FrontMessage = namedtuple("FrontMessage", "kind index generation")


def pack(kind: int, index: int = 0, generation: int = 0) -> bytes:
    """Encode a message of the front's channel, either direction."""
    return _FRONT.pack(MAGIC, kind, index, generation)


def unpack(data: bytes, permitted: frozenset[int] = FRONT_MAY_SAY | FRONT_MAY_HEAR) -> FrontMessage:
    """Decode one datagram of the front's channel.

    Raises `Bug` for anything but a well-formed message whose kind is permitted here.
    """
    if len(data) != FRONT_MESSAGE_SIZE:
        raise Bug(f"a front's message of {len(data)} bytes")
    magic, kind, index, generation = _FRONT.unpack(data)
    if magic != MAGIC or kind not in permitted:
        raise Bug(f"a front's message of kind {kind}")
    return FrontMessage(kind, index, generation)


# zygote -> supervisor: what became of the pool with this serial number.
_NOTICE = struct.Struct("<4sBxxxQii")
NOTICE_SIZE = _NOTICE.size
ZYGOTE_READY = 33  # preloaded, waiting
SPAWNED = 34  # the pool's process exists: value is its pid
EXITED = 35  # it is reaped: value is its wait status
NOT_SPAWNED = 36  # fork failed: value is the errno
ZYGOTE_MAY_SAY = frozenset((ZYGOTE_READY, SPAWNED, EXITED, NOT_SPAWNED))

ZygoteNotice = namedtuple("ZygoteNotice", "kind serial pid value")


def pack_notice(kind: int, serial: int = 0, pid: int = 0, value: int = 0) -> bytes:
    """Encode a zygote's notice."""
    return _NOTICE.pack(MAGIC, kind, serial, pid, value)


def unpack_notice(data: bytes) -> ZygoteNotice:
    """Decode a zygote's notice.  Raises `Bug` for anything else."""
    if len(data) != NOTICE_SIZE:
        raise Bug(f"a zygote's notice of {len(data)} bytes")
    magic, kind, serial, pid, value = _NOTICE.unpack(data)
    if magic != MAGIC or kind not in ZYGOTE_MAY_SAY:
        raise Bug(f"a zygote's notice of kind {kind}")
    return ZygoteNotice(kind, serial, pid, value)


class PoolState:
    """What a pool may say of itself: one byte each."""

    SERVING = b"R"  # imported, spares are waiting
    BROKEN = b"B"  # the import failed: it answers 500 for a while
    LEAVING = b"L"  # its listener is shut: it drains and ends
    SWITCHED = b"S"  # it runs as the site's user; the import begins

    IDLE = b"I"  # no request for a second
    ACTIVE = b"A"  # the first request after that

    ALL = frozenset((SERVING, BROKEN, LEAVING, SWITCHED, IDLE, ACTIVE))


# supervisor -> zygote: one JSON datagram, with descriptors.
MAX_ORDER = 128 * 1024
SPAWN = "spawn"
TERMINATE = "terminate"  # SIGTERM: drain
KILL = "kill"  # SIGKILL, with every descendant
ORDERS = frozenset((SPAWN, TERMINATE, KILL))


def encode_order(order: dict[str, object]) -> bytes:
    """Encode what the supervisor tells a zygote or a log.  Raises `Bug` when it does not fit a datagram."""
    data = json.dumps(order, separators=(",", ":")).encode()
    if len(data) > MAX_ORDER:
        raise Bug(f"an order of {len(data)} bytes")
    return data


def decode_order(data: bytes) -> dict[str, object]:
    """Decode an order in the zygote.  Raises `Bug` for an unknown one."""
    order = json.loads(data)
    if not isinstance(order, dict) or order.get("do") not in ORDERS:
        raise Bug("an order the zygote does not know")
    return order
