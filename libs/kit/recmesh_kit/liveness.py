"""Whether a process still does what it is there for, as a supervisor asks to decide whether to start it anew.

That something which it needs is away is no reason: then it waits. That all of it is there and nothing goes on is one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

LIVENESS = "liveness"
"""The subject of `grpc.health.v1` that tells it."""
Stuck = Callable[[], float]
"""Says for how many seconds something has not gone on that ought to; 0 while it does. It costs nothing to ask."""


class Pulse:
    """Of a thread that does one thing after the other: how long it has been at the present one."""

    def __init__(self) -> None:
        self._began: float | None = None

    def run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Does something; to be called within the thread."""
        self._began = time.monotonic()
        try:
            return work(*args, **kwargs)
        finally:
            self._began = None

    def stuck(self) -> float:
        """Seconds that the present one has taken so far; 0 when there is none. To be called from anywhere."""
        began = self._began
        return 0.0 if began is None else time.monotonic() - began
