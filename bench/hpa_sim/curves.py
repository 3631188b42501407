"""What comes in over time: jobs that somebody waits for by the second, and messages of catalog changes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

HOUR = 3600.0


@dataclass(frozen=True)
class Curve:
    """A load.

    Attributes:
        name: What it is called.
        seconds: How long it goes.
        workers: Second -> how many workers' work comes in a second, of jobs that somebody waits for.
        changes: Second -> messages of changes that come then.
        change_at: When it changes at once; 0: never.
        raggedness: Standard deviation of a factor, new each minute, that the load is multiplied by.
    """

    name: str
    seconds: float
    workers: Callable[[float], float]
    changes: Mapping[float, int] = field(default_factory=dict)
    change_at: float = 0.0
    raggedness: float = 0.0


def step(to: float) -> Curve:
    """From little to the work of so many workers, at once, for half an hour; then little again."""
    return Curve("step", HOUR, lambda t: to if 300 <= t < 2100 else 0.3, change_at=300)


def spike(to: float) -> Curve:
    """The same for two minutes."""
    return Curve("spike", HOUR / 2, lambda t: to if 300 <= t < 420 else 0.3, change_at=300)


def day(to: float) -> Curve:
    """A day: nearly nothing at night, a peak at noon, a higher one in the evening; no minute is like the other."""

    def workers(t: float) -> float:
        hour = t / HOUR
        noon = 0.6 * math.exp(-(((hour - 12.5) / 2.2) ** 2))
        evening = math.exp(-(((hour - 20.0) / 1.8) ** 2))
        return 0.05 + to * (noon + evening)

    return Curve("day", 24 * HOUR, workers, raggedness=0.25)


def steady(workers: float) -> Curve:
    """The work of so many workers for two hours, from nothing."""
    return Curve(f"steady {workers:g}", 2 * HOUR, lambda _: workers)


def catalog_import(messages: int) -> Curve:
    """A catalog of 500 items a message is imported, beside little else."""
    return Curve("import", HOUR, lambda _: 0.3, changes={300.0: messages}, change_at=300)
