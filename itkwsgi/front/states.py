"""The states of a client's connection, and what ends each.

Times are a ``deadline`` in the loop's time, compared by the front's sweep.  There is no timer per request, but for one
that has a request_timeout: its process is ended at that time too, and must not be the first to say so.

=======  =========================================  =============================================================
HEAD     waits for (the rest of) a head             header_timeout for the first head, silence included, and from
                                                    the first byte of later ones; keepalive_timeout in between
ASK      a body follows, and it is not settled      as WORK
         whether it may come
BODY     the body comes in                          body_timeout between bytes, and body_min_rate after it;
                                                    max_input_time for all of it
WORK     the request is with its pool, or its       SEND_SECONDS without a byte taken by the client
         answer is sent
LINGER   all is said, FIN is sent, the client may   LINGER_SECONDS and LINGER_BYTES: closing with bytes unread
         read it (RFC 9112 section 9.6)             would reset the connection and destroy the answer
CLOSING  the rest is flushed                        SEND_SECONDS likewise
=======  =========================================  =============================================================
"""

from __future__ import annotations

import enum


class State(enum.Enum):
    """See above."""

    HEAD = enum.auto()
    ASK = enum.auto()
    BODY = enum.auto()
    WORK = enum.auto()
    LINGER = enum.auto()
    CLOSING = enum.auto()


HEAD, ASK, BODY, WORK, LINGER, CLOSING = State
