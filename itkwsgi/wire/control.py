"""The control messages between the supervisor and the others.

Root reads from three kinds of peers, and each may say only what its table lists:

* a front (network-facing): one fixed-size datagram, a kind, a pool's index and the table's generation.  Nothing else is
  read; anything unlisted ends that front.
* a zygote (unprivileged, but no site's code runs in it): fixed-size notices about the pools it forked.
* a pool (a site's code): words of `PoolState`, as counts; whatever it says counts for that site alone.

Names carry the direction: ``FRONT_*`` from a front, ``TO_FRONT_*`` to it.  What zygotes and pools need of this stands
in `wire.orders`.
"""

from __future__ import annotations

import json
import struct
import sys
from collections import namedtuple

from itkwsgi.errors import Bug
from itkwsgi.wire.orders import (
    CONTROL_FD,
    EXITED,
    KILL,
    MAGIC,
    MAX_ORDER,
    NOT_SPAWNED,
    NOTICE,
    SETTINGS_FD,
    SPAWN,
    SPAWNED,
    TERMINATE,
    WORD_BITS,
    ZYGOTE_MAY_SAY,
    ZYGOTE_READY,
    PoolState,
    pack_notice,
)

__all__ = [
    "AWAKE",
    "CONTROL_FD",
    "END",
    "EXITED",
    "FIRST_LISTENER_FD",
    "FRONT_MAY_HEAR",
    "FRONT_MAY_SAY",
    "FRONT_MESSAGE_SIZE",
    "KILL",
    "LATER",
    "MAGIC",
    "MAX_ORDER",
    "NOTICE_SIZE",
    "NOT_SPAWNED",
    "READY",
    "REFUSED",
    "SETTINGS_FD",
    "SPAWN",
    "SPAWNED",
    "STOP",
    "TERMINATE",
    "WAKE",
    "ZYGOTE_MAY_SAY",
    "ZYGOTE_READY",
    "FrontMessage",
    "PoolState",
    "ZygoteNotice",
    "encode_log_order",
    "pack",
    "pack_notice",
    "unpack",
    "unpack_notice",
    "words_of",
]

FIRST_LISTENER_FD = 5

_FRONT = struct.Struct("<4sBxxxIQ")
FRONT_MESSAGE_SIZE = _FRONT.size

# front -> supervisor
WAKE = 1  # start this pool, if it sleeps
END = 2  # this pool is overdue: end it with every descendant
READY = 3  # accepting connections
# supervisor -> front
AWAKE = 17  # its socket may be connected to
REFUSED = 18  # it cannot be started: those who wait are answered 500
STOP = 19  # drain and exit
LATER = 20  # not now (it just died at its start, or its turn did not come): 503

FRONT_MAY_SAY = frozenset((WAKE, END, READY))
FRONT_MAY_HEAR = frozenset((AWAKE, REFUSED, LATER, STOP))

FrontMessage = namedtuple("FrontMessage", "kind index generation")
ZygoteNotice = namedtuple("ZygoteNotice", "kind serial pid value")
NOTICE_SIZE = NOTICE.size


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


def unpack_notice(data: bytes) -> ZygoteNotice:
    """Decode a zygote's notice.  Raises `Bug` for anything else."""
    if len(data) != NOTICE_SIZE:
        raise Bug(f"a zygote's notice of {len(data)} bytes")
    magic, kind, serial, pid, value = NOTICE.unpack(data)
    if magic != MAGIC or kind not in ZYGOTE_MAY_SAY:
        raise Bug(f"a zygote's notice of kind {kind}")
    return ZygoteNotice(kind, serial, pid, value)


def words_of(data: bytes) -> list[tuple[bytes, int]]:
    """What a pool said since it was last heard, and how often, in the order in which it matters.

    Of idle and active, which take turns, the last one; as often said, they change nothing.
    Raises `Bug` for what is no count.
    """
    value = int.from_bytes(data, sys.byteorder)
    if len(data) != 8 or not value or value >> WORD_BITS * len(PoolState.IN_ORDER):
        raise Bug("nonsense")
    counts = {word: value >> WORD_BITS * at & (1 << WORD_BITS) - 1 for at, word in enumerate(PoolState.IN_ORDER)}
    turns = counts[PoolState.IDLE] - counts[PoolState.ACTIVE]
    counts[PoolState.IDLE], counts[PoolState.ACTIVE] = max(0, turns), max(0, -turns)
    return [(word, count) for word, count in counts.items() if count]


def encode_log_order(order: dict[str, object]) -> bytes:
    """Encode what the supervisor tells the log.  Raises `Bug` when it does not fit a datagram."""
    data = json.dumps(order, separators=(",", ":")).encode()
    if len(data) > MAX_ORDER:
        raise Bug(f"an order of {len(data)} bytes")
    return data
