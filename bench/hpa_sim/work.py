"""What waits: jobs in the order in which they came. A fluid: parts of jobs come, wait and are done; none is lost."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field


@dataclass
class Line:
    """Jobs that wait.

    Attributes:
        limit: Unfinished jobs beyond which none is taken.
        waiting: Jobs, by now.
        done: Jobs that were, since the beginning.
        refused: Jobs that were not taken.
        waits: When they were done, how long they had waited, how many.
    """

    limit: float = float("inf")
    waiting: float = 0.0
    done: float = 0.0
    refused: float = 0.0
    waits: list[tuple[float, float, float]] = field(default_factory=list)
    _groups: deque[list[float]] = field(default_factory=deque)

    def come(self, now: float, jobs: float) -> None:
        """So many jobs come."""
        room = self.limit - self.waiting
        taken = jobs if jobs <= room else max(0.0, room)
        self.refused += jobs - taken
        if taken:
            self._groups.append([now, taken])
            self.waiting += taken

    def take(self, now: float, most: float) -> float:
        """Up to so many jobs are done, the oldest first; returns how many."""
        left = most
        while left > 0 and self._groups:
            came, jobs = group = self._groups[0]
            part = min(left, jobs)
            self.waits.append((now, now - came, part))
            left -= part
            if part < jobs:
                group[1] = jobs - part
            else:
                self._groups.popleft()
        taken = most - left
        self.done += taken
        # Sums of parts: what is left of nothing is an error of floating point.
        self.waiting = max(0.0, self.waiting - taken) if self._groups else 0.0
        return taken
