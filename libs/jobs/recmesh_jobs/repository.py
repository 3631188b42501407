"""Jobs as callers see them: listed, counted, continued, cancelled, deleted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import reduce
from operator import add
from typing import Any
from uuid import UUID

from asyncpg import Connection
from sqlalchemy import Select, delete, func, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from recmesh_jobs.job import Failure, Job
from recmesh_jobs.models import dead_letters, jobs
from recmesh_jobs.states import Lane, State

_WITH_ANSWER = (
    jobs.c.id,
    jobs.c.catalog,
    jobs.c.user_id,
    jobs.c.session,
    jobs.c.lane,
    jobs.c.query,
    jobs.c.deadline,
    jobs.c.create_time,
    jobs.c.expire_time,
    jobs.c.state,
    jobs.c.version,
    jobs.c.attempts,
    jobs.c.start_time,
    jobs.c.end_time,
    jobs.c.error_reason,
    jobs.c.error_message,
    jobs.c.continues,
    jobs.c.answer,
)
_COUNT = """
    SELECT count(*) AS jobs, count(*) FILTER (WHERE lane = 2) AS bulk
    FROM (SELECT lane FROM recommender.jobs WHERE end_time IS NULL LIMIT $1) unfinished
"""

# Who was put back waits from then on, not from its creation.
_STANDING = text(
    "SELECT lane, count(*) AS jobs, count(*) FILTER (WHERE state = 2) AS running,"
    " greatest(now() - min(since), interval '0') AS oldest FROM ("
    "SELECT j.lane, j.state, coalesce("
    "(SELECT d.redrive_time FROM recommender.dead_letters d WHERE d.job_id = j.id), j.create_time) AS since"
    " FROM recommender.jobs j WHERE j.end_time IS NULL LIMIT :most) unfinished GROUP BY lane"
)


@dataclass(frozen=True, slots=True)
class Unfinished:
    """How many jobs have not ended.

    Attributes:
        jobs: In all.
        bulk: Those of them that are on the bulk lane.
    """

    jobs: int
    bulk: int


@dataclass(frozen=True, slots=True)
class LaneStanding:
    """The unfinished jobs of a lane.

    Attributes:
        jobs: How many.
        running: Those of them that a worker has in hand.
        oldest: How long the one has been waiting that waits the longest.
    """

    jobs: int
    running: int
    oldest: timedelta


class JobRepository:
    """Queries over jobs, within one transaction. A job past its TTL is not there."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def with_shown(self, id: UUID) -> Job | None:  # noqa: A002 - what it is
        """A job with what the chain had shown that it continues; None when it is not there."""
        query = select(*_WITH_ANSWER, jobs.c.shown).where(
            jobs.c.id == id, jobs.c.expire_time > func.now()
        )
        row = (await self._session.execute(query)).mappings().first()
        return None if row is None else replace(job_of(row), shown=row["shown"] or b"")

    async def page(
        self,
        catalog: str,
        *,
        user: str | None,
        session: str | None,
        before: UUID | None,
        limit: int,
        most_bytes: int,
    ) -> list[Job]:
        """Jobs of a catalog, the newest first.

        Args:
            catalog: The catalog's id.
            user: Only this person's; None for all.
            session: Only this visit's; None for all.
            before: Only those older than this one; None from the newest on.
            limit: How many at the most.
            most_bytes: As `within`.
        """
        query = (
            select(*_WITH_ANSWER)
            .where(jobs.c.catalog == catalog, jobs.c.expire_time > func.now())
            .order_by(jobs.c.id.desc())
            .limit(limit)
        )
        if user is not None:
            query = query.where(jobs.c.user_id == user)
        if session is not None:
            # The second condition is the one that its index has: from the first, whose value is told later, a plan
            # for all values does not conclude it.
            query = query.where(jobs.c.session == session, text("session <> ''"))
        if before is not None:
            query = query.where(jobs.c.id < before)
        found = await self._session.execute(within(query, ["id"], ["query", "answer"], most_bytes))
        return [job_of(row) for row in found.mappings()]

    async def standing(self, most: int) -> Mapping[Lane, LaneStanding]:
        """The lanes that have unfinished jobs, which are looked at up to `most`."""
        found = await self._session.execute(_STANDING, {"most": most})
        return {Lane(lane): LaneStanding(*rest) for lane, *rest in found}

    async def cancel(self, id: UUID) -> Job | None:  # noqa: A002 - what it is
        """Ends an unfinished job as CANCELLED; None when it has ended already, or is not there."""
        change = (
            update(jobs)
            .where(jobs.c.id == id, jobs.c.state.in_((State.QUEUED, State.RUNNING)))
            .values(state=State.CANCELLED, end_time=func.now(), worker=None, lease_until=None)
            .returning(*_WITH_ANSWER)
        )
        row = (await self._session.execute(change)).mappings().first()
        return None if row is None else job_of(row)

    async def delete(self, id: UUID) -> bool:  # noqa: A002 - what it is
        """Deletes a job with its answer and its dead letter; False when it is not there."""
        gone = await self._session.execute(delete(jobs).where(jobs.c.id == id).returning(jobs.c.id))
        # After the job: whoever was burying it meanwhile has done so by now.
        await self._session.execute(delete(dead_letters).where(dead_letters.c.job_id == id))
        return gone.first() is not None


async def count_unfinished(connection: Connection, most: int) -> Unfinished:
    """How many jobs have not ended, counted up to `most`, by a connection of the driver."""
    row = await connection.fetchrow(_COUNT, most)
    return Unfinished(row["jobs"], row["bulk"])


def within(
    rows: Select[Any], newest: Sequence[str], long: Sequence[str], most_bytes: int
) -> Select[Any]:
    """The newest of some rows, as far as they are to be held in memory.

    Args:
        rows: They.
        newest: Columns that say which of two is the newer one.
        long: Columns that may be long.
        most_bytes: Of these, after which no more rows are read. The one that goes beyond is among them, and of more
            than one the first two.
    """
    page = rows.subquery()
    newest_first = [page.c[name].desc() for name in newest]
    sizes = [func.coalesce(func.octet_length(page.c[name]), 0) for name in long]
    sized = select(
        page,
        func.row_number().over(order_by=newest_first).label("place"),
        func.sum(reduce(add, sizes))
        .over(order_by=newest_first, rows=(None, -1))
        .label("bytes_before"),
    ).subquery()
    fitting = or_(sized.c.place <= 2, sized.c.bytes_before <= most_bytes)
    return select(sized).where(fitting).order_by(sized.c.place)


def job_of(row: Any) -> Job:
    """The job that a row of `recommender.jobs` holds, by the names of its columns."""
    reason = row["error_reason"]
    failure = None if reason is None else Failure(reason, row["error_message"])
    return Job(
        id=row["id"],
        catalog=row["catalog"],
        user=row["user_id"],
        session=row["session"],
        lane=Lane(row["lane"]),
        query=row["query"],
        deadline=row["deadline"],
        create_time=row["create_time"],
        expire_time=row["expire_time"],
        state=State(row["state"]),
        version=row["version"],
        attempts=row["attempts"],
        start_time=row["start_time"],
        end_time=row["end_time"],
        answer=row["answer"],
        failure=failure,
        continues=row["continues"],
    )
