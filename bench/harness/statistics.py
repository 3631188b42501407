"""Of samples and of rounds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


def quantile(ordered: Sequence[float], share: float) -> float:
    """The smallest sample that at least this share of them does not exceed; NaN without samples.

    Args:
        ordered: Samples in ascending order.
        share: Above 0, at most 1.
    """
    if not ordered:
        return math.nan
    return ordered[max(math.ceil(len(ordered) * share) - 1, 0)]


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over several rounds: the median, the least and the most."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of at least one value."""
        return cls(median(values), min(values), max(values))

    def figures(self, digits: int = 2) -> list[float]:
        """Median, least, most, for a line of JSON."""
        return [round(value, digits) for value in (self.median, self.least, self.most)]


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """The ratio of each round, and of those the median: what disturbs a round disturbs both.

    Args:
        ours: A figure by rounds.
        theirs: What it is divided by, of the same rounds.
    """
    return Spread.of([a / b for a, b in zip(ours, theirs, strict=True)])
