"""What is stored of the jobs, read as the database's admin."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg

from chaos.fitting import end
from recmesh.events.v1.job_events_pb2 import Answer
from recmesh_jobs.states import State

_CONNECT_SECONDS = 30.0
_JOBS = """
    SELECT id, catalog, user_id AS user, session, state, query, attempts, create_time, start_time, end_time, answer,
        error_reason, error_message, (worker IS NOT NULL OR lease_until IS NOT NULL) AS leased
    FROM recommender.jobs
"""
_REQUESTS = "SELECT key, job_id FROM recommender.requests"
_DEAD_LETTERS = "SELECT job_id, reason FROM recommender.dead_letters"
_UNFINISHED = "SELECT count(*) FROM recommender.jobs WHERE end_time IS NULL"


@dataclass(frozen=True, slots=True)
class JobRow:
    """A row of `recommender.jobs`."""

    id: UUID
    catalog: str
    user: str
    session: str
    state: State
    query: bytes
    attempts: int
    create_time: dt.datetime
    start_time: dt.datetime | None = None
    end_time: dt.datetime | None = None
    answer: bytes | None = field(default=None, repr=False)
    error_reason: int | None = None
    error_message: str | None = None
    leased: bool = False

    @property
    def end(self) -> bytes:
        """By what its end is known, as `chaos.fitting.end`."""
        error = None
        if self.error_reason is not None:
            error = (self.error_reason, self.error_message or "")
        answer = None if self.answer is None else Answer.FromString(self.answer)
        return end(self.state, answer, error, self.attempts, self.start_time, self.end_time)


@dataclass(frozen=True, slots=True)
class Tables:
    """All that is stored.

    Attributes:
        jobs: By their ids.
        requests: What each request id was remembered as, to the jobs that stand for it: around midnight it is there
            under two days.
        dead_letters: Job to the reason, an `ErrorReason` number.
    """

    jobs: Mapping[UUID, JobRow]
    requests: Mapping[bytes, frozenset[UUID]]
    dead_letters: Mapping[UUID, int]


async def connect(url: str) -> asyncpg.Connection:
    """One connection, for the caller to close."""
    return await asyncpg.connect(url, timeout=_CONNECT_SECONDS, command_timeout=120)


async def count_unfinished(connection: asyncpg.Connection) -> int:
    """How many jobs have not ended."""
    found: int = await connection.fetchval(_UNFINISHED)
    return found


async def read(connection: asyncpg.Connection) -> Tables:
    """All that is stored, at one moment."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        jobs = {
            row["id"]: JobRow(**{**row, "state": State(row["state"])})
            for row in await connection.fetch(_JOBS)
        }
        requests: dict[bytes, set[UUID]] = {}
        for row in await connection.fetch(_REQUESTS):
            requests.setdefault(row["key"], set()).add(row["job_id"])
        dead_letters = {
            row["job_id"]: row["reason"] for row in await connection.fetch(_DEAD_LETTERS)
        }
    return Tables(jobs, {key: frozenset(ids) for key, ids in requests.items()}, dead_letters)
