"""Jobs in work: claimed, ended and given back, a batch in one statement."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from asyncpg import Connection

from recmesh.common.v1 import error_reason_pb2 as reasons
from recmesh_jobs.history_repository import Columns, Person
from recmesh_jobs.job import Claim, Ended, Failure
from recmesh_jobs.states import State

# Each statement names its rows by their ids, and by bounds of these: the ids find them in the primary key, and by the
# bounds the partitions of other days are left out. A claim is known by who made it and when: the number of the attempt
# comes again when a job was given back, or given up and put back.
# A claim need not survive a crash of the database: without it the job is queued still, and is claimed anew. So it
# does not wait for the disk. What the people did comes with it, of each person once: should that fail, nothing is
# claimed.
_CLAIM = """
    WITH wanted AS MATERIALIZED (
        SELECT id FROM recommender.jobs
        WHERE id = ANY($1::uuid[]) AND id BETWEEN $2 AND $3 AND state = 1 AND (lane <> 3 OR $9)
        FOR UPDATE SKIP LOCKED
    ),
    quick AS (SELECT set_config('synchronous_commit', 'off', true)),
    claimed AS (
        UPDATE recommender.jobs j SET
            state = CASE WHEN j.deadline <= now() THEN 6 ELSE 2 END,
            attempts = j.attempts + CASE WHEN j.deadline <= now() THEN 0 ELSE 1 END,
            worker = CASE WHEN j.deadline <= now() THEN NULL ELSE $4 END,
            lease_until = CASE WHEN j.deadline <= now() THEN NULL ELSE now() + make_interval(secs => $5) END,
            start_time = CASE WHEN j.deadline <= now() THEN NULL ELSE now() END,
            end_time = CASE WHEN j.deadline <= now() THEN now() END,
            error_reason = CASE WHEN j.deadline <= now() THEN $6::integer END,
            error_message = CASE WHEN j.deadline <= now() THEN $7::text END
        FROM wanted, quick
        WHERE j.id = wanted.id AND j.id = ANY($1::uuid[]) AND j.id BETWEEN $2 AND $3
        RETURNING j.id, j.state, j.attempts, j.start_time, j.end_time, j.catalog, j.user_id
    ),
    people AS (
        SELECT DISTINCT ON (catalog, user_id) id, catalog, user_id FROM claimed
        WHERE state = 2 AND id = ANY($8::uuid[])
    )
    SELECT c.id, c.state, c.attempts, c.start_time, c.end_time,
        h.catalog, h.user_id, h.items, h.types, h.event_values, h.event_times
    FROM claimed c
    LEFT JOIN people p ON p.id = c.id
    LEFT JOIN recommender.user_history h ON h.catalog = p.catalog AND h.user_id = p.user_id
"""
_SUCCEED = """
    UPDATE recommender.jobs j
    SET state = 3, answer = v.answer, end_time = now(), worker = NULL, lease_until = NULL
    FROM unnest($1::uuid[], $5::timestamptz[], $6::bytea[]) AS v(id, start_time, answer)
    WHERE j.id = v.id AND j.id = ANY($1::uuid[]) AND j.id BETWEEN $2 AND $3
        AND j.state = 2 AND j.worker = $4 AND j.start_time = v.start_time
    RETURNING j.id, j.state, j.attempts, j.start_time, j.end_time
"""
_FAIL = """
    WITH failed AS (
        UPDATE recommender.jobs j
        SET state = 4, end_time = now(), worker = NULL, lease_until = NULL,
            error_reason = v.reason, error_message = v.message
        FROM unnest($1::uuid[], $5::timestamptz[], $6::integer[], $7::text[]) AS v(id, start_time, reason, message)
        WHERE j.id = v.id AND j.id = ANY($1::uuid[]) AND j.id BETWEEN $2 AND $3
            AND j.state = 2 AND j.worker = $4 AND j.start_time = v.start_time
        RETURNING j.*
    ),
    buried AS (
        INSERT INTO recommender.dead_letters
            (job_id, catalog, user_id, version, query, attempts, reason, message, create_time)
        SELECT id, catalog, user_id, version, query, attempts, error_reason, error_message, now() FROM failed
        ON CONFLICT (job_id) DO UPDATE SET attempts = excluded.attempts, reason = excluded.reason,
            message = excluded.message, create_time = excluded.create_time, redrive_time = NULL
    )
    SELECT id, state, attempts, start_time, end_time FROM failed
