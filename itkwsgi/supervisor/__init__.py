"""The supervisor: root.  Reads itk.toml, binds listeners, starts and watches the other roles, and does what needs root.

Reads: itk.toml (root's own), fixed-size messages of fronts and zygotes, counters of pools.
Never: a byte from the network, a file that a site can write, a site's code, a name look-up once it serves.
Imports a short list of the standard library and python-prctl; a test holds it to that.
"""
