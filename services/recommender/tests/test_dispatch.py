import asyncio
from collections.abc import AsyncIterator

import aio_pika
import pytest
from aio_pika.abc import AbstractQueue

from recmesh.common.v1 import error_reason_pb2 as reasons
from recmesh.events.v1.job_events_pb2 import RecommendationsFinished
from recmesh.recommender.v1.recommendation_pb2 import Recommendation
from recmesh_jobs import sweep
from recmesh_jobs.intake import REDISPATCH_SECONDS
from recmesh_jobs.states import Lane, State
from recmesh_kit.broker import Broker
from recmesh_kit.database import Database
from recmesh_kit.layout import INTERACTIVE, RECOMMENDER_EVENTS, SUSPECT, topology_of
from recmesh_kit.proxy import Proxy
from recmesh_recommender import dispatch, upkeep
from services.recommender.tests.conftest import (
    FILMS,
    Replica,
    failure,
    replica_of,
    sql,
    state,
    taken_from,
    until,
    until_state,
)
from services.recommender.tests.standin import working

SOON_SECONDS = 60


@pytest.fixture(autouse=True)
def _late(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was dispatched once is not dispatched again before long: soon, it was never away."""
    monkeypatch.setitem(REDISPATCH_SECONDS, Lane.INTERACTIVE, 10 * SOON_SECONDS)


@pytest.fixture
async def heard(amqp_url: str, replica: Replica) -> AsyncIterator[AbstractQueue]:
    """What the exchange for listeners brings."""
    async with await aio_pika.connect(amqp_url) as connection:
        queue = await (await connection.channel()).declare_queue(exclusive=True)
        await queue.bind(RECOMMENDER_EVENTS.name, "recommendation.films")
        yield queue


async def announced(queue: AbstractQueue) -> tuple[str, str, str]:
    message = await taken_from(queue)
    (told,) = RecommendationsFinished.FromString(message.body).recommendations
    return told.name, told.user, Recommendation.State.Name(told.state)


@pytest.mark.usefixtures("counted_once")
async def test_without_the_broker_jobs_are_accepted_and_go_out_when_it_is_back(
    database: Database, amqp_url: str, proxy: Proxy
) -> None:
    async with (
        replica_of(database, proxy.url, admission_limit=20) as replica,
        working(database, amqp_url) as worker,
    ):
        await proxy.close()
        await until(lambda: not replica.broker.connected)
        await replica.recommender._admission.refresh()
        jobs = [await replica.create() for _ in range(20)]
        assert {state(job) for job in jobs} == {"QUEUED"}
        assert await failure(replica.create()) == "RESOURCE_EXHAUSTED TOO_MANY_JOBS"
        await proxy.open()
        async with asyncio.timeout(SOON_SECONDS):
            for job in jobs:
                await until_state(replica, job.name, "SUCCEEDED")
        # Each once, and in the order in which they came.
        taken = [f"{FILMS}/recommendations/{job.id}" for _, job in worker.taken]
        assert taken == [job.name for job in jobs]


async def test_without_the_broker_at_the_start_it_is_the_same(
    database: Database, amqp_url: str, proxy: Proxy
) -> None:
    await proxy.close()
    async with replica_of(database, proxy.url) as replica, working(database, amqp_url):
        job = await replica.create()
        await proxy.open()
        await until_state(replica, job.name, "SUCCEEDED")


async def test_more_than_can_be_kept_waiting_goes_out_too(
    database: Database, amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "MAX_WAITING", 2)
    async with replica_of(database, amqp_url) as replica, working(database, amqp_url):
        jobs = await asyncio.gather(*(replica.create() for _ in range(40)))
        async with asyncio.timeout(SOON_SECONDS):
            for job in jobs:
                await until_state(replica, job.name, "SUCCEEDED")


async def test_a_message_that_no_queue_takes_is_sent_again(
    database: Database, amqp_url: str
) -> None:
    async with replica_of(database, amqp_url) as replica:
        async with await aio_pika.connect(amqp_url) as connection:
            await (await connection.channel()).queue_delete(INTERACTIVE.name)
        job = await replica.create()
        async with Broker(amqp_url, name="test", timeout_seconds=60) as broker:
            await broker.declare(topology_of("recommender"))
        async with working(database, amqp_url), asyncio.timeout(SOON_SECONDS):
            await until_state(replica, job.name, "SUCCEEDED")


async def test_a_job_that_cannot_be_sent_holds_up_no_other(
    replica: Replica, database: Database, amqp_url: str
) -> None:
    await replica.create()
    await sql(database, "UPDATE recommender.jobs SET query = '\\xff', dispatch_time = now()")
    async with asyncio.timeout(60):
        while await sql(database, "SELECT 1 FROM recommender.jobs WHERE dispatches < 3"):
            pass
    async with working(database, amqp_url):
        other = await replica.create()
        await until_state(replica, other.name, "SUCCEEDED")


async def test_a_job_that_nobody_claimed_is_dispatched_again(
    replica: Replica, database: Database, amqp_url: str
) -> None:
    job = await replica.create()
    async with await aio_pika.connect(amqp_url) as connection:
        queue = await (await connection.channel()).get_queue(INTERACTIVE.name, ensure=False)
        await taken_from(queue)
    async with working(database, amqp_url) as worker:
        await sql(database, "UPDATE recommender.jobs SET dispatch_time = now()")
        await until_state(replica, job.name, "SUCCEEDED")
    assert worker.reply_queues == [replica.broker.reply_to]


async def test_a_job_whose_worker_died_is_tried_again_alone_and_then_given_up(
    database: Database, amqp_url: str
) -> None:
    async with (
        replica_of(database, amqp_url, attempt_limit=3) as replica,
        working(database, amqp_url, dies=True, lease_seconds=0.1) as worker,
    ):
        job = await replica.recommend()
    assert (state(job), job.attempt_count) == ("FAILED", 3)
    assert job.error.reason == reasons.ERROR_REASON_ATTEMPTS_EXHAUSTED
    assert [queue for queue, _ in worker.taken] == [INTERACTIVE.name, SUSPECT.name, SUSPECT.name]
    ((letter, attempts),) = await sql(
        database, "SELECT job_id, attempts FROM recommender.dead_letters"
    )
    assert (str(letter), attempts) == (job.name.rpartition("/")[2], 3)


async def test_many_whose_worker_died_are_tried_again_in_one_round(
    database: Database, amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "LIMIT", 2)
    monkeypatch.setattr(sweep, "LIMIT", 2)
    # Nobody else sweeps: what another round has in hand, this one passes over.
    async with replica_of(database, amqp_url, sweep_seconds=3600) as replica:
        async with working(database, amqp_url, dies=True) as dying:
            jobs = [await replica.create() for _ in range(7)]
            await until(lambda: len(dying.taken) == len(jobs))
        await sql(database, "UPDATE recommender.jobs SET lease_until = NULL WHERE state = 2")
        await replica.recommender._upkeep.sweep()
    left = await sql(database, "SELECT DISTINCT state, lane FROM recommender.jobs")
    assert left == [(State.QUEUED, Lane.SUSPECT)]


async def test_a_job_whose_worker_died_once_is_answered(
    replica: Replica, database: Database, amqp_url: str
) -> None:
    async with working(database, amqp_url, dies=True, lease_seconds=0.1) as dying:
        call = asyncio.ensure_future(replica.recommend())
        await until(lambda: dying.taken)
    async with working(database, amqp_url):
        job = await call
    assert state(job) == "SUCCEEDED"
    assert job.attempt_count >= 2


async def test_the_end_of_jobs_that_no_worker_ends_is_announced(
    replica: Replica, heard: AbstractQueue, database: Database, amqp_url: str
) -> None:
    cancelled = await replica.cancel((await replica.create()).name)
    assert await announced(heard) == (cancelled.name, "ann", "STATE_CANCELLED")
    late = await replica.create()
    await sql(database, "UPDATE recommender.jobs SET deadline = now() WHERE state = 1")
    assert await announced(heard) == (late.name, "ann", "STATE_EXPIRED")
    assert (await replica.get(late.name)).error.reason == reasons.ERROR_REASON_JOB_EXPIRED
    async with working(database, amqp_url, dies=True):
        lost = await replica.create()
        await until_state(replica, lost.name, "RUNNING")
        await sql(
            database,
            "UPDATE recommender.jobs SET attempts = 5, lease_until = now() WHERE state = 2",
        )
        assert await announced(heard) == (lost.name, "ann", "STATE_FAILED")
