"""Jobs going in: grouped, and once for each request id."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from recmesh_jobs.job import Job
from recmesh_jobs.states import Lane

REDISPATCH_SECONDS = {Lane.INTERACTIVE: 10, Lane.BULK: 60, Lane.SUSPECT: 10}
"""How long after its dispatch a job that nobody has claimed is dispatched again; a bulk job waits its turn for long."""
_MIDNIGHT = timedelta(minutes=1)
"""Around midnight a request id is kept under both days, so that it stays unique across the partitions; longer than
clocks are apart and transactions take."""

_KNOWN = text(
    "SELECT r.key, r.fingerprint, r.job_id FROM recommender.requests r "
    "WHERE r.day = ANY(CAST(:days AS date[])) AND r.key = ANY(CAST(:keys AS bytea[]))"
)
_REMEMBER = text(
    "INSERT INTO recommender.requests (day, key, fingerprint, job_id) "
    "SELECT * FROM unnest(CAST(:days AS date[]), CAST(:keys AS bytea[]), "
    "CAST(:fingerprints AS bytea[]), CAST(:jobs AS uuid[])) "
    "ON CONFLICT DO NOTHING"
)
_FORGET = text(
    "DELETE FROM recommender.requests r WHERE r.day = ANY(CAST(:days AS date[])) "
    "AND r.key = ANY(CAST(:keys AS bytea[])) AND r.job_id = ANY(CAST(:jobs AS uuid[]))"
)
_INSERT = text(
    "INSERT INTO recommender.jobs (id, catalog, user_id, session, lane, state, version, query, deadline, "
    "create_time, expire_time, dispatch_time, dispatches, attempts, continues, shown) "
    "SELECT id, catalog, user_id, session, lane, 1, version, query, deadline, create_time, expire_time, "
    "dispatch_time, 1, 0, continues, shown "
    "FROM unnest(CAST(:ids AS uuid[]), CAST(:catalogs AS text[]), CAST(:users AS text[]), "
    "CAST(:sessions AS text[]), CAST(:lanes AS smallint[]), CAST(:versions AS smallint[]), "
    "CAST(:queries AS bytea[]), CAST(:deadlines AS timestamptz[]), CAST(:created AS timestamptz[]), "
    "CAST(:expires AS timestamptz[]), CAST(:redispatches AS timestamptz[]), CAST(:continued AS uuid[]), "
    "CAST(:shown AS bytea[])) "
    "AS v(id, catalog, user_id, session, lane, version, query, deadline, create_time, expire_time, "
    "dispatch_time, continues, shown)"
)


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


async def store(session: AsyncSession, submissions: Sequence[Submission]) -> list[Stored]:
    """Stores jobs, all in this transaction. A request id that is known from the last day makes no second job."""
    known: dict[bytes, _Known] = {}
    firsts = {s.key: s for s in reversed(submissions) if s.key is not None}
    if firsts:
        known = await _remember(session, firsts)
    stored, new = [], []
    for submission in submissions:
        outcome = Stored(submission.job.id, is_new=True)
        if submission.key is not None:
            outcome = _outcome(submission, known[submission.key])
        if outcome.is_new:
            new.append(submission.job)
        stored.append(outcome)
    if new:
        await _insert(session, new)
    return stored


async def find(session: AsyncSession, submissions: Sequence[Submission]) -> list[Stored | None]:
    """The earlier jobs that submissions repeat, None for those that repeat none; nothing is stored."""
    firsts = {s.key: s for s in submissions if s.key is not None}
    known = await _known(session, firsts) if firsts else {}
    return [
        None if s.key is None or s.key not in known else _outcome(s, known[s.key][0])
        for s in submissions
    ]


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
    session: AsyncSession, firsts: Mapping[bytes, Submission]
) -> dict[bytes, _Known]:
    """Notes the request ids that are new, and answers what each stands for."""
    before = await _known(session, firsts)
    # In one order, so that two groups with the same ids wait for each other instead of deadlocking.
    new = sorted(firsts.keys() - before.keys())
    if not new:
        return {key: found[0] for key, found in before.items()}
    rows = [(day, key) for key in new for day in _days(firsts[key].job.create_time)]
    await session.execute(
        _REMEMBER,
        {
            "days": [day for day, _ in rows],
            "keys": [key for _, key in rows],
            "fingerprints": [firsts[key].fingerprint for _, key in rows],
            "jobs": [firsts[key].job.id for _, key in rows],
        },
    )
    after = await _known(session, firsts)
    # Somebody else was first under one of the two days of midnight, we under the other: theirs is stored already.
    lost = [key for key in new if len(after[key]) > 1]
    if lost:
        scope = _scope({key: firsts[key] for key in lost})
        await session.execute(_FORGET, {**scope, "jobs": [firsts[key].job.id for key in lost]})
    return {
        key: next((k for k in found if k.job_id != firsts[key].job.id), found[0])
        for key, found in after.items()
    }


async def _known(
    session: AsyncSession, firsts: Mapping[bytes, Submission]
) -> dict[bytes, list[_Known]]:
    """What request ids stand for; unknown ones are left out."""
    found: dict[bytes, list[_Known]] = {}
    for row in await session.execute(_KNOWN, _scope(firsts)):
        known, standing = _Known(row.fingerprint, row.job_id), found.setdefault(row.key, [])
        if known not in standing:
            standing.append(known)
    return found


def _scope(firsts: Mapping[bytes, Submission]) -> dict[str, object]:
    """The keys, and the days under which they may stand."""
    times = [s.job.create_time for s in firsts.values()]
    earliest, latest = _days(min(times))[0] - timedelta(days=1), _days(max(times))[-1]
    days = [earliest + timedelta(days=n) for n in range((latest - earliest).days + 1)]
    return {"days": days, "keys": list(firsts)}


def _days(now: datetime) -> list[date]:
    now = now.astimezone(UTC)
    return sorted({(now + offset).date() for offset in (-_MIDNIGHT, timedelta(), _MIDNIGHT)})


async def _insert(session: AsyncSession, jobs: Sequence[Job]) -> None:
    await session.execute(
        _INSERT,
        {
            "ids": [job.id for job in jobs],
            "catalogs": [job.catalog for job in jobs],
            "users": [job.user for job in jobs],
            "sessions": [job.session for job in jobs],
            "lanes": [job.lane for job in jobs],
            "versions": [job.version for job in jobs],
            "queries": [job.query for job in jobs],
            "deadlines": [job.deadline for job in jobs],
            "created": [job.create_time for job in jobs],
            "expires": [job.expire_time for job in jobs],
            "redispatches": [
                job.create_time + timedelta(seconds=REDISPATCH_SECONDS[job.lane]) for job in jobs
            ],
            "continued": [job.continues for job in jobs],
            "shown": [job.shown or None for job in jobs],
        },
    )
