"""Whether something grows: the slope of what is looked at again and again, and what counts as growth.

Memory is not still: buffers fill and empty, a log is turned, a helper process comes and goes. What leaks raises what is
left in between, too. So time is cut into stretches, of each stretch the least counts, and a line is laid through these
by least squares.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

STRETCHES = 12
"""Into which the looks are gathered before a line is laid through them."""
MOST_SHARE = 0.05
"""Growth in a run, as a share of what is held, that may be warm-up still; ..."""
LEAST_MB = 4.0
"""... as may so much, whatever its share: a small process has buffers, too."""
ERRORS = 3.0
"""Growth of fewer standard errors than these may be chance."""
LEAST_MORE = 2
"""Of what is counted: so many more may be a pool that was not full before."""


@dataclass(frozen=True, slots=True)
class Slope:
    """A line through a series.

    Attributes:
        level: The mean.
        per_second: How much it rises.
        error: Standard error of that.
    """

    level: float
    per_second: float
    error: float

    def leaks(self, seconds: float, least_mb: float = LEAST_MB) -> bool:
        """Whether memory in MB that rises so for so long breaks the bound: by more than `MOST_SHARE` of it, more than
        `least_mb`, and more than `ERRORS` standard errors."""
        growth = self.per_second * seconds
        bound = max(MOST_SHARE * self.level, least_mb)
        return growth > bound and self.per_second > ERRORS * self.error


def slope(times: Sequence[float], values: Sequence[float]) -> Slope:
    """Ordinary least squares, with the usual error of the slope (of n points, n - 2 degrees of freedom).

    Raises:
        ValueError: There are fewer than three points, or all at one time.
    """
    if len(times) < 3 or max(times) == min(times):
        raise ValueError("a slope needs three points, not all at one time")
    middle, level = fmean(times), fmean(values)
    spread = sum((time - middle) ** 2 for time in times)
    pairs = list(zip(times, values, strict=True))
    per_second = sum((time - middle) * (value - level) for time, value in pairs) / spread
    left = sum((value - level - per_second * (time - middle)) ** 2 for time, value in pairs)
    return Slope(level, per_second, math.sqrt(left / (len(pairs) - 2) / spread))


def floor(
    times: Sequence[float], values: Sequence[float], stretches: int = STRETCHES
) -> tuple[list[float], list[float]]:
    """The least value of each stretch of time, and when it was. A stretch without looks is left out."""
    first, last = min(times), max(times)
    length = (last - first) / stretches or 1.0
    least: dict[int, tuple[float, float]] = {}
    for time, value in zip(times, values, strict=True):
        place = min(int((time - first) / length), stretches - 1)
        if place not in least or value < least[place][1]:
            least[place] = (time, value)
    points = [least[place] for place in sorted(least)]
    return [time for time, _ in points], [value for _, value in points]


def grew(counts: Sequence[float], *, before: float, after: float) -> bool:
    """Whether something that is counted has grown, by more than `LEAST_MORE` and more than `MOST_SHARE`: at rest, and
    also at work, where in the last third it was never as low as it was at most in the first. (What fills at the first
    use, such as a pool, does so early.)

    Args:
        counts: At work, in the order of time.
        before: At rest, before that.
        after: At rest, after that.
    """
    third = len(counts) // 3
    if not third:
        return False
    return _more(before, after) and _more(max(counts[:third]), min(counts[-third:]))


def _more(before: float, after: float) -> bool:
    return after - before > max(LEAST_MORE, MOST_SHARE * before)
