"""A site that says where in memory it is, and can be made to crash."""

import ctypes
import os
import signal
import sys


def application(environ, start_response):
    if environ["PATH_INFO"] == "/segv":
        ctypes.string_at(0)
    if environ["PATH_INFO"] == "/abort":
        os.abort()
    if environ["PATH_INFO"] == "/killed":
        os.kill(os.getpid(), signal.SIGKILL)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{layout()} {hash('a')} {os.getppid()} {'colorsys' in sys.modules}".encode()]


def layout():
    """Where the stack and the libraries are."""
    with open("/proc/self/maps") as file:
        wanted = ("[stack]", "/libc.so")
        return ",".join(line.split("-")[0] for line in file if any(each in line for each in wanted))
