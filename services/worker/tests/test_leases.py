"""Leases of jobs that take long, and jobs that are done alone."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from recmesh.recommender.v1.query_pb2 import Query
from recmesh_jobs.job import Claim
from recmesh_jobs.leases import LeaseRepository
from recmesh_jobs.states import State
from recmesh_jobs.sweep import SweepRepository
from recmesh_kit.broker import Broker
from recmesh_kit.database import Database
from recmesh_worker import renewal
from services.worker.tests.conftest import Asking, eventually, indexed, put, ranking, results
from services.worker.tests.working import Worker, working

LEASE_SECONDS = 0.6
LIMIT = 5


@pytest.fixture
async def hasty(database: Database, broker: Broker) -> AsyncIterator[Worker]:
    """A worker whose leases are short."""
    async with working(database, broker, lease_seconds=LEASE_SECONDS) as made:
        yield made


@pytest.fixture
async def shelf(hasty: Worker, database: Database, catalog: str) -> str:
    items = (indexed(catalog, name) for name in ("alien", "slow", "slow-burn"))
    await put(database, hasty.encoder, *items)
    await hasty.read_model.load(catalog)
    return catalog


async def swept(asking: Asking) -> set[object]:
    """Jobs that are tried again because their leases have run out."""
    async with asking.owner.transaction() as session:
        return {job.id for job in await SweepRepository(session).requeue_lost(LIMIT, 10)}


async def lease_until(asking: Asking, job_id: object) -> object:
    [[found]] = await asking.sql(
        "SELECT lease_until FROM recommender.jobs WHERE id = :id", id=job_id
    )
    return found


async def lease_is_over(asking: Asking, job_id: object) -> bool:
    found = await asking.sql(
        "SELECT lease_until < now() FROM recommender.jobs WHERE id = :id", id=job_id
    )
    return found == [(True,)]


async def test_a_job_that_takes_longer_than_its_lease_keeps_it(
    hasty: Worker, asking: Asking, shelf: str
) -> None:
    job = await asking.ask(shelf, Query(title="slow"))

    async def has_failed() -> bool:
        return hasty.flaky.away == 0

    async with asking.taken(1) as deliveries:
        hand = asyncio.create_task(hasty.jobs.handle(deliveries))
        await asyncio.to_thread(hasty.ranker.begun.wait, 60)
        # One renewal fails: the database was away for a moment.
        hasty.flaky.away = 1
        await eventually(has_failed)
        before = await lease_until(asking, job.id)

        async def goes_on() -> bool:
            found = await asking.sql(
                "SELECT lease_until > :before"
                " AND lease_until > start_time + make_interval(secs => :two_leases)"
                " FROM recommender.jobs WHERE id = :id",
                id=job.id,
                before=before,
                two_leases=2 * LEASE_SECONDS,
            )
            return found == [(True,)]

        await eventually(goes_on)
        hasty.ranker.gate.set()
        await hand
    await asking.waits(0)
    read = await asking.read(job)
    assert (read.state, read.attempts) == (State.SUCCEEDED, 1)


async def test_a_renewal_that_is_broken_off_by_what_it_waits_for_is_not_the_last(
    hasty: Worker, asking: Asking, shelf: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await asking.ask(shelf, Query(title="slow"))
    renew = LeaseRepository.renew
    calls: list[int] = []

    async def broken_off_at_first(
        self: LeaseRepository, claims: Sequence[Claim], lease_seconds: float
    ) -> int:
        calls.append(len(claims))
        if len(calls) == 1:
            # As the driver does to whoever waits for a connection that it closes.
            raise asyncio.CancelledError
        return await renew(self, claims, lease_seconds)

    async def again() -> bool:
        return len(calls) > 1

    monkeypatch.setattr(LeaseRepository, "renew", broken_off_at_first)
    async with asking.taken(1) as deliveries:
        hand = asyncio.create_task(hasty.jobs.handle(deliveries))
        try:
            await eventually(again)
        finally:
            hasty.ranker.gate.set()
            await hand
    assert (await asking.read(job)).state is State.SUCCEEDED


async def test_leases_are_renewed_for_a_limited_time(
    hasty: Worker, asking: Asking, shelf: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renewal, "MOST_RENEWALS", 2)
    async with ranking(hasty, asking, shelf) as (job, hand):

        async def is_left() -> bool:
            return job.id in await swept(asking)

        await eventually(is_left)
        hasty.ranker.gate.set()
        await hand
    read = await asking.read(job)
    # What came of it late is not kept: somebody else has it by now, or will.
    assert (read.state, read.attempts, read.answer) == (State.QUEUED, 1, None)


async def test_an_answer_that_comes_after_another_worker_took_the_job_is_discarded(
    hasty: Worker,
    asking: Asking,
    shelf: str,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(renewal, "MOST_RENEWALS", 0)
    async with ranking(hasty, asking, shelf) as (job, hand):
        await eventually(lambda: lease_is_over(asking, job.id))
        await swept(asking)
        async with database.driver() as connection:
            other = LeaseRepository(connection, "another")
            claims = (await other.claim([job.id], 30)).claims
            hasty.ranker.gate.set()
            await hand
            assert (await asking.read(job)).state is State.RUNNING
            assert await other.succeed([(claims[job.id], b"")])
    read = await asking.read(job)
    assert (read.state, read.attempts, read.answer) == (State.SUCCEEDED, 2, b"")
    assert asking.replies == []


async def test_a_batch_whose_answers_cannot_be_stored_in_time_ends(
    hasty: Worker, asking: Asking, shelf: str
) -> None:
    job = await asking.ask(shelf, Query(title="slow"))
    async with asking.taken(1) as deliveries:
        hand = asyncio.create_task(hasty.jobs.handle(deliveries))
        await asyncio.to_thread(hasty.ranker.begun.wait, 60)
        hasty.flaky.away = 10**9
        hasty.ranker.gate.set()
        await hand
        assert deliveries[0].settled
        hasty.flaky.away = 0

        async def again() -> bool:
            return len(deliveries) == 2

        # The message comes back by a tier, finds that the job is somebody's, and ends.
        await eventually(again)
        await hasty.jobs.handle([deliveries[1]])
    await asking.waits(0)
    await eventually(lambda: lease_is_over(asking, job.id))
    assert job.id in await swept(asking)
    read = await asking.read(job)
    assert (read.state, read.attempts) == (State.QUEUED, 1)


async def test_a_suspect_is_done_while_nothing_else_is_in_hand(
    hasty: Worker, asking: Asking, shelf: str
) -> None:
    suspect = await asking.ask(shelf, Query(title="slow"))
    async with asking.taken(1) as deliveries:
        hand = asyncio.create_task(hasty.suspects.handle(deliveries))
        await asyncio.to_thread(hasty.ranker.begun.wait, 60)
        other = await asking.store(shelf, Query(title="alien"))
        await asking.send(other)
        async with asking.taken(1) as beside:
            waiting = asyncio.create_task(hasty.jobs.handle(beside))
            # It would be claimed by then.
            await asyncio.wait([waiting], timeout=LEASE_SECONDS)
            assert (await asking.read(other)).state is State.QUEUED
            hasty.ranker.gate.set()
            await asyncio.gather(hand, waiting)
    assert results(await asking.read(suspect))
    assert results(await asking.read(other))
