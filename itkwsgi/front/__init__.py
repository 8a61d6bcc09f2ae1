"""A front: owns the client connections, and knows nothing a visitor's site has to hide.

Uid: front_user, without capabilities.  Reads: the network, answers of pools, fixed-size messages of the supervisor, its
settings (fd 4, written by root).  Writes: the spool of request bodies, access lines, notes on stderr. Never: a file of
a site, a name look-up, a program.  What a client sent and what a pool answered are both parsed strictly and framed
anew, so neither end can put a byte into the other's stream.

The way of a request: connection (bytes, timeouts) -> request (site, body, answer) -> upstream (its pool).  Everything
runs in callbacks of one event loop; nothing here waits.
"""
