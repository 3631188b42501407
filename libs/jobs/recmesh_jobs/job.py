"""A job as its row says it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from recmesh_jobs.states import Lane, State

ATTEMPT_LIMIT = 5
"""How often a job is begun, unless the deployment says otherwise, before it is given up."""
VERSION = 1
"""Version of the bytes in `Job.query` (a `recmesh.recommender.v1.Query`) and `Job.answer` (a
`recmesh.events.v1.Answer`)."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job has no answer.

    Attributes:
        reason: An `ErrorReason` number.
        message: A sentence for people.
    """

    reason: int
    message: str


@dataclass(frozen=True, slots=True)
class Job:
    """A job.

    Attributes:
        id: UUID version 7: its time decides the partition of the row.
        catalog: The catalog's id.
        user: For whom.
        session: The visit; empty when there is none.
        lane: Where it is dispatched.
        query: Serialised query, of version `version`.
        deadline: From when on it is not worth starting.
        create_time: When it was stored.
        expire_time: From when on it is gone.
        attempts: How often a worker has begun it.
        answer: Serialised answer, when it has succeeded.
        failure: Why there is none, when it has failed or expired.
        continues: The job that it continues, when it does.
        shown: Ids of the items that the chain which it continues has shown, as `recmesh_jobs.shown` packs them; read
            only where it is dispatched or continued.
    """

    id: UUID
    catalog: str
    user: str
    session: str
    lane: Lane
    query: bytes
    deadline: datetime
    create_time: datetime
    expire_time: datetime
    state: State = State.QUEUED
    version: int = VERSION
    attempts: int = 0
    start_time: datetime | None = None
    end_time: datetime | None = None
    answer: bytes | None = field(default=None, repr=False)
    failure: Failure | None = None
    continues: UUID | None = None
    shown: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Claim:
    """A lease on a job: the worker that made it at this time, by the database's clock, may end the job, nobody else."""

    id: UUID
    attempt: int
    start_time: datetime


@dataclass(frozen=True, slots=True)
class Ended:
    """A job that has just ended, as its row says."""

    id: UUID
    state: State
    attempts: int
    start_time: datetime | None
    end_time: datetime
