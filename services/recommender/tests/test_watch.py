import asyncio

import grpc

from recmesh.recommender.v1 import recommender_service_pb2 as pb
from recmesh_kit.database import Database
from services.recommender.tests.conftest import (
    ANN,
    FILMS,
    Replica,
    error_of,
    failure,
    replica_of,
    sql,
    state,
    until,
    until_state,
)
from services.recommender.tests.standin import working

NOBODY = "01932f3a-7b1c-7def-8123-456789abcdef"


async def test_each_state_is_seen_to_the_end(
    replica: Replica, database: Database, amqp_url: str
) -> None:
    job = await replica.create()
    request = pb.WatchRecommendationRequest(name=job.name)
    watching = aiter(replica.stub.WatchRecommendation(request, metadata=ANN, timeout=60))
    assert state(await anext(watching)) == "QUEUED"
    async with working(database, amqp_url, held=True) as worker:
        assert state(await anext(watching)) == "RUNNING"
        worker.gate.set()
        last = await anext(watching)
    assert (state(last), len(last.results)) == ("SUCCEEDED", 1)
    assert await anext(watching, None) is None


async def test_a_job_that_has_ended_is_sent_once(
    replica: Replica, database: Database, amqp_url: str
) -> None:
    async with working(database, amqp_url):
        job = await replica.recommend()
    assert await replica.states(job.name) == ["SUCCEEDED"]


async def test_a_watcher_on_another_replica_finds_the_end_by_polling(
    replica: Replica, database: Database, amqp_url: str
) -> None:
    async with replica_of(database, amqp_url) as other:
        job = await replica.create()
        watching = asyncio.ensure_future(other.states(job.name))
        await until(lambda: other.recommender.room._waiters)
        async with working(database, amqp_url) as worker:
            seen = await watching
        assert worker.reply_queues == [replica.broker.reply_to]
    assert (seen[0], seen[-1]) == ("QUEUED", "SUCCEEDED")


async def test_a_job_that_goes_back_to_the_queue_is_watched_on(
    replica: Replica, database: Database, amqp_url: str
) -> None:
    job = await replica.create()
    async with working(database, amqp_url, dies=True):
        await until_state(replica, job.name, "RUNNING")
    watching = asyncio.ensure_future(replica.states(job.name))
    await until(lambda: replica.recommender.room._waiters)
    async with working(database, amqp_url):
        await sql(database, "UPDATE recommender.jobs SET lease_until = now()")
        assert await watching == ["RUNNING", "SUCCEEDED"]


async def test_many_watch_one_job(replica: Replica, database: Database, amqp_url: str) -> None:
    job = await replica.create()
    watching = [asyncio.ensure_future(replica.states(job.name)) for _ in range(10)]
    async with working(database, amqp_url):
        ends = [seen[-1] for seen in await asyncio.gather(*watching)]
    assert ends == ["SUCCEEDED"] * 10


async def test_a_watcher_that_goes_away_is_forgotten(replica: Replica) -> None:
    job = await replica.create()
    request = pb.WatchRecommendationRequest(name=job.name)
    call = replica.stub.WatchRecommendation(request, metadata=ANN, timeout=60)
    await anext(aiter(call))
    assert replica.recommender.room._waiters
    call.cancel()
    await until(lambda: not replica.recommender.room._waiters)


async def test_a_watch_ends_with_its_deadline(replica: Replica) -> None:
    job = await replica.create()
    request = pb.WatchRecommendationRequest(name=job.name)
    call = replica.stub.WatchRecommendation(request, metadata=ANN, timeout=3)
    answers = aiter(call)
    assert state(await anext(answers)) == "QUEUED"
    error = await error_of(anext(answers))
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_stop_ends_a_watch(replica: Replica) -> None:
    job = await replica.create()
    watching = asyncio.ensure_future(replica.states(job.name))
    await until(lambda: replica.recommender.room._waiters)
    await replica.recommender.room.close()
    assert await failure(watching) == "UNAVAILABLE SHUTTING_DOWN"


async def test_what_is_not_there_cannot_be_watched(replica: Replica) -> None:
    for name in (NOBODY, NOBODY.upper(), "x", "%00"):
        call = replica.states(f"{FILMS}/recommendations/{name}")
        assert await failure(call) == "NOT_FOUND RESOURCE_NOT_FOUND"
