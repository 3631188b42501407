"""Jobs in work: claimed, ended and given back, a batch in one statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncSession

from recmesh.common.v1 import error_reason_pb2 as reasons
from recmesh_jobs.job import Claim, Ended, Failure
from recmesh_jobs.states import State

# A claim need not survive a crash of the database: without it the job is queued still, and is claimed anew. So it
# does not wait for the disk.
_CLAIM = text(
    "WITH wanted AS MATERIALIZED ("
    " SELECT id FROM recommender.jobs"
    " WHERE id = ANY(CAST(:ids AS uuid[])) AND id BETWEEN :low AND :high AND state = 1"
    " FOR UPDATE SKIP LOCKED), "
    "quick AS (SELECT set_config('synchronous_commit', 'off', true)) "
    "UPDATE recommender.jobs j SET "
    " state = CASE WHEN j.deadline <= now() THEN 6 ELSE 2 END,"
    " attempts = j.attempts + CASE WHEN j.deadline <= now() THEN 0 ELSE 1 END,"
    " worker = CASE WHEN j.deadline <= now() THEN NULL ELSE :worker END,"
    " lease_until = CASE WHEN j.deadline <= now() THEN NULL"
    "  ELSE now() + make_interval(secs => :lease) END,"
    " start_time = CASE WHEN j.deadline <= now() THEN NULL ELSE now() END,"
    " end_time = CASE WHEN j.deadline <= now() THEN now() END,"
    " error_reason = CASE WHEN j.deadline <= now() THEN CAST(:expired AS integer) END,"
    " error_message = CASE WHEN j.deadline <= now() THEN CAST(:expired_message AS text) END "
    "FROM wanted, quick WHERE j.id = wanted.id AND j.id BETWEEN :low AND :high "
    "RETURNING j.id, j.state, j.attempts, j.start_time, j.end_time"
)
_SUCCEED = text(
    "UPDATE recommender.jobs j SET state = 3, answer = v.answer, end_time = now(), worker = NULL,"
    " lease_until = NULL "
    "FROM unnest(CAST(:ids AS uuid[]), CAST(:attempts AS smallint[]), CAST(:answers AS bytea[]))"
    " AS v(id, attempt, answer) "
    "WHERE j.id = v.id AND j.id BETWEEN :low AND :high AND j.state = 2 AND j.worker = :worker"
    " AND j.attempts = v.attempt "
    "RETURNING j.id, j.state, j.attempts, j.start_time, j.end_time"
)
_FAIL = text(
    "WITH failed AS ("
    " UPDATE recommender.jobs j SET state = 4, end_time = now(), worker = NULL, lease_until = NULL,"
    "  error_reason = v.reason, error_message = v.message"
    " FROM unnest(CAST(:ids AS uuid[]), CAST(:attempts AS smallint[]), CAST(:reasons AS integer[]),"
    "  CAST(:messages AS text[])) AS v(id, attempt, reason, message)"
    " WHERE j.id = v.id AND j.id BETWEEN :low AND :high AND j.state = 2 AND j.worker = :worker"
    "  AND j.attempts = v.attempt"
    " RETURNING j.*), "
    "buried AS ("
    " INSERT INTO recommender.dead_letters"
    "  (job_id, catalog, user_id, version, query, attempts, reason, message, create_time)"
    " SELECT id, catalog, user_id, version, query, attempts, error_reason, error_message, now()"
    " FROM failed ON CONFLICT (job_id) DO NOTHING) "
    "SELECT id, state, attempts, start_time, end_time FROM failed"
)
# Giving back is no attempt.
_RELEASE = text(
    "UPDATE recommender.jobs j SET state = 1, attempts = j.attempts - 1, worker = NULL,"
    " lease_until = NULL, start_time = NULL, dispatch_time = now() "
    "FROM unnest(CAST(:ids AS uuid[]), CAST(:attempts AS smallint[])) AS v(id, attempt) "
    "WHERE j.id = v.id AND j.id BETWEEN :low AND :high AND j.state = 2 AND j.worker = :worker"
    " AND j.attempts = v.attempt RETURNING j.id"
)
EXPIRED = Failure(reasons.ERROR_REASON_JOB_EXPIRED, "Its deadline passed before a worker took it.")


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a worker got of what it asked for; the rest is cancelled, ended or leased elsewhere.

    Attributes:
        claims: Jobs that are the worker's now, by id.
        expired: Jobs that ended as EXPIRED just now.
    """

    claims: Mapping[UUID, Claim]
    expired: Sequence[Ended]


class LeaseRepository:
    """The worker's side of the jobs table, within one transaction.

    Args:
        session: The transaction.
        worker: Who holds the leases: unique to a process.
    """

    def __init__(self, session: AsyncSession, worker: str) -> None:
        self._session = session
        self._worker = worker

    async def claim(self, ids: Sequence[UUID], lease_seconds: float) -> Claimed:
        """Takes queued jobs: state RUNNING, one attempt more, a lease."""
        rows = await self._run(
            _CLAIM,
            ids,
            lease=lease_seconds,
            expired=EXPIRED.reason,
            expired_message=EXPIRED.message,
        )
        claims = {
            row.id: Claim(row.id, row.attempts, row.start_time)
            for row in rows
            if row.state == State.RUNNING
        }
        return Claimed(claims, [_ended(row) for row in rows if row.state == State.EXPIRED])

    async def succeed(self, answers: Sequence[tuple[Claim, bytes]]) -> list[Ended]:
        """Stores answers. A job that was cancelled meanwhile, or lost its lease, is not among those answered."""
        claims = [claim for claim, _ in answers]
        rows = await self._run(
            _SUCCEED,
            [claim.id for claim in claims],
            attempts=[claim.attempt for claim in claims],
            answers=[answer for _, answer in answers],
        )
        return [_ended(row) for row in rows]

    async def fail(self, failures: Sequence[tuple[Claim, Failure]]) -> list[Ended]:
        """Ends jobs as FAILED for good; each stands in the dead letters."""
        claims = [claim for claim, _ in failures]
        rows = await self._run(
            _FAIL,
            [claim.id for claim in claims],
            attempts=[claim.attempt for claim in claims],
            reasons=[failure.reason for _, failure in failures],
            messages=[failure.message for _, failure in failures],
        )
        return [_ended(row) for row in rows]

    async def release(self, claims: Sequence[Claim]) -> int:
        """Gives jobs back unfinished, to be dispatched again at once; says how many."""
        rows = await self._run(
            _RELEASE,
            [claim.id for claim in claims],
            attempts=[claim.attempt for claim in claims],
        )
        return len(rows)

    async def _run(
        self, statement: TextClause, ids: Sequence[UUID], **values: object
    ) -> Sequence[Any]:
        if not ids:
            return []
        # The bounds let the planner leave out the partitions of other days.
        scope = {"ids": list(ids), "low": min(ids), "high": max(ids), "worker": self._worker}
        return (await self._session.execute(statement, {**values, **scope})).all()


def _ended(row: Any) -> Ended:
    return Ended(row.id, State(row.state), row.attempts, row.start_time, row.end_time)
