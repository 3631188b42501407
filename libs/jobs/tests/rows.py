"""Jobs for tests, and their rows."""

from __future__ import annotations

import datetime as dt
import itertools
import os
from dataclasses import replace

from sqlalchemy import text

from recmesh_jobs import reading
from recmesh_jobs.intake import Submission, store
from recmesh_jobs.job import Job
from recmesh_jobs.states import Lane
from recmesh_kit.database import Database
from recmesh_kit.ids import uuid7

CATALOG = f"c{os.getpid()}"
_microseconds = itertools.count()


def job(**fields: object) -> Job:
    """A job as it is stored, later than those made before: of one microsecond, ids have no order."""
    now = dt.datetime.now(dt.UTC) + next(_microseconds) * dt.timedelta(microseconds=1)
    made = Job(
        id=uuid7(now),
        catalog=CATALOG,
        user="ada",
        session="",
        lane=Lane.INTERACTIVE,
        query=b"query",
        deadline=now + dt.timedelta(minutes=5),
        create_time=now,
        expire_time=now + dt.timedelta(days=7),
    )
    return replace(made, **fields)  # type: ignore[arg-type]


async def stored(database: Database, *jobs: Job) -> None:
    """Stores jobs."""
    async with database.driver() as connection:
        await store(connection, [Submission(j, None, b"") for j in jobs])


async def read(database: Database, job: Job) -> Job | None:
    """A job as its row stands."""
    async with database.driver() as connection:
        return (await reading.read(connection, [job.id])).get(job.id)


async def changed(database: Database, job: Job, change: str) -> None:
    """Has something befall a row."""
    async with database.transaction() as session:
        await session.execute(
            text(f"UPDATE recommender.jobs SET {change} WHERE id = :id"),  # noqa: S608 - a constant
            {"id": job.id},
        )


async def run_out(database: Database, job: Job) -> None:
    """The lease of a job runs out."""
    await changed(database, job, "lease_until = now() - interval '1 s'")