"""
_RETRY = """
    WITH tried AS (
        UPDATE recommender.jobs j
        SET state = CASE WHEN j.attempts < $9 THEN 1 ELSE 4 END,
            lane = CASE WHEN v.alone THEN 3 ELSE j.lane END,
            worker = NULL, lease_until = NULL,
            dispatches = 1,
            dispatch_time = now() + make_interval(secs => v.wait),
            end_time = CASE WHEN j.attempts < $9 THEN NULL ELSE now() END,
            error_reason = CASE WHEN j.attempts < $9 THEN NULL ELSE $10::integer END,
            error_message = CASE WHEN j.attempts < $9 THEN NULL ELSE v.message END
        FROM unnest($1::uuid[], $5::timestamptz[], $6::double precision[], $7::boolean[], $8::text[])
            AS v(id, start_time, wait, alone, message)
        WHERE j.id = v.id AND j.id = ANY($1::uuid[]) AND j.id BETWEEN $2 AND $3
            AND j.state = 2 AND j.worker = $4 AND j.start_time = v.start_time
        RETURNING j.*
    ),
    buried AS (
        INSERT INTO recommender.dead_letters
            (job_id, catalog, user_id, version, query, attempts, reason, message, create_time)
        SELECT id, catalog, user_id, version, query, attempts, error_reason, error_message, now() FROM tried
        WHERE state = 4
        ON CONFLICT (job_id) DO UPDATE SET attempts = excluded.attempts, reason = excluded.reason,
            message = excluded.message, create_time = excluded.create_time, redrive_time = NULL
    )
    SELECT id, state, attempts, start_time, end_time, error_message FROM tried
"""
# What is being ended just now is passed over: the two do not wait for each other.
_RENEW = """
    WITH ours AS MATERIALIZED (
        SELECT j.id FROM recommender.jobs j, unnest($1::uuid[], $5::timestamptz[]) AS v(id, start_time)
        WHERE j.id = v.id AND j.id = ANY($1::uuid[]) AND j.id BETWEEN $2 AND $3
            AND j.state = 2 AND j.worker = $4 AND j.start_time = v.start_time
        FOR UPDATE OF j SKIP LOCKED
    )
    UPDATE recommender.jobs j SET lease_until = now() + make_interval(secs => $6)
    FROM ours WHERE j.id = ours.id AND j.id = ANY($1::uuid[]) AND j.id BETWEEN $2 AND $3
    RETURNING j.id
"""
# Giving back is no attempt.
_RELEASE = """
    UPDATE recommender.jobs j
    SET state = 1, attempts = j.attempts - 1, worker = NULL, lease_until = NULL, start_time = NULL,
        dispatch_time = now()
    FROM unnest($1::uuid[], $5::timestamptz[]) AS v(id, start_time)
    WHERE j.id = v.id AND j.id = ANY($1::uuid[]) AND j.id BETWEEN $2 AND $3
        AND j.state = 2 AND j.worker = $4 AND j.start_time = v.start_time
    RETURNING j.id
"""
EXPIRED = Failure(
    reasons.ERROR_REASON_JOB_EXPIRED, "Its deadline passed while it waited for a worker."
)


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a worker got of what it asked for; the rest is cancelled, ended or leased elsewhere.

    Attributes:
        claims: Jobs that are the worker's now, by id.
        expired: Jobs that ended as EXPIRED just now.
        histories: What the people of the claimed jobs did, where it was asked for, as `events_of` takes it; those of
            whom nothing is known are left out.
    """

    claims: Mapping[UUID, Claim]
    expired: Sequence[Ended]
    histories: Mapping[Person, Columns]


@dataclass(frozen=True, slots=True)
class Again:
    """A job whose attempt came to nothing, and that may go better next time.

    Attributes:
        claim: The lease that it ends.
        wait_seconds: When it is dispatched again, should nobody have taken it by then.
        alone: Whether it is tried again as a suspect, with no neighbours.
        error: What went wrong, as a sentence: told if there is no next time.
    """

    claim: Claim
    wait_seconds: float
    alone: bool
    error: str


@dataclass(frozen=True, slots=True)
class Retried:
    """What became of attempts that came to nothing; a job that was cancelled meanwhile, or lost its lease, is in
    neither.

    Attributes:
        again: Jobs that are queued again, by id.
        ended: Jobs whose attempts are used up, each with why it has failed.
    """

    again: Collection[UUID]
    ended: Mapping[UUID, tuple[Ended, Failure]]


