import asyncio
import datetime as dt
from contextlib import suppress
from dataclasses import replace
from uuid import UUID

import grpc
import pytest

from recmesh.recommender.v1 import recommender_service_pb2 as pb
from recmesh_jobs.job import Ended, Job
from recmesh_jobs.messages import Finished
from recmesh_jobs.states import Lane, State
from recmesh_kit.database import Database
from recmesh_kit.telemetry.tracing import Tracing
from recmesh_kit.testing import reason_of
from recmesh_recommender import waiting
from recmesh_recommender.reader import Reader
from recmesh_recommender.waiting import WaitingRoom
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
    until_followed,
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


@pytest.mark.usefixtures("no_polls")
async def test_a_job_that_was_just_made_is_watched_without_its_row(
    replica: Replica, database: Database, amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object, **__: object) -> dict[UUID, Job]:
        raise AssertionError

    monkeypatch.setattr(Reader, "many", refuse)
    monkeypatch.setattr(waiting, "FRESH_SECONDS", 3600.0)
    job = await replica.create()
    watching = asyncio.ensure_future(replica.states(job.name))
    await until_followed(replica)
    async with working(database, amqp_url):
        assert await watching == ["QUEUED", "SUCCEEDED"]


async def test_who_has_seen_how_a_job_stands_is_not_told_how_it_stood(
    replica: Replica, database: Database
) -> None:
    job = await replica.create()
    await sql(database, "UPDATE recommender.jobs SET state = 4, end_time = now()")
    assert state((await replica.page()).recommendations[0]) == "FAILED"
    assert await replica.states(job.name) == ["FAILED"]


async def test_a_job_is_known_without_its_row_for_a_moment_only(
    replica: Replica, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "FRESH_SECONDS", 0.0)
    job = await replica.create()
    await sql(database, "UPDATE recommender.jobs SET state = 4, end_time = now()")
    assert await replica.states(job.name) == ["FAILED"]


async def test_only_so_many_jobs_are_known_without_their_rows(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "FRESH_SECONDS", 3600.0)
    monkeypatch.setattr(waiting, "MAX_FRESH", 2)
    for _ in range(4):
        await replica.create()
    assert len(replica.recommender.room._fresh) == 2


async def test_a_reply_that_comes_while_the_row_is_read_is_not_lost(database: Database) -> None:
    now = dt.datetime.now(dt.UTC)
    job = Job(
        id=UUID(NOBODY),
        catalog="films",
        user="ann",
        session="",
        lane=Lane.INTERACTIVE,
        query=b"",
        deadline=now,
        create_time=now,
        expire_time=now,
    )
    room = WaitingRoom(Reader(database, max_waiting=1, tracing=Tracing()))
    with room.waiting_for(job.id) as waiter:
        room.tell_finished(Finished(Ended(job.id, State.SUCCEEDED, 1, now, now), answer=b"a"))
        waiter.job = job
        waiter.begin(job)
        async with asyncio.timeout(60):
            assert await waiter.end() == replace(
                job, state=State.SUCCEEDED, attempts=1, start_time=now, end_time=now, answer=b"a"
            )


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
        await until_followed(other)
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
    await until_followed(replica)
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


async def test_watchers_are_calls_of_which_there_is_a_limit(
    database: Database, amqp_url: str
) -> None:
    async with replica_of(database, amqp_url, max_concurrent_calls=2) as replica:
        job = await replica.create()
        watching = [asyncio.ensure_future(replica.states(job.name)) for _ in range(2)]
        await until_followed(replica, 2)
        error = await error_of(replica.get(job.name))
        assert (error.code().name, reason_of(error)) == ("RESOURCE_EXHAUSTED", "TOO_MANY_CALLS")
        watching[0].cancel()
        async with asyncio.timeout(60):
            while True:
                with suppress(grpc.aio.AioRpcError):
                    await replica.cancel(job.name)
                    break
        assert (await watching[1])[-1] == "CANCELLED"


async def test_a_watch_ends_with_its_deadline(replica: Replica) -> None:
    job = await replica.create()
    request = pb.WatchRecommendationRequest(name=job.name)
    seen: list[str] = []

    async def watch(seconds: float) -> None:
        call = replica.stub.WatchRecommendation(request, metadata=ANN, timeout=seconds)
        async for answer in call:
            seen.append(state(answer))  # noqa: PERF401 - it ends with an error

    # Time enough to be answered at all, which takes longer on a slow machine.
    for seconds in (0.25, 1, 4, 16, 64):
        error = await error_of(watch(seconds))
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        if seen:
            break
    assert seen == ["QUEUED"]


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
