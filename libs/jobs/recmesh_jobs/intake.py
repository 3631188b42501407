"""Jobs going in: grouped, and once for each request id."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from asyncpg import Connection

from recmesh_jobs.job import Job
from recmesh_jobs.states import Lane

REDISPATCH_SECONDS = {Lane.INTERACTIVE: 10, Lane.BULK: 60, Lane.SUSPECT: 10}
"""How long after its dispatch a job that nobody has claimed is dispatched again; a bulk job waits its turn for long."""
_MIDNIGHT = timedelta(minutes=2)
"""Around midnight a request id is kept under both days, so that it stays unique across the partitions. Twice this is
longer than clocks are apart (a minute) and a job takes from its creation to its commit, taken together."""

# One statement of one transaction: the request ids that are new, and their jobs, and those that have none. A request id
# stands for a day, so it is looked for under the day before; what somebody else is storing under the same day is waited
# for. The ids are stored in one order, so that two groups with the same ones wait for each other instead of
# deadlocking. What does not come back is known already. When to dispatch a job again goes by the database's clock, as
# all does that the relay and the sweeps look at.
_STORE = """
    WITH v AS (
        SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::smallint[], $6::smallint[],
            $7::bytea[], $8::timestamptz[], $9::timestamptz[], $10::timestamptz[], $11::interval[],
            $12::uuid[], $13::bytea[], $14::bytea[], $15::bytea[])
        AS v(id, catalog, user_id, session, lane, version, query, deadline, create_time, expire_time,
            redispatch, continues, shown, key, fingerprint)
    ),
    remembered AS (
        INSERT INTO recommender.requests (day, key, fingerprint, job_id)
        SELECT $16::date, key, fingerprint, id FROM v
        WHERE key IS NOT NULL AND NOT EXISTS (
            SELECT 1 FROM recommender.requests r WHERE r.day = $16::date - 1 AND r.key = v.key)
        ORDER BY key
        ON CONFLICT DO NOTHING
        RETURNING job_id
    )
    INSERT INTO recommender.jobs (id, catalog, user_id, session, lane, state, version, query, deadline, create_time,
        expire_time, dispatch_time, dispatches, attempts, continues, shown)
    SELECT id, catalog, user_id, session, lane, 1, version, query, deadline, create_time,
        expire_time, now() + redispatch, 1, 0, continues, shown
    FROM v WHERE key IS NULL OR id IN (SELECT job_id FROM remembered)
    RETURNING id
"""
_KNOWN = """
    SELECT key, fingerprint, job_id FROM recommender.requests
    WHERE day = ANY($1::date[]) AND key = ANY($2::bytea[])
"""
_REMEMBER = """
    INSERT INTO recommender.requests (day, key, fingerprint, job_id)
    SELECT * FROM unnest($1::date[], $2::bytea[], $3::bytea[], $4::uuid[])
    ON CONFLICT DO NOTHING
"""
_FORGET = """
    DELETE FROM recommender.requests
    WHERE day = ANY($1::date[]) AND key = ANY($2::bytea[]) AND job_id = ANY($3::uuid[])
"""


@dataclass(frozen=True, slots=True)
class Submission:
    """A job to store.

    Attributes:
        job: The job.
        key: `request_key(…)` when the caller gave a request id, else None.
        fingerprint: Hash of what was asked: the same request id with another one is refused.
    """

    job: Job
    key: bytes | None
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of a submission: its own job, or the earlier one of the same request id.

    Attributes:
        job_id: The job that stands for it.
        is_new: Whether it was stored just now.
        same_request: False when the earlier one was asked something else.
    """

    job_id: UUID
    is_new: bool
    same_request: bool = True


def request_key(catalog: str, principal: str, request_id: str) -> bytes:
    """Under what a request id is remembered: it is the caller's own, within a catalog."""
    return hashlib.sha256("\x00".join((catalog, principal, request_id)).encode()).digest()


async def store(connection: Connection, submissions: Sequence[Submission]) -> list[Stored]:
    """Stores jobs. A request id that is known from the last day makes no second job.

    All in one statement, where there is nothing to look up: request ids that are new, and not around midnight.

    Args:
        connection: Of the driver.
        submissions: The jobs.
    """
    firsts = {s.key: s for s in reversed(submissions) if s.key is not None}
    new: set[UUID] = set()
    if len(days := _days_of(firsts)) <= 1:
        usual = [s for s in submissions if s.key is None or firsts[s.key] is s]
        new = await _insert(connection, usual, next(iter(days), None))
    left = [s for s in submissions if s.job.id not in new]
    outcomes = iter(await _store_in_steps(connection, left) if left else ())
    return [
        Stored(s.job.id, is_new=True) if s.job.id in new else next(outcomes) for s in submissions
    ]


