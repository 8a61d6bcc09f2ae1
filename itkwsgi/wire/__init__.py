"""What the processes say to each other: byte formats, no sockets.  Imported by every role: standard library alone."""
