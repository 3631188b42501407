"""What a benchmark promises, and whether it holds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bench.harness.statistics import Spread


@dataclass(frozen=True, slots=True)
class Promise:
    """A figure with a limit; over several rounds, its median counts.

    Attributes:
        name: What it is.
        spread: The figure.
        limit: What it must not cross.
        at_least: Whether the limit is the least; else the most.
    """

    name: str
    spread: Spread
    limit: float
    at_least: bool

    @property
    def holds(self) -> bool:
        """Whether it does; a figure that is no number never does."""
        figure = self.spread.median
        return figure >= self.limit if self.at_least else figure <= self.limit

    @property
    def sentence(self) -> str:
        """For people."""
        least, most = f"{self.spread.least:.2f}", f"{self.spread.most:.2f}"
        return (
            f"{self.name}: {self.spread.median:.2f} ({least} to {most}), promised "
            f"{'at least' if self.at_least else 'at most'} {self.limit:g}: {'holds' if self.holds else 'DOES NOT HOLD'}"
        )


def figures(promises: Iterable[Promise]) -> dict[str, object]:
    """For a line of JSON: `promises` (name to median, least, most), `short` (names of those that do not hold)."""
    promises = list(promises)
    return {
        "promises": {
            one.name: {"figure": one.spread.figures(3), "limit": one.limit, "holds": one.holds}
            for one in promises
        },
        "short": [one.name for one in promises if not one.holds],
        "holds": all(one.holds for one in promises),
    }
