"""A look into the queues, for those who run a deployment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from recmesh_client.data.recommendation import Recommendation


@dataclass(frozen=True, slots=True)
class Queue:
    """One queue.

    Attributes:
        id: "interactive", "bulk", "suspect", "index", "history", "training", or a delay: "delay.1s", "delay.10s",
            "delay.60s".
        ready: Messages that wait for a worker; in a delay, for their time. 0 while the broker is away.
        unacknowledged: Jobs of this queue that a worker has in hand. 0 for queues of other than jobs.
        consumers: Workers that consume it. 0 while the broker is away.
        oldest_age: How long its oldest unfinished job has been waiting; None when there is none, and for queues of
            other than jobs.
    """

    id: str
    ready: int
    unacknowledged: int
    consumers: int
    oldest_age: timedelta | None


@dataclass(frozen=True, slots=True)
class QueueStats:
    """The queues' figures at one moment.

    Attributes:
        queues: One entry for each queue.
        unfinished: Jobs that have not ended.
        admission_limit: How many unfinished jobs are admitted.
        dead_letters: Jobs that were given up and not put back.
        broker_reachable: False: the broker is away, and the figures that it knows are missing.
    """

    queues: tuple[Queue, ...]
    unfinished: int
    admission_limit: int
    dead_letters: int
    broker_reachable: bool


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A job that was given up.

    Attributes:
        recommendation: The job.
        create_time: When it was given up.
        redrive_time: When it was put into the queue again; None while it stands here.
    """

    recommendation: Recommendation
    create_time: datetime | None
    redrive_time: datetime | None
