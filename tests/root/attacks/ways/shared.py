"""What processes share beside files: System V and POSIX memory, semaphores and queues of another user."""

from __future__ import annotations

import ctypes
import os

from tests.root.attacks.attempt import Way
from tests.root.attacks.calls import LIBC, libc

IPC_RMID, IPC_STAT, IPC_INFO = 0, 2, 3
LIBC.shmat.restype = ctypes.c_ssize_t
LIBC.shmdt.argtypes = [ctypes.c_ssize_t]


def attach(targets):
    address = libc("shmat", targets["ipc"]["memory"], None, 0)
    return ctypes.string_at(address, 6)


def attach_by_key(targets):
    return libc("shmget", targets["ipc"]["key"], 1, 0o600)


def state(name, function, *args):
    """IPC_STAT asks for the right to read."""
    room = ctypes.create_string_buffer(1024)
    return lambda targets: libc(function, targets["ipc"][name], *args, IPC_STAT, room)


def owner(name, function, *args):
    """IPC_SET is the owner's alone; what is set is what there was."""

    def way(targets):
        room = ctypes.create_string_buffer(1024)
        libc(function, targets["ipc"][name], *args, IPC_STAT, room)
        libc(function, targets["ipc"][name], *args, 1, room)
        return "its owner"

    return way


def send(targets):
    return libc("msgsnd", targets["ipc"]["queue"], ctypes.create_string_buffer(b"\1\0\0\0\0\0\0\0x"), 1, 0o4000)


def operate(targets):
    return libc("semop", targets["ipc"]["semaphore"], ctypes.create_string_buffer(b"\0\0\1\0\0\0"), 1)


def posix_memory(flags):
    return lambda targets: os.open(targets["files"]["shared memory"], flags)


def remove_posix_memory(targets):
    path = targets["files"]["shared memory"]
    os.rename(path, path + ".away")
    os.rename(path + ".away", path)
    return "renamed"


WAYS = {
    "attach to shared memory": Way(attach, control="owner"),
    "find shared memory by its key": Way(attach_by_key, control="owner"),
    "see shared memory": Way(state("memory", "shmctl"), control="owner"),
    "change shared memory": Way(owner("memory", "shmctl"), control="owner"),
    "see a semaphore": Way(state("semaphore", "semctl", 0), control="owner"),
    "use a semaphore": Way(operate, control="owner"),
    "see a queue": Way(state("queue", "msgctl"), control="owner"),
    "change a queue": Way(owner("queue", "msgctl"), control="owner"),
    "send to a queue": Way(send, control="owner"),
    "read POSIX shared memory": Way(posix_memory(os.O_RDONLY), control="owner"),
    "write POSIX shared memory": Way(posix_memory(os.O_RDWR), control="owner"),
    "replace POSIX shared memory": Way(remove_posix_memory, control="owner"),
}
