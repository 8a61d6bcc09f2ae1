"""How many children wait ahead of the requests: pure, the clock is passed in.

Apache's prefork doubles what it forks while demand outruns the spares and ends the surplus slowly.  So here: the target
starts at min_spare, doubles each time no spare was left, and falls by one for each quiet second.
"""

from __future__ import annotations

MOST_SPARES = 8
QUIET_SECONDS = 1.0


class SparePolicy:
    """Decides how many children to fork now."""

    def __init__(self, min_spare: int, max_children: int) -> None:
        self.min_spare = max(min_spare, 1)
        self.max_children = max_children
        self.ceiling = max(self.min_spare, min(MOST_SPARES, max_children))
        self.target = self.min_spare
        self.changed = 0.0

    def missing(self, idle: int, busy: int, now: float) -> int:
        """How many to fork, with so many idle and busy ones at that time (seconds, monotonic)."""
        if idle == 0 and busy and self.target < self.ceiling:
            self.target = min(self.target * 2, self.ceiling)
            self.changed = now
        elif now - self.changed >= QUIET_SECONDS and self.target > self.min_spare and idle:
            self.target -= 1
            self.changed = now
        room = self.max_children - idle - busy
        return max(0, min(self.target - idle, room))

    def surplus(self, idle: int) -> bool:
        """Are there more idle children than wanted?"""
        return idle > self.target
