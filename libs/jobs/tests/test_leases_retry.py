"""Attempts that came to nothing, and leases that are renewed."""

import asyncio
import datetime as dt
from dataclasses import replace

from sqlalchemy import text

from libs.jobs.tests.rows import job, read, run_out, stored
from recmesh.common.v1 import error_reason_pb2 as reasons
from recmesh_jobs.job import Claim, Failure, Job
from recmesh_jobs.lanes import DELAYS_PER_TIER, tier_of, tier_of_delay
from recmesh_jobs.leases import Again, LeaseRepository
from recmesh_jobs.repository import JobRepository
from recmesh_jobs.states import Lane, State
from recmesh_jobs.sweep import SweepRepository
from recmesh_kit.database import Database
from recmesh_kit.layout import TIERS

LIMIT = 3
ERROR = "The last error was MemoryError."


async def claimed(database: Database, *jobs: Job, seconds: float = 30) -> list[Claim]:
    async with database.driver() as connection:
        leases = LeaseRepository(connection, "w")
        claims = (await leases.claim([j.id for j in jobs], seconds)).claims
    return [claims[j.id] for j in jobs]


async def row(database: Database, made: Job) -> tuple[object, ...]:
    async with database.transaction() as session:
        found = await session.execute(
            text(
                "SELECT state, lane, attempts, worker IS NULL AND lease_until IS NULL,"
                " dispatch_time > now() FROM recommender.jobs WHERE id = :id"
            ),
            {"id": made.id},
        )
        return tuple(found.one())


async def letters(database: Database, made: Job) -> list[tuple[object, ...]]:
    async with database.transaction() as session:
        found = await session.execute(
            text(
                "SELECT reason, attempts, message, query, redrive_time FROM recommender.dead_letters"
                " WHERE job_id = :id"
            ),
            {"id": made.id},
        )
        return [tuple(one) for one in found]


async def test_an_attempt_that_came_to_nothing_counts_and_the_job_is_queued_again(
    database: Database,
) -> None:
    plain, alone = job(lane=Lane.BULK), job()
    await stored(database, plain, alone)
    claims = await claimed(database, plain, alone)
    async with database.driver() as connection:
        retried = await LeaseRepository(connection, "w").retry(
            [Again(claims[0], 60, False, ERROR), Again(claims[1], 60, True, ERROR)], LIMIT
        )
    assert (set(retried.again), retried.ended) == ({plain.id, alone.id}, {})
    assert await row(database, plain) == (State.QUEUED, Lane.BULK, 1, True, True)
    assert await row(database, alone) == (State.QUEUED, Lane.SUSPECT, 1, True, True)
    assert await letters(database, plain) == []
    assert await read(database, plain) == replace(
        plain, attempts=1, start_time=claims[0].start_time
    )
    # Should its message be lost, it is due when that would have been there.
    async with database.driver() as connection:
        claim = (await LeaseRepository(connection, "w").claim([plain.id], 30)).claims[plain.id]
        await LeaseRepository(connection, "w").retry([Again(claim, 0, False, ERROR)], LIMIT)
    async with database.transaction() as session:
        due = await SweepRepository(session).due([Lane.BULK], 10)
    assert plain.id in {j.id for j in due}


async def test_the_last_attempt_that_came_to_nothing_buries_the_job(database: Database) -> None:
    made = job()
    await stored(database, made)
    for attempt in range(1, LIMIT + 1):
        [claim] = await claimed(database, made)
        assert claim.attempt == attempt
        async with database.driver() as connection:
            retried = await LeaseRepository(connection, "w").retry(
                [Again(claim, 0, False, ERROR)], LIMIT
            )
    assert not retried.again
    ((ended, failure),) = retried.ended.values()
    assert (ended.id, ended.state, ended.attempts) == (made.id, State.FAILED, LIMIT)
    assert failure.reason == reasons.ERROR_REASON_ATTEMPTS_EXHAUSTED
    assert failure.message == f"It was tried {LIMIT} times and given up. {ERROR}"
    found = await read(database, made)
    assert found is not None
    assert (found.state, found.failure) == (State.FAILED, failure)
    assert await letters(database, made) == [
        (failure.reason, LIMIT, failure.message, made.query, None)
    ]


