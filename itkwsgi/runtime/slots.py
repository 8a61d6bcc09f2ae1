"""One byte of shared memory for each child: how a child tells its pool what it is doing.

A child writes its byte and sends SIGUSR1; the pool, woken, counts.  No pipe, no lock, no descriptor: a pool holds
nothing but its listener and its channel.  A site that scribbles in here deceives only its own pool.
"""

from __future__ import annotations

import mmap

FREE = 0
IDLE = 1  # waiting in accept()
BUSY = 2  # serving a request
DRAINED = 3  # met the end of the listener's queue


class Slots:
    """The states of at most ``size`` children; slot numbers are reused, the lowest first."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.memory = mmap.mmap(-1, size + 3)  # and what concerns all: `ask_one_to_end`, `wake_below`, `call`

    def take(self) -> int | None:
        """Reserve the lowest free slot for a child about to be forked; None when all are in use."""
        number = self.memory.find(bytes([FREE]), 0, self.size)
        if number < 0:
            return None
        self.memory[number] = IDLE
        return number

    def free(self, number: int) -> int:
        """Give the slot of a child that ended back; returns its last state."""
        state = self.memory[number]
        self.memory[number] = FREE
        return state

    def mark(self, number: int, state: int) -> None:
        """In the child: say what it is doing."""
        self.memory[number] = state

    def count(self, state: int) -> int:
        """How many children are in that state."""
        return self.memory[: self.size].count(state)

    def ask_one_to_end(self, wanted: bool) -> None:
        """In the pool: more children live than are needed."""
        self.memory[self.size] = int(wanted)

    def wake_below(self, idle: int) -> None:
        """In the pool: be woken when no more than so many idle children are left."""
        self.memory[self.size + 1] = min(idle, 255)

    def pool_is_needed(self) -> bool:
        """In a child that is no longer idle: is it for the pool to fork?  Else its end is soon enough to be noticed."""
        return self.count(IDLE) <= self.memory[self.size + 1]

    def call(self) -> None:
        """In a child: there is something on the board for the pool."""
        self.memory[self.size + 2] = 1

    def was_called(self) -> bool:
        """In the pool: is there, since it asked last?"""
        called = self.memory[self.size + 2]
        self.memory[self.size + 2] = 0
        return bool(called)

    def should_end(self) -> bool:
        """In a child that serves many requests: end after this one?  The first that reads the wish takes it."""
        if not self.memory[self.size]:
            return False
        self.memory[self.size] = 0
        return True
