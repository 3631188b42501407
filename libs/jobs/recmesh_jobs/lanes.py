"""Which queue a lane is dispatched on, and how long a job waits for its next attempt."""

from __future__ import annotations

from recmesh_jobs.states import Lane
from recmesh_kit.layout import BULK, INTERACTIVE, SUSPECT, TIERS, Tier

QUEUE_OF = {Lane.INTERACTIVE: INTERACTIVE, Lane.BULK: BULK, Lane.SUSPECT: SUSPECT}


def tier_of(failures: int) -> Tier:
    """Where a job waits that has failed so many times (1, 2, …) for a passing reason."""
    return TIERS[min(max(failures, 1), len(TIERS)) - 1]
