import asyncio

import grpc
import pytest
from google.rpc import error_details_pb2

from recmesh.common.v1 import error_reason_pb2 as reasons
from recmesh_jobs.job import Failure
from recmesh_kit.database import Database
from recmesh_kit.layout import INTERACTIVE
from recmesh_kit.proxy import Proxy
from recmesh_kit.testing import reason_of, status_of
from recmesh_recommender import assembly, service
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


@pytest.mark.usefixtures("no_polls")
async def test_the_reply_brings_the_answer(
    replica: Replica, database: Database, amqp_url: str
) -> None:
    async with working(database, amqp_url):
        job = await replica.recommend()
    assert state(job) == "SUCCEEDED"
    assert [result.item for result in job.results] == [f"{FILMS}/items/ran"]
    assert (job.model, job.attempt_count) == (f"{FILMS}/models/content", 1)
    # The row says the same.
    assert await replica.get(job.name) == job


async def test_without_a_reply_the_row_is_found(
    replica: Replica, database: Database, amqp_url: str
) -> None:
    async with working(database, amqp_url, replies=False):
        job = await replica.recommend()
    assert (state(job), len(job.results)) == ("SUCCEEDED", 1)


@pytest.mark.usefixtures("no_polls")
async def test_many_at_once_each_get_their_own(
    replica: Replica, database: Database, amqp_url: str
) -> None:
    async with working(database, amqp_url) as worker:
        jobs = await asyncio.gather(*(replica.recommend() for _ in range(100)))
    assert len({job.name for job in jobs}) == len(worker.taken) == 100
    assert {state(job) for job in jobs} == {"SUCCEEDED"}


async def test_a_job_that_failed_is_an_answer(
    replica: Replica, database: Database, amqp_url: str
) -> None:
    broken = Failure(reasons.ERROR_REASON_MODEL_UNAVAILABLE, "No model.")
    async with working(database, amqp_url, failure=broken):
        job = await replica.recommend()
    assert (state(job), job.error.reason, job.error.message) == (
        "FAILED",
        reasons.ERROR_REASON_MODEL_UNAVAILABLE,
        "No model.",
    )
    assert not job.HasField("timings")


async def test_a_little_before_the_deadline_the_job_is_named_and_lives_on(
    replica: Replica, database: Database, amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Much before it here: past it the caller itself gives up, and is told of no job.
    monkeypatch.setattr(service, "_ANSWER_SECONDS", (59.9, 59.9))
    async with working(database, amqp_url, held=True) as worker:
        error = await error_of(replica.recommend(timeout=60))
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert reason_of(error) == "JOB_NOT_FINISHED"
        info = error_details_pb2.ErrorInfo()
        assert any(detail.Unpack(info) for detail in status_of(error).details)
        name = info.metadata["recommendation"]
        await until_state(replica, name, "RUNNING")
        worker.gate.set()
        assert await replica.states(name)


async def test_a_caller_that_goes_away_leaves_its_job(
    replica: Replica, database: Database, amqp_url: str
) -> None:
    async with working(database, amqp_url, held=True) as worker:
        call = asyncio.ensure_future(replica.recommend())
        await until(lambda: worker.taken)
        call.cancel()
        worker.gate.set()
        (_, job) = worker.taken[0]
        await until_state(replica, f"{FILMS}/recommendations/{job.id}", "SUCCEEDED")
    await until(lambda: not replica.recommender.room._waiters)


async def test_a_repeat_waits_for_the_first_ones_job(
    replica: Replica, database: Database, amqp_url: str
) -> None:
    async with working(database, amqp_url, held=True) as worker:
        created = await replica.create(request_id="once")
        calls = [asyncio.ensure_future(replica.recommend(request_id="once")) for _ in range(3)]
        await until(lambda: replica.recommender.room._waiters and worker.taken)
        worker.gate.set()
        jobs = await asyncio.gather(*calls)
    assert {(job.name, state(job)) for job in jobs} == {(created.name, "SUCCEEDED")}
    assert len(worker.taken) == 1


async def test_a_stop_lets_go_of_who_waits_and_a_repeat_elsewhere_finds_the_job(
    database: Database, amqp_url: str
) -> None:
    async with (
        working(database, amqp_url, held=True) as worker,
        replica_of(database, amqp_url) as staying,
    ):
        async with replica_of(database, amqp_url) as stopping:
            call = asyncio.ensure_future(stopping.recommend(request_id="once"))
            await until(lambda: worker.taken)
            await stopping.recommender.room.close()
            error = await error_of(call)
            assert (error.code().name, reason_of(error)) == ("UNAVAILABLE", "SHUTTING_DOWN")
            # As does a call that comes while the server stops.
            late = await failure(stopping.recommend(request_id="late"))
            assert late == "UNAVAILABLE SHUTTING_DOWN"
        again = asyncio.ensure_future(staying.recommend(request_id="once"))
        worker.gate.set()
        job = await again
    assert state(job) == "SUCCEEDED"
    assert job.name == f"{FILMS}/recommendations/{worker.taken[0][1].id}"
    assert len(await sql(database, "SELECT id FROM recommender.jobs")) == 2


async def test_what_is_accepted_last_is_dispatched_before_the_end(
    database: Database, amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assembly, "LAST_DISPATCH_SECONDS", 60.0)
    async with replica_of(database, amqp_url, sweep_seconds=3600) as stopping:
        created = await asyncio.gather(*(stopping.create() for _ in range(50)))
    async with (
        replica_of(database, amqp_url, sweep_seconds=3600) as replica,
        working(database, amqp_url) as worker,
    ):
        for job in created:
            await until_state(replica, job.name, "SUCCEEDED")
    assert {queue for queue, _ in worker.taken} == {INTERACTIVE.name}


@pytest.mark.usefixtures("no_polls")
async def test_replies_come_again_after_the_connection_was_lost(
    database: Database, amqp_url: str, proxy: Proxy
) -> None:
    async with replica_of(database, proxy.url) as replica, working(database, amqp_url) as worker:
        before = replica.broker.reply_to
        await proxy.close()
        await until(lambda: not replica.broker.connected)
        await proxy.open()
        await until(lambda: replica.broker.reply_to not in (None, before))
        assert state(await replica.recommend()) == "SUCCEEDED"
        assert worker.reply_queues == [replica.broker.reply_to] != [before]


@pytest.mark.usefixtures("no_polls")
async def test_a_reply_that_cannot_be_read_holds_up_no_other(
    replica: Replica, database: Database, amqp_url: str
) -> None:
    reply_to = replica.broker.reply_to
    assert reply_to is not None
    for body in (b"\xff", b"", b"\x08\x63"):
        await replica.broker.publish("", reply_to, body)
    async with working(database, amqp_url):
        assert state(await replica.recommend()) == "SUCCEEDED"


async def test_the_request_id_goes_along_to_the_worker(
    replica: Replica, database: Database, amqp_url: str
) -> None:
    async with working(database, amqp_url) as worker:
        await replica.recommend(metadata=(*ANN, ("x-request-id", "traced")))
    assert worker.request_ids == ["traced"]