async def test_only_the_holder_of_a_lease_may_say_that_its_attempt_came_to_nothing(
    database: Database,
) -> None:
    others, cancelled = job(), job()
    await stored(database, others, cancelled)
    claims = await claimed(database, others, cancelled)
    async with database.transaction() as session:
        await JobRepository(session).cancel(cancelled.id)
    tried = [Again(claim, 0, False, ERROR) for claim in claims]
    earlier = dt.timedelta(microseconds=1)
    stale = [Again(replace(c, start_time=c.start_time - earlier), 0, False, ERROR) for c in claims]
    async with database.driver() as connection:
        assert not (await LeaseRepository(connection, "another").retry(tried, LIMIT)).again
        assert not (await LeaseRepository(connection, "w").retry(stale, LIMIT)).again
        done = await LeaseRepository(connection, "w").retry(tried[1:], LIMIT)
    assert (done.again, done.ended) == (set(), {})
    assert (await row(database, others))[0] == State.RUNNING
    assert (await row(database, cancelled))[0] == State.CANCELLED


async def test_a_job_that_fails_again_after_it_was_put_back_is_buried_anew(
    database: Database,
) -> None:
    made = job()
    await stored(database, made)
    for reason, again in ((reasons.ERROR_REASON_INTERNAL, False), (0, True), (0, True)):
        [claim] = await claimed(database, made)
        async with database.driver() as connection:
            leases = LeaseRepository(connection, "w")
            if again:
                await leases.retry([Again(claim, 0, False, ERROR)], 1)
            else:
                await leases.fail([(claim, Failure(reason, "broken"))])
        async with database.transaction() as session:
            await session.execute(
                text(
                    "UPDATE recommender.jobs SET state = 1, attempts = 0, end_time = NULL WHERE id = :id"
                ),
                {"id": made.id},
            )
            await session.execute(
                text(
                    "UPDATE recommender.dead_letters SET redrive_time = now(),"
                    " create_time = now() - interval '1 day' WHERE job_id = :id AND :again"
                ),
                {"id": made.id, "again": not again},
            )
    (letter,) = await letters(database, made)
    assert letter[0] == reasons.ERROR_REASON_ATTEMPTS_EXHAUSTED
    assert letter[2] == f"It was tried once and given up. {ERROR}"
    # It was not put back since.
    assert letter[4] is None
    async with database.transaction() as session:
        since = await session.scalar(
            text("SELECT create_time FROM recommender.dead_letters WHERE job_id = :id"),
            {"id": made.id},
        )
    assert since > dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)


async def test_a_suspect_is_not_taken_with_others_by_a_message_from_before(
    database: Database,
) -> None:
    suspect, other = job(lane=Lane.SUSPECT), job()
    await stored(database, suspect, other)
    async with database.driver() as connection:
        leases = LeaseRepository(connection, "w")
        together = await leases.claim([suspect.id, other.id], 30, suspects=False)
        alone = await leases.claim([suspect.id, other.id], 30)
    assert (set(together.claims), set(alone.claims)) == ({other.id}, {suspect.id})


async def test_a_renewed_lease_lasts_and_a_lost_one_is_not_renewed(database: Database) -> None:
    kept, lost, ended = job(), job(), job()
    await stored(database, kept, lost, ended)
    claims = await claimed(database, kept, lost, ended)
    await run_out(database, lost)
    async with database.transaction() as session:
        assert lost.id in {j.id for j in await SweepRepository(session).requeue_lost(LIMIT, 10)}
    # It has run out, and nobody has taken the job away yet.
    await run_out(database, kept)
    async with database.driver() as connection:
        leases = LeaseRepository(connection, "w")
        await leases.succeed([(claims[2], b"")])
        assert await LeaseRepository(connection, "another").renew(claims, 30) == 0
        assert await leases.renew(claims, 30) == 1
    async with database.transaction() as session:
        assert kept.id not in {j.id for j in await SweepRepository(session).requeue_lost(LIMIT, 10)}


async def test_a_renewal_does_not_wait_for_who_ends_the_job(database: Database) -> None:
    made = job()
    await stored(database, made)
    [claim] = await claimed(database, made)
    async with (
        database.driver() as one,
        database.driver() as two,
        asyncio.timeout(30),
        one.transaction(),
    ):
        await LeaseRepository(one, "w").succeed([(claim, b"")])
        assert await LeaseRepository(two, "w").renew([claim], 30) == 0


def test_each_failure_waits_longer_and_none_longer_than_the_last_tier() -> None:
    assert [tier_of(n) for n in range(1, 6)] == [*TIERS, TIERS[-1], TIERS[-1]]


def test_a_message_that_is_put_off_is_soon_back_at_first() -> None:
    seconds = [tier_of_delay(n).seconds for n in range(1, 4 * DELAYS_PER_TIER)]
    assert seconds[:DELAYS_PER_TIER] == [TIERS[0].seconds] * DELAYS_PER_TIER
    assert seconds == sorted(seconds)
    assert seconds[-1] == TIERS[-1].seconds
