"""How the queues stand."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from recmesh_jobs.lanes import QUEUE_OF
from recmesh_jobs.repository import LaneStanding
from recmesh_jobs.states import Lane
from recmesh_kit.broker import Broker, Depth
from recmesh_kit.errors import Unavailable
from recmesh_kit.layout import BULK, HISTORY, INDEX, INTERACTIVE, SUSPECT, TIERS, TRAINING

QUEUES = (INTERACTIVE, BULK, SUSPECT, TRAINING, INDEX, HISTORY, *(tier.queue for tier in TIERS))
BROKER_SECONDS = 2.0
"""How long the broker has to answer; the figures are needed most when it is in trouble."""
_LANES = {queue.name: lane for lane, queue in QUEUE_OF.items()}
_EMPTY = Depth(0, 0)


@dataclass(frozen=True, slots=True)
class QueueFigures:
    """One queue.

    Attributes:
        id: As the contract calls it.
        ready: Messages that wait.
        running: Jobs of it that a worker has in hand.
        consumers: Who take its messages.
        oldest: How long its oldest unfinished job has been waiting; None when there is none.
    """

    id: str
    ready: int
    running: int
    consumers: int
    oldest: timedelta | None


@dataclass(frozen=True, slots=True)
class Figures:
    """All queues at one moment.

    Attributes:
        queues: Each of them.
        unfinished: Jobs that have not ended.
        limit: How many are admitted.
        dead: Jobs that were given up and not put back.
        reachable: Whether the broker told its part.
    """

    queues: Sequence[QueueFigures]
    unfinished: int
    limit: int
    dead: int
    reachable: bool


async def depths(broker: Broker) -> dict[str, Depth] | None:
    """How the queues stand at the broker, by name; None when it does not say."""
    try:
        async with asyncio.timeout(BROKER_SECONDS):
            return await broker.depths(*(queue.name for queue in QUEUES))
    except (Unavailable, TimeoutError):
        return None


def figures(
    found: Mapping[str, Depth] | None, standing: Mapping[Lane, LaneStanding], dead: int, limit: int
) -> Figures:
    """What the broker and the rows say, put together."""
    queues = []
    unfinished = sum(lane.jobs for lane in standing.values())
    for queue in QUEUES:
        depth = (found or {}).get(queue.name, _EMPTY)
        lane = standing.get(_LANES[queue.name]) if queue.name in _LANES else None
        queues.append(
            QueueFigures(
                queue.name.removeprefix("jobs."),
                depth.messages,
                lane.running if lane else 0,
                depth.consumers,
                lane.oldest if lane else None,
            )
        )
    return Figures(queues, unfinished, limit, dead, found is not None)
