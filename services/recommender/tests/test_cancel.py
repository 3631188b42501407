import asyncio

import pytest

from recmesh_kit.database import Database
from services.recommender.tests.conftest import (
    FILMS,
    Replica,
    failure,
    replica_of,
    sql,
    state,
    until,
)
from services.recommender.tests.standin import working


async def test_a_queued_job_is_never_begun(
    replica: Replica, database: Database, amqp_url: str
) -> None:
    job = await replica.create()
    cancelled = await replica.cancel(job.name)
    assert (state(cancelled), cancelled.HasField("end_time")) == ("CANCELLED", True)
    async with working(database, amqp_url) as worker:
        await replica.recommend()
    assert f"{FILMS}/recommendations/{worker.taken[0][1].id}" != job.name
    assert len(worker.taken) == 1


@pytest.mark.usefixtures("no_polls")
async def test_a_running_jobs_result_is_discarded(
    replica: Replica, database: Database, amqp_url: str
) -> None:
    async with working(database, amqp_url, held=True) as worker:
        call = asyncio.ensure_future(replica.recommend())
        await until(lambda: worker.taken)
        cancelled = await replica.cancel(f"{FILMS}/recommendations/{worker.taken[0][1].id}")
        # Who waits for it is told at once.
        assert await call == cancelled
        worker.gate.set()
        await replica.recommend()
    assert await replica.get(cancelled.name) == cancelled
    assert (state(cancelled), len(cancelled.results)) == ("CANCELLED", 0)


async def test_who_waits_on_another_replica_is_told_too(
    replica: Replica, database: Database, amqp_url: str
) -> None:
    async with replica_of(database, amqp_url) as other:
        call = asyncio.ensure_future(other.recommend())
        await until(lambda: other.recommender.room._waiters)
        (id_,) = other.recommender.room._waiters
        async with asyncio.timeout(60):
            while not await sql(database, "SELECT id FROM recommender.jobs"):
                pass
        await replica.cancel(f"{FILMS}/recommendations/{id_}")
        assert state(await call) == "CANCELLED"


async def test_twice_is_once(replica: Replica) -> None:
    job = await replica.create()
    assert await replica.cancel(job.name) == await replica.cancel(job.name)


async def test_what_has_ended_stays(replica: Replica, database: Database, amqp_url: str) -> None:
    async with working(database, amqp_url):
        job = await replica.recommend()
    assert await failure(replica.cancel(job.name)) == "FAILED_PRECONDITION WRONG_STATE"
    assert await replica.get(job.name) == job
