"""Deadlines of the supervisor's loop: a heap of (time, callback)."""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable


class Timers:
    """Callbacks to run at or after a time; ``clock`` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.heap: list[tuple[float, int, Callable[[], None]]] = []
        self.order = itertools.count()

    def after(self, seconds: float, callback: Callable[[], None]) -> None:
        """Run ``callback`` once, that many seconds from now."""
        heapq.heappush(self.heap, (self.clock() + seconds, next(self.order), callback))

    def wait(self) -> float | None:
        """Seconds until the next one is due; None when there is none."""
        return max(0.0, self.heap[0][0] - self.clock()) if self.heap else None

    def run(self) -> None:
        """Run what is due."""
        while self.heap and self.heap[0][0] <= self.clock():
            heapq.heappop(self.heap)[2]()
