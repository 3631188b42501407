"""Jobs that were given up: counted, listed, put back."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeAlias
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    DateTime,
    RowMapping,
    Select,
    Text,
    Uuid,
    any_,
    cast,
    func,
    literal,
    select,
    text,
    true,
    tuple_,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from recmesh.common.v1.error_reason_pb2 import ErrorReason
from recmesh_jobs.intake import REDISPATCH_SECONDS
from recmesh_jobs.job import Failure, Job
from recmesh_jobs.models import dead_letters, jobs
from recmesh_jobs.repository import job_of, within
from recmesh_jobs.states import Lane, State
from recmesh_jobs.sweep import TO_DISPATCH, dispatchable
from recmesh_kit.filters import sql
from recmesh_kit.filters.schema import Field, Kind, Schema
from recmesh_kit.filters.tree import Condition

FILTERS = Schema(
    {
        "catalog": Field(Kind.ID, prefix="catalogs/"),
        "reason": Field(
            Kind.ENUM,
            names={name: str(number) for name, number in ErrorReason.items() if number},
        ),
        "create_time": Field(Kind.TIME),
    }
)
"""What of a dead letter can be filtered by."""
_COLUMNS: sql.Columns = {
    "catalog": dead_letters.c.catalog.collate("C"),
    "reason": cast(dead_letters.c.reason, Text),
    "create_time": dead_letters.c.create_time,
}

# Its job is looked up for each letter: there are few of them, and as many jobs as there are.
_job = (
    select(*(column for column in jobs.c if column.name not in ("answer", "shown")))
    .where(jobs.c.id == dead_letters.c.job_id, jobs.c.expire_time > func.now())
    .limit(1)
    .lateral("job")
)
_NEWEST_FIRST = (dead_letters.c.create_time.desc(), dead_letters.c.job_id.desc())
# In the order of their ids: who puts back the same ones waits, and then finds nothing left to do.
_FAILED = (
    "WITH failed AS MATERIALIZED (SELECT id FROM recommender.jobs WHERE id = ANY(CAST(:ids AS uuid[]))"
    " AND id BETWEEN :low AND :high AND state = 4 AND expire_time > now() ORDER BY id FOR UPDATE),"
    " terms AS (SELECT * FROM unnest(CAST(:lanes AS smallint[]), CAST(:deadlines AS interval[]),"
    " CAST(:waits AS interval[])) AS t(lane, deadline, wait)) "
)
_AGAIN = (
    "UPDATE recommender.jobs j SET state = 1, attempts = 0, worker = NULL, lease_until = NULL, start_time = NULL,"
    " end_time = NULL, answer = NULL, error_reason = NULL, error_message = NULL, deadline = now() + terms.deadline,"
    " expire_time = now() + CAST(:ttl AS interval), dispatches = 1, dispatch_time = now() + terms.wait"
    " FROM failed, terms WHERE j.id = failed.id AND j.id BETWEEN :low AND :high AND terms.lane = j.lane"
)
_PUT_BACK = text(_FAILED + _AGAIN + TO_DISPATCH)
_NOTE = text(
    "UPDATE recommender.dead_letters SET redrive_time = now() WHERE job_id = ANY(CAST(:ids AS uuid[]))"
)

Which: TypeAlias = Collection[UUID] | Condition
"""Some dead letters: those of these jobs, or those that fulfil a condition on `FILTERS`."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A job that was given up.

    Attributes:
        job: As it stands now, without its answer; but with the number of attempts after which it was given up, and why.
        create_time: When it was given up.
        redrive_time: When it was put back since; None while it stands here.
    """

    job: Job
    create_time: datetime
    redrive_time: datetime | None


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page ended: at the letter of this job, of this time."""

    create_time: datetime
    id: UUID


