"""Jobs that nobody looks after: dispatched again, tried again alone, or ended. Safe to run in several processes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from sqlalchemy import RowMapping, TextClause, text
from sqlalchemy.ext.asyncio import AsyncSession

from recmesh.common.v1 import error_reason_pb2 as reasons
from recmesh_jobs.job import Job
from recmesh_jobs.leases import EXPIRED
from recmesh_jobs.repository import job_of
from recmesh_jobs.states import Lane

LIMIT = 500
"""Most jobs that one statement changes."""

_RETURNING = (
    " RETURNING j.id, j.catalog, j.user_id, j.session, j.lane, j.query, j.deadline, j.create_time, j.expire_time,"
    " j.state, j.version, j.attempts, j.start_time, j.end_time, j.answer, j.error_reason, j.error_message, j.continues"
)
TO_DISPATCH = _RETURNING + ", j.shown"
"""Of a statement that changes jobs `j`: what `dispatchable` takes."""
# What has no end stands in an index of its own: `end_time IS NULL` is how that is found.
# The wait doubles each time, so that a long queue is not made longer by its own repeats.
_DUE = text(
    "WITH due AS MATERIALIZED (SELECT id FROM recommender.jobs WHERE end_time IS NULL AND state = 1"
    " AND lane = ANY(CAST(:lanes AS smallint[])) AND dispatch_time <= now()"
    " AND deadline > now() ORDER BY dispatch_time LIMIT :limit FOR UPDATE SKIP LOCKED) "
    "UPDATE recommender.jobs j SET dispatches = least(j.dispatches + 1, 30),"
    " dispatch_time = now() + make_interval(secs => least(600, :wait * power(2, least(j.dispatches, 10)))) "
    "FROM due WHERE j.id = due.id" + TO_DISPATCH
)
# In the order in which they came, whoever's clock is ahead.
_HURRY = text(
    "WITH unsent AS MATERIALIZED (SELECT id FROM recommender.jobs WHERE id = ANY(CAST(:ids AS uuid[]))"
    " AND id BETWEEN :low AND :high AND state = 1 AND dispatch_time > now() FOR UPDATE SKIP LOCKED) "
    "UPDATE recommender.jobs j SET dispatch_time = least(now(), j.create_time) "
    "FROM unsent WHERE j.id = unsent.id AND j.id BETWEEN :low AND :high"
)
_EXPIRE = text(
    "WITH late AS MATERIALIZED (SELECT id FROM recommender.jobs"
    " WHERE end_time IS NULL AND state = 1 AND deadline <= now()"
    " LIMIT :limit FOR UPDATE SKIP LOCKED) "
    "UPDATE recommender.jobs j SET state = 6, end_time = now(), error_reason = :reason, error_message = :message "
    "FROM late WHERE j.id = late.id" + _RETURNING
)
_LOST = (
    "WITH lost AS MATERIALIZED (SELECT id FROM recommender.jobs WHERE end_time IS NULL AND state = 2"
    " AND (lease_until IS NULL OR lease_until < now())"
)
_REQUEUE = text(
    _LOST + " AND attempts < :attempts LIMIT :limit FOR UPDATE SKIP LOCKED) "
    "UPDATE recommender.jobs j SET state = 1, lane = :suspect, worker = NULL, lease_until = NULL,"
    " dispatches = 1, dispatch_time = now() + make_interval(secs => :wait) "
    "FROM lost WHERE j.id = lost.id" + TO_DISPATCH
)
_GIVE_UP = text(
    _LOST + " AND attempts >= :attempts LIMIT :limit FOR UPDATE SKIP LOCKED), "
    "failed AS (UPDATE recommender.jobs j SET state = 4, end_time = now(), worker = NULL, lease_until = NULL,"
    " error_reason = :reason, error_message = :message FROM lost WHERE j.id = lost.id"
    + _RETURNING
    + "), "
    "buried AS (INSERT INTO recommender.dead_letters"
    " (job_id, catalog, user_id, version, query, attempts, reason, message, create_time)"
    " SELECT id, catalog, user_id, version, query, attempts, :reason, :message, now() FROM failed"
    " ON CONFLICT (job_id) DO UPDATE SET attempts = excluded.attempts, reason = excluded.reason,"
    " message = excluded.message, create_time = excluded.create_time, redrive_time = NULL) "
    "SELECT * FROM failed"
)


class SweepRepository:
    """The sweeper's statements, each of at most `LIMIT` jobs, within one transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def due(self, lanes: Collection[Lane], wait_seconds: float) -> list[Job]:
        """Queued jobs of some lanes that should be dispatched again by now, the oldest first: their message was lost,
        or never sent."""
        due = await self._dispatchable(_DUE, lanes=list(lanes), wait=wait_seconds)
        return sorted(due, key=lambda job: job.id)

    async def hurry(self, ids: Sequence[UUID]) -> None:
        """Makes queued jobs due now: their message is known not to have been sent."""
        if ids:
            await self._session.execute(_HURRY, {"ids": ids, "low": min(ids), "high": max(ids)})

    async def expire(self) -> list[Job]:
        """Ends queued jobs whose deadline has passed."""
        return await self._run(_EXPIRE, reason=EXPIRED.reason, message=EXPIRED.message)

    async def requeue_lost(self, attempt_limit: int, wait_seconds: float) -> list[Job]:
        """Puts jobs whose lease ran out on the suspect lane, to be dispatched there."""
        return await self._dispatchable(
            _REQUEUE, attempts=attempt_limit, suspect=int(Lane.SUSPECT), wait=wait_seconds
        )

    async def give_up_lost(self, attempt_limit: int) -> list[Job]:
        """Ends jobs whose lease ran out once too often as FAILED; each stands in the dead letters."""
        return await self._run(
            _GIVE_UP,
            attempts=attempt_limit,
            reason=reasons.ERROR_REASON_ATTEMPTS_EXHAUSTED,
            message=f"Every attempt of {attempt_limit} ended without an answer.",
        )

    async def _run(self, statement: TextClause, **values: object) -> list[Job]:
        return [job_of(row) for row in await self._rows(statement, values)]

    async def _dispatchable(self, statement: TextClause, **values: object) -> list[Job]:
        return [dispatchable(row) for row in await self._rows(statement, values)]

    async def _rows(
        self, statement: TextClause, values: Mapping[str, object]
    ) -> Sequence[RowMapping]:
        found = await self._session.execute(statement, {**values, "limit": LIMIT})
        return found.mappings().all()


def dispatchable(row: RowMapping) -> Job:
    """The job that a row of `TO_DISPATCH` holds, with all that its message needs."""
    return replace(job_of(row), shown=row["shown"] or b"")
