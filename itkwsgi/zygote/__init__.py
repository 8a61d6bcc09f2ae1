"""The zygote: forks pools.  One for each environment (an interpreter, a root-owned venv, modules to preload).

Uid: zygote_user, with the capabilities SETUID, SETGID, SYS_NICE and KILL, an empty bounding set and locked securebits.
Reads: orders from the supervisor (JSON written by root).  Imports: what root preloads.  Never: a byte from the network
or from a site, a site's path, a name look-up.
Started by the supervisor; ends, with all its pools and their descendants, when the supervisor's channel closes.
"""