class LeaseRepository:
    """The worker's side of the jobs table. Each call is one statement, and a transaction of its own unless the
    connection is in one.

    Args:
        connection: Of the driver.
        worker: Who holds the leases: unique to a process.
    """

    def __init__(self, connection: Connection, worker: str) -> None:
        self._connection = connection
        self._worker = worker

    async def claim(
        self,
        ids: Sequence[UUID],
        lease_seconds: float,
        *,
        histories: Collection[UUID] = (),
        suspects: bool = True,
    ) -> Claimed:
        """Takes queued jobs: state RUNNING, one attempt more, a lease.

        Args:
            ids: The jobs, each once.
            lease_seconds: How long they are the worker's.
            histories: Those of them whose person's history is read too.
            suspects: Whether suspects are taken: not together with others, by a message from before they were.
        """
        claims: dict[UUID, Claim] = {}
        expired: list[Ended] = []
        found: dict[Person, Columns] = {}
        rows = await self._run(
            _CLAIM, ids, lease_seconds, EXPIRED.reason, EXPIRED.message, histories, suspects
        )
        for id_, state, attempts, start_time, end_time, catalog, user, *columns in rows:
            if state == State.RUNNING:
                claims[id_] = Claim(id_, attempts, start_time)
            else:
                expired.append(Ended(id_, State(state), attempts, start_time, end_time))
            if catalog is not None:
                found[catalog, user] = columns
        return Claimed(claims, expired, found)

    async def succeed(self, answers: Sequence[tuple[Claim, bytes]]) -> list[Ended]:
        """Stores answers. A job that was cancelled meanwhile, or lost its lease, is not among those answered."""
        claims = [claim for claim, _ in answers]
        rows = await self._run(
            _SUCCEED,
            [claim.id for claim in claims],
            [claim.start_time for claim in claims],
            [answer for _, answer in answers],
        )
        return [_ended(row) for row in rows]

    async def fail(self, failures: Sequence[tuple[Claim, Failure]]) -> list[Ended]:
        """Ends jobs as FAILED for good; each stands in the dead letters."""
        claims = [claim for claim, _ in failures]
        rows = await self._run(
            _FAIL,
            [claim.id for claim in claims],
            [claim.start_time for claim in claims],
            [failure.reason for _, failure in failures],
            [failure.message for _, failure in failures],
        )
        return [_ended(row) for row in rows]

    async def retry(self, failed: Sequence[Again], attempt_limit: int) -> Retried:
        """Queues jobs again, their attempt counted; one that has had all its attempts ends as FAILED and stands in the
        dead letters.

        Args:
            failed: The jobs.
            attempt_limit: Attempts that a job has.
        """
        reason = reasons.ERROR_REASON_ATTEMPTS_EXHAUSTED
        rows = await self._run(
            _RETRY,
            [one.claim.id for one in failed],
            [one.claim.start_time for one in failed],
            [one.wait_seconds for one in failed],
            [one.alone for one in failed],
            [_used_up(one) for one in failed],
            attempt_limit,
            reason,
        )
        again: set[UUID] = set()
        ended: dict[UUID, tuple[Ended, Failure]] = {}
        for *row, message in rows:
            if row[1] == State.QUEUED:
                again.add(row[0])
            else:
                ended[row[0]] = _ended(row), Failure(reason, message)
        return Retried(again, ended)

    async def renew(self, claims: Sequence[Claim], lease_seconds: float) -> int:
        """Has leases last so long from now on; says how many of them have been found."""
        rows = await self._run(
            _RENEW,
            [claim.id for claim in claims],
            [claim.start_time for claim in claims],
            lease_seconds,
        )
        return len(rows)

    async def release(self, claims: Sequence[Claim]) -> int:
        """Gives jobs back unfinished, to be dispatched again at once; says how many."""
        rows = await self._run(
            _RELEASE, [claim.id for claim in claims], [claim.start_time for claim in claims]
        )
        return len(rows)

    async def _run(self, statement: str, ids: Sequence[UUID], *values: object) -> Sequence[Any]:
        if not ids:
            return []
        found: Sequence[Any] = await self._connection.fetch(
            statement, ids, min(ids), max(ids), self._worker, *values
        )
        return found


def _used_up(failed: Again) -> str:
    tried = failed.claim.attempt
    times = "once" if tried == 1 else f"{tried} times"
    return f"It was tried {times} and given up. {failed.error}"


def _ended(row: Any) -> Ended:
    id_, state, *rest = row
    return Ended(id_, State(state), *rest)
