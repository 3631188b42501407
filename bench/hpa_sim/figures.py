"""What a run comes to: how long jobs waited, and how restless the workers were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from bench.hpa_sim.simulate import STEP, Floats, Run
from bench.hpa_sim.world import World

BUCKET_SECONDS = 15.0
CALM_SECONDS = 1.0
"""A 99th percentile of waiting below it is calm."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one run.

    Attributes:
        p99: Seconds that jobs waited, 99th percentile over all of them.
        longest: The same, the longest.
        calm_after: Seconds after the load's change until the 99th percentile of waiting stays below `CALM_SECONDS`.
        refused: Share of jobs that were not taken.
        turns: How often workers were taken away and then added, or added and then taken away.
        most: Replicas, the most.
        pod_hours: That were paid for.
        busy: Share of what was paid for that jobs took (and changes, not batches).
        left_behind: Seconds of work that waited for each worker that was left when others were taken away, the most.
    """

    p99: float
    longest: float
    calm_after: float
    refused: float
    turns: int
    most: int
    pod_hours: float
    busy: float
    left_behind: float


def figures(run: Run, world: World) -> Figures:
    """Those of a run."""
    _, waits, jobs = columns(run)
    work = run.jobs.done * world.job_seconds + run.changes.done * world.message_seconds
    return Figures(
        p99=percentile(waits, jobs, 0.99),
        longest=float(waits.max(initial=0.0)),
        calm_after=_calm_after(run),
        refused=run.jobs.refused / max(run.came, 1.0),
        turns=turns(run.replicas),
        most=max(run.replicas, default=0),
        pod_hours=run.pod_seconds / 3600,
        busy=work / max(run.pod_seconds, STEP),
        left_behind=max(run.scaled_down, default=0.0),
    )


def turns(replicas: Sequence[int]) -> int:
    """How often the direction changes in which they go."""
    ways = [a < b for a, b in pairwise(replicas) if a != b]
    return sum(a != b for a, b in pairwise(ways))


def columns(run: Run) -> tuple[Floats, Floats, Floats]:
    """When jobs were done, how long they had waited (seconds), how many."""
    table = np.array(run.jobs.waits).reshape(-1, 3)
    return table[:, 0], table[:, 1], table[:, 2]


def percentile(values: Floats, weights: Floats, share: float) -> float:
    """The least value that so large a share of the weight does not exceed; 0 of nothing."""
    if not values.size:
        return 0.0
    order = np.argsort(values)
    heaped = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(heaped, share * heaped[-1])])


def by_time(run: Run, share: float) -> tuple[Floats, Floats]:
    """The ends of spans of `BUCKET_SECONDS`, and the percentile of those jobs' waits that were done in each."""
    at, waits, jobs = columns(run)
    spans = (at // BUCKET_SECONDS).astype(int)
    edges = np.searchsorted(spans, np.arange(int(run.curve.seconds // BUCKET_SECONDS) + 1))
    found = [percentile(waits[start:end], jobs[start:end], share) for start, end in pairwise(edges)]
    ends = np.arange(1, len(found) + 1, dtype=np.float64) * BUCKET_SECONDS
    return ends, np.array(found, dtype=np.float64)


def _calm_after(run: Run) -> float:
    ends, found = by_time(run, 0.99)
    restless = ends[(found >= CALM_SECONDS) & (ends > run.curve.change_at)]
    return float(restless.max(initial=run.curve.change_at) - run.curve.change_at)
