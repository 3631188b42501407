import asyncio

import pytest

from recmesh.common.v1 import error_reason_pb2 as reasons
from recmesh_jobs.job import Failure
from recmesh_kit.database import Database
from recmesh_recommender import waiting as waiting_room
from services.recommender.tests.conftest import (
    BOB,
    EDITOR,
    FILMS,
    Replica,
    failure,
    replica_of,
    sql,
    state,
    until,
    until_followed,
    until_state,
)
from services.recommender.tests.standin import working

NOT_FOUND = "NOT_FOUND RESOURCE_NOT_FOUND"


async def left(database: Database) -> tuple[object, ...]:
    """Jobs and dead letters that are on the disk."""
    (counts,) = await sql(
        database,
        "SELECT (SELECT count(*) FROM recommender.jobs), (SELECT count(*) FROM recommender.dead_letters)",
    )
    return counts


async def test_it_is_gone_for_everybody(
    replica: Replica, database: Database, amqp_url: str
) -> None:
    async with working(database, amqp_url):
        job = await replica.recommend()
    await replica.delete(job.name)
    for call in (
        replica.get(job.name),
        replica.get(job.name, EDITOR),
        replica.states(job.name),
        replica.cancel(job.name),
        replica.again(job.name),
        replica.delete(job.name),
    ):
        assert await failure(call) == NOT_FOUND
    assert not (await replica.page()).recommendations
    assert await left(database) == (0, 0)


async def test_one_that_has_ended_is_gone_at_once_where_it_was_made_too(
    replica: Replica, database: Database, amqp_url: str
) -> None:
    async with working(database, amqp_url):
        job = await replica.create()
        # Its end has been heard of here.
        await until(lambda: not replica.recommender.room._fresh)
    async with replica_of(database, amqp_url) as other:
        await other.delete(job.name)
    assert await failure(replica.states(job.name)) == NOT_FOUND


async def test_its_owner_and_those_above_may(replica: Replica) -> None:
    job = await replica.create()
    assert await failure(replica.delete(job.name, BOB)) == NOT_FOUND
    assert await failure(replica.delete(job.name.replace("films", "secret"), EDITOR)) == NOT_FOUND
    assert state(await replica.get(job.name)) == "QUEUED"
    await replica.delete(job.name, EDITOR)
    assert await failure(replica.get(job.name)) == NOT_FOUND


@pytest.mark.usefixtures("no_polls")
async def test_who_waits_is_told_that_it_is_cancelled_and_the_result_is_lost(
    replica: Replica, database: Database, amqp_url: str
) -> None:
    async with working(database, amqp_url, held=True) as worker:
        waiting = asyncio.ensure_future(replica.recommend())
        await until(lambda: worker.taken)
        name = f"{FILMS}/recommendations/{worker.taken[0][1].id}"
        watching = asyncio.ensure_future(replica.states(name))
        await until_followed(replica, 2)
        await replica.delete(name)
        assert state(await waiting) == "CANCELLED"
        assert (await watching)[-1] == "CANCELLED"
        worker.gate.set()
        # The worker goes on as if nothing were.
        assert state(await replica.recommend()) == "SUCCEEDED"
    assert await failure(replica.get(name)) == NOT_FOUND
    assert await left(database) == (1, 0)


async def test_who_waits_on_another_replica_finds_it_gone(
    replica: Replica, database: Database, amqp_url: str
) -> None:
    async with replica_of(database, amqp_url) as other, working(database, amqp_url, held=True) as w:
        waiting = asyncio.ensure_future(other.recommend())
        await until(lambda: w.taken)
        name = f"{FILMS}/recommendations/{w.taken[0][1].id}"
        watching = asyncio.ensure_future(other.states(name))
        await until_followed(other, 2)
        await replica.delete(name)
        assert await failure(waiting) == NOT_FOUND
        assert await failure(watching) == NOT_FOUND
        w.gate.set()


async def test_nobody_is_told_that_a_job_is_gone_which_is_being_stored(
    replica: Replica, database: Database, amqp_url: str
) -> None:
    async with database.transaction() as session:
        # Holds up what stores, and not what reads.
        connection = await session.connection()
        await connection.exec_driver_sql("LOCK TABLE recommender.jobs IN SHARE MODE")
        waiting = asyncio.ensure_future(replica.recommend())
        await until(lambda: replica.recommender.room._waiters)
        ((waiter,),) = replica.recommender.room._waiters.values()
        # The row was looked for, and looked for again.
        await until(lambda: waiter._poll_every >= 4 * waiting_room.FIRST_POLL_SECONDS)
    async with working(database, amqp_url):
        assert state(await waiting) == "SUCCEEDED"


async def test_a_queued_one_is_never_begun(
    replica: Replica, database: Database, amqp_url: str
) -> None:
    job = await replica.create()
    await replica.delete(job.name)
    async with working(database, amqp_url) as worker:
        await replica.recommend()
    assert [f"{FILMS}/recommendations/{taken.id}" == job.name for _, taken in worker.taken] == [
        False
    ]


async def test_its_dead_letter_goes_too(
    replica: Replica, database: Database, amqp_url: str
) -> None:
    broken = Failure(reasons.ERROR_REASON_INTERNAL, "Broken.")
    async with working(database, amqp_url, failure=broken):
        job = await replica.recommend()
    assert await left(database) == (1, 1)
    await replica.delete(job.name)
    assert await left(database) == (0, 0)


async def test_a_late_repeat_does_not_make_it_anew(replica: Replica, database: Database) -> None:
    job = await replica.create(request_id="once")
    await replica.delete(job.name)
    assert await failure(replica.create(request_id="once")) == NOT_FOUND
    assert await failure(replica.recommend(request_id="once")) == NOT_FOUND
    assert await left(database) == (0, 0)


async def test_two_at_once_delete_it_once(replica: Replica) -> None:
    job = await replica.create()
    calls = [asyncio.ensure_future(replica.delete(job.name)) for _ in range(5)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(outcome is None for outcome in outcomes) == 1


async def test_a_job_past_its_time_is_not_there_for_anybody(
    replica: Replica, database: Database, amqp_url: str
) -> None:
    async with working(database, amqp_url):
        job = await replica.recommend()
    unfinished = await replica.create(request_id="once")
    watching = asyncio.ensure_future(replica.states(unfinished.name))
    await until_followed(replica)
    await sql(database, "UPDATE recommender.jobs SET expire_time = now()")
    assert await failure(watching) == NOT_FOUND
    for name in (job.name, unfinished.name):
        for call in (
            replica.get(name, EDITOR),
            replica.states(name, EDITOR),
            replica.again(name, metadata=EDITOR),
            replica.cancel(name, EDITOR),
            replica.delete(name, EDITOR),
        ):
            assert await failure(call) == NOT_FOUND
    assert await failure(replica.create(request_id="once")) == NOT_FOUND
    assert not (await replica.page(EDITOR)).recommendations
    fresh = await replica.create()
    async with working(database, amqp_url):
        await until_state(replica, fresh.name, "SUCCEEDED")
