"""When those are to come back who are turned away because as much is in hand as may be."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

log = structlog.get_logger("access")

WELCOME_PER_SECOND = 200.0
"""Calls turned away in a second that cost next to nothing: about a fortieth of a core."""
SHORTEST_SECONDS = 1.0
LONGEST_SECONDS = 10.0
_LOOK_SECONDS = 1.0
_MOST_AT_ONCE = 2.0
"""The pause changes by no more than this factor from one look to the next."""


class Refusals:
    """Counts the calls that are turned away, and says when to come back. Callers who all come back after a second are
    ever more, as long as more come than can be served: thousands in each second, whose refusals take what there is. So
    the pause follows their number: it grows until about `WELCOME_PER_SECOND` come back, and shrinks when fewer do.

    They are logged together, once a second.

    Args:
        clock: Seconds, steadily.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since = clock()
        self._calls = 0
        self.pause = SHORTEST_SECONDS
        """Seconds after which another try makes sense."""

    def another(self) -> float:
        """A call is turned away: the seconds after which it may come back."""
        self._calls += 1
        now = self._clock()
        passed = now - self._since
        if passed >= _LOOK_SECONDS:
            rate = self._calls / passed
            factor = min(max(rate / WELCOME_PER_SECOND, 1 / _MOST_AT_ONCE), _MOST_AT_ONCE)
            self.pause = min(max(self.pause * factor, SHORTEST_SECONDS), LONGEST_SECONDS)
            log.warning("calls turned away", calls=self._calls, pause=round(self.pause, 1))
            self._since, self._calls = now, 0
        return self.pause