async def find(connection: Connection, submissions: Sequence[Submission]) -> list[Stored | None]:
    """The earlier jobs that submissions repeat, None for those that repeat none; nothing is stored."""
    firsts = {s.key: s for s in submissions if s.key is not None}
    known = await _known(connection, firsts) if firsts else {}
    return [
        None if s.key is None or s.key not in known else _outcome(s, known[s.key][0])
        for s in submissions
    ]


async def _store_in_steps(
    connection: Connection, submissions: Sequence[Submission]
) -> list[Stored]:
    """As `store`, step by step in one transaction: right in all cases."""
    async with connection.transaction():
        known: dict[bytes, _Known] = {}
        firsts = {s.key: s for s in reversed(submissions) if s.key is not None}
        if firsts:
            known = await _remember(connection, firsts)
        stored, new = [], []
        for submission in submissions:
            outcome = Stored(submission.job.id, is_new=True)
            if submission.key is not None:
                outcome = _outcome(submission, known[submission.key])
            if outcome.is_new:
                new.append(replace(submission, key=None))
            stored.append(outcome)
        if new:
            await _insert(connection, new, None)
    return stored


@dataclass(frozen=True, slots=True)
class _Known:
    """What a request id stands for."""

    fingerprint: bytes
    job_id: UUID


def _outcome(submission: Submission, known: _Known) -> Stored:
    return Stored(
        known.job_id,
        is_new=known.job_id == submission.job.id,
        same_request=known.fingerprint == submission.fingerprint,
    )


async def _remember(
    connection: Connection, firsts: Mapping[bytes, Submission]
) -> dict[bytes, _Known]:
    """Notes the request ids that are new, and answers what each stands for."""
    before = await _known(connection, firsts)
    # In one order, so that two groups with the same ids wait for each other instead of deadlocking.
    new = sorted(firsts.keys() - before.keys())
    if not new:
        return {key: found[0] for key, found in before.items()}
    rows = [(day, key) for key in new for day in _days(firsts[key].job.create_time)]
    await connection.execute(
        _REMEMBER,
        [day for day, _ in rows],
        [key for _, key in rows],
        [firsts[key].fingerprint for _, key in rows],
        [firsts[key].job.id for _, key in rows],
    )
    after = await _known(connection, firsts)
    # Somebody else was first under one of the two days of midnight, we under the other: theirs is stored already.
    lost = [key for key in new if len(after[key]) > 1]
    if lost:
        scope = _scope({key: firsts[key] for key in lost})
        await connection.execute(_FORGET, *scope, [firsts[key].job.id for key in lost])
    return {
        key: next((k for k in found if k.job_id != firsts[key].job.id), found[0])
        for key, found in after.items()
    }


async def _known(
    connection: Connection, firsts: Mapping[bytes, Submission]
) -> dict[bytes, list[_Known]]:
    """What request ids stand for; unknown ones are left out."""
    found: dict[bytes, list[_Known]] = {}
    for key, fingerprint, job_id in await connection.fetch(_KNOWN, *_scope(firsts)):
        known, standing = _Known(fingerprint, job_id), found.setdefault(key, [])
        if known not in standing:
            standing.append(known)
    return found


def _scope(firsts: Mapping[bytes, Submission]) -> tuple[list[date], list[bytes]]:
    """The days under which the keys may stand, and the keys."""
    known = sorted(_days_of(firsts))
    earliest, latest = known[0] - timedelta(days=1), known[-1]
    return [earliest + timedelta(days=n) for n in range((latest - earliest).days + 1)], list(firsts)


def _days_of(firsts: Mapping[bytes, Submission]) -> set[date]:
    """The first and the last of the days under which the keys are kept."""
    times = [s.job.create_time for s in firsts.values()]
    return {*_days(min(times)), *_days(max(times))} if times else set()


def _days(now: datetime) -> list[date]:
    now = now.astimezone(UTC)
    return sorted({(now + offset).date() for offset in (-_MIDNIGHT, timedelta(), _MIDNIGHT)})


async def _insert(
    connection: Connection, submissions: Sequence[Submission], day: date | None
) -> set[UUID]:
    """Stores jobs, unless their request id is known from this day or the one before; answers which.

    Args:
        connection: Of the driver.
        submissions: Each with a key of its own, or without one.
        day: Under which the keys are kept; None when there are none.
    """
    jobs = [submission.job for submission in submissions]
    stored = await connection.fetch(
        _STORE,
        [job.id for job in jobs],
        [job.catalog for job in jobs],
        [job.user for job in jobs],
        [job.session for job in jobs],
        [job.lane for job in jobs],
        [job.version for job in jobs],
        [job.query for job in jobs],
        [job.deadline for job in jobs],
        [job.create_time for job in jobs],
        [job.expire_time for job in jobs],
        [timedelta(seconds=REDISPATCH_SECONDS[job.lane]) for job in jobs],
        [job.continues for job in jobs],
        [job.shown or None for job in jobs],
        [submission.key for submission in submissions],
        [submission.fingerprint for submission in submissions],
        day,
    )
    return {id_ for (id_,) in stored}
