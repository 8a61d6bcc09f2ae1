"""The log: an unprivileged process that writes every log file of the server.

It never opens a file: root did, and hands over descriptors.  Nobody else writes a log: a site has the writing end of
one socket, which decides under whose name a line stands.  What sites and fronts write is read and never believed.
Imports the standard library, `errors`, `wire` and `linux` only.
"""
