"""Which queue a lane is dispatched on, and how long a job waits for its next attempt."""

from __future__ import annotations

from recmesh_jobs.states import Lane
from recmesh_kit.layout import BULK, INTERACTIVE, SUSPECT, TIERS, Tier

QUEUE_OF = {Lane.INTERACTIVE: INTERACTIVE, Lane.BULK: BULK, Lane.SUSPECT: SUSPECT}
DELAYS_HEADER = "recmesh-delays"
"""How often a message has been put off without an attempt."""
DELAYS_PER_TIER = 5
"""How often a message is put off by the same time: what restarts is back within seconds, and somebody waits."""


def tier_of(failures: int) -> Tier:
    """Where a job waits whose attempt has failed for a passing reason: its first, second, … attempt."""
    return TIERS[min(max(failures, 1), len(TIERS)) - 1]


def tier_of_delay(delays: int) -> Tier:
    """Where a message waits that could not even be claimed: for the first, second, … time."""
    return tier_of((max(delays, 1) - 1) // DELAYS_PER_TIER + 1)
