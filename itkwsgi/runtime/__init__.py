"""The runtime: what runs as the site's user.  A pool imports the app once; each of its children serves one request.

Uid: the site's, without capabilities.  Reads: the site's files, and requests over the pool's own socket.
Holds: 0-2, the pool's listener and its channel; a child only 0-2 and the one connection it serves.
Standard library only, in any interpreter from 3.9 on: whatever is imported here, every site pays for.
"""