class DeadLetterRepository:
    """Queries over dead letters, within one transaction. Those of jobs past their TTL are not there."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def page(
        self, catalog: str | None, before: Position | None, limit: int, most_bytes: int
    ) -> list[DeadLetter]:
        """Dead letters, the newest first, those that were put back included.

        Args:
            catalog: Only of this catalog; None for all.
            before: Where the page before ended; None from the newest on.
            limit: How many at the most.
            most_bytes: Of queries, as `within`.
        """
        letters = dead_letters.c
        query = (
            select(
                _job,
                letters.attempts.label("times"),
                letters.reason,
                letters.message,
                letters.create_time.label("buried"),
                letters.redrive_time,
            )
            .select_from(dead_letters.join(_job, true()))
            .order_by(*_NEWEST_FIRST)
            .limit(limit)
        )
        if catalog is not None:
            query = query.where(letters.catalog == catalog)
        if before is not None:
            last = tuple_(
                literal(before.create_time, DateTime(timezone=True)), literal(before.id, Uuid)
            )
            query = query.where(tuple_(letters.create_time, letters.job_id) < last)
        found = within(query, ["buried", "id"], ["query"], most_bytes)
        return [_letter(row) for row in (await self._session.execute(found)).mappings()]

    async def catalogs(self, ids: Collection[UUID]) -> dict[UUID, str]:
        """The catalogs of the jobs with these ids that have a dead letter, by id."""
        query = (
            select(dead_letters.c.job_id, dead_letters.c.catalog)
            .select_from(dead_letters.join(_job, true()))
            .where(_selected(ids))
        )
        return {row.job_id: row.catalog for row in await self._session.execute(query)}

    async def count(self, which: Which, most: int) -> int:
        """How many of some dead letters could be put back, counted up to `most`."""
        found = self._failed(which).limit(most).subquery()
        return await self._session.scalar(select(func.count()).select_from(found)) or 0

    async def count_standing(self, most: int) -> int:
        """How many dead letters were not put back, counted up to `most`; by the day, those past their TTL are among
        them."""
        found = select(literal(1)).where(dead_letters.c.redrive_time.is_(None)).limit(most)
        return await self._session.scalar(select(func.count()).select_from(found.subquery())) or 0

    async def now(self) -> datetime:
        """The present, by the database's clock."""
        present: datetime = (await self._session.execute(select(func.now()))).scalar_one()
        return present

    async def failed(self, which: Which, until: datetime, limit: int) -> list[UUID]:
        """The jobs of some dead letters that could be put back, those first that were given up first.

        Args:
            which: Which.
            until: Only those that were given up by then.
            limit: How many at the most.
        """
        query = (
            self._failed(which)
            .where(dead_letters.c.create_time <= until)
            .order_by(dead_letters.c.create_time, dead_letters.c.job_id)
            .limit(limit)
        )
        return list((await self._session.execute(query)).scalars())

    async def put_back(
        self, ids: Sequence[UUID], deadlines: Mapping[Lane, timedelta], ttl: timedelta
    ) -> list[Job]:
        """Queues failed jobs again, each on its lane and with its attempts counted from 0; to be dispatched there. One
        that is not failed any more, as somebody else has put it back, is left alone.

        Args:
            ids: Of the jobs.
            deadlines: From when on a job of a lane is not worth starting, from now on.
            ttl: How long they are kept, from now on.
        """
        if not ids:
            return []
        lanes = list(deadlines)
        found = await self._session.execute(
            _PUT_BACK,
            {
                "ids": list(ids),
                "low": min(ids),
                "high": max(ids),
                "lanes": lanes,
                "deadlines": [deadlines[lane] for lane in lanes],
                "waits": [timedelta(seconds=REDISPATCH_SECONDS[lane]) for lane in lanes],
                "ttl": ttl,
            },
        )
        put_back = [dispatchable(row) for row in found.mappings()]
        # After the jobs, as all do who change both.
        await self._session.execute(_NOTE, {"ids": [job.id for job in put_back]})
        return sorted(put_back, key=lambda job: job.id)

    @staticmethod
    def _failed(which: Which) -> Select[UUID]:
        return (
            select(dead_letters.c.job_id)
            .select_from(dead_letters.join(_job, _job.c.state == State.FAILED))
            .where(dead_letters.c.redrive_time.is_(None), _selected(which))
        )


def _selected(which: Which) -> ColumnElement[bool]:
    if isinstance(which, Collection):
        return dead_letters.c.job_id == any_(literal(list(which), ARRAY(Uuid)))
    return sql.where(which, _COLUMNS)


def _letter(row: RowMapping) -> DeadLetter:
    failure = Failure(row["reason"], row["message"])
    job = replace(job_of({**row, "answer": None}), attempts=row["times"], failure=failure)
    return DeadLetter(job, row["buried"], row["redrive_time"])
