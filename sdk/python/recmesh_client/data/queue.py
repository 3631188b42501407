"""A look into the queues, for those who run a deployment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from recmesh_client.data.recommendation import Recommendation


@dataclass(frozen=True, slots=True)
class Queue:
    """One queue.

    Attributes:
        id: "interactive", "bulk", "suspect", "index" or "training".
        ready: Messages that wait for a worker.
        unacknowledged: Messages that a worker has in hand.
        consumers: Workers that consume it.
        oldest_age: How long its oldest unfinished job has been waiting.
    """

    id: str
    ready: int
    unacknowledged: int
    consumers: int
    oldest_age: timedelta


@dataclass(frozen=True, slots=True)
class QueueStats:
    """The queues' figures at one moment.

    Attributes:
        queues: One entry for each queue.
        unfinished: Jobs that have not ended.
        admission_limit: How many unfinished jobs are admitted.
        dead_letters: Jobs that were given up and not put back.
    """

    queues: tuple[Queue, ...]
    unfinished: int
    admission_limit: int
    dead_letters: int


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
