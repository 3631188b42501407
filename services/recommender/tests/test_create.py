import asyncio
import datetime as dt
from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID

import aio_pika
import grpc
import pytest
from asyncpg import Connection
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2

from recmesh.recommender.v1.query_pb2 import Query
from recmesh.recommender.v1.recommendation_pb2 import Recommendation
from recmesh_jobs import intake
from recmesh_jobs.intake import Stored, Submission
from recmesh_jobs.messages import VERSION_HEADER, decode_job, timestamp
from recmesh_kit.database import Database
from recmesh_kit.layout import INTERACTIVE
from recmesh_kit.proxy import Proxy
from recmesh_kit.testing import reason_of, status_of
from services.recommender.tests.conftest import (
    ALIEN,
    ANN,
    BOB,
    FILMS,
    Replica,
    error_of,
    failure,
    replica_of,
    sql,
    state,
    taken_from,
    until,
    until_state,
)
from services.recommender.tests.standin import working

REUSED = "INVALID_ARGUMENT REQUEST_ID_REUSED request_id"


async def jobs(database: Database) -> int:
    ((count,),) = await sql(database, "SELECT count(*) FROM recommender.jobs")
    assert isinstance(count, int)
    return count


async def test_queued_is_said_of_what_is_stored(replica: Replica, database: Database) -> None:
    job = await replica.create(session="visit")
    assert state(job) == "QUEUED"
    (row,) = await sql(database, "SELECT id, state, user_id, session FROM recommender.jobs")
    assert row == (UUID(job.name.rpartition("/")[2]), 1, "ann", "visit")
    assert await replica.get(job.name) == job


async def test_what_the_caller_does_not_say(replica: Replica) -> None:
    job = await replica.create()
    created = job.create_time.ToDatetime(dt.UTC)
    assert (job.user, job.query.limit) == ("ann", 10)
    assert job.deadline.ToDatetime(dt.UTC) - created == dt.timedelta(minutes=5)
    assert job.expire_time.ToDatetime(dt.UTC) - created == dt.timedelta(days=7)


async def test_the_message_holds_the_whole_request(replica: Replica, amqp_url: str) -> None:
    query = Query(text="a heist", limit=3, exclude_items=[f"{FILMS}/items/heat"])
    metadata = (*ANN, ("x-request-id", "traced"))
    job = await replica.create(query, metadata=metadata)
    async with await aio_pika.connect(amqp_url) as connection:
        queue = await (await connection.channel()).get_queue(INTERACTIVE.name, ensure=False)
        message = await taken_from(queue)
    told = decode_job(message.body)
    assert f"{FILMS}/recommendations/{told.id}" == job.name
    assert (told.catalog, told.user, told.query) == ("films", "ann", query)
    assert timestamp(told.deadline) == job.deadline
    assert timestamp(told.create_time) == job.create_time
    assert message.headers[VERSION_HEADER] == 1
    assert message.headers["x-request-id"] == "traced"
    assert message.reply_to == replica.broker.reply_to
    assert message.delivery_mode == aio_pika.DeliveryMode.PERSISTENT


async def test_a_request_id_makes_one_job_at_once(replica: Replica, database: Database) -> None:
    made = await asyncio.gather(*(replica.create(request_id="once") for _ in range(20)))
    assert len({job.name for job in made}) == 1
    assert await jobs(database) == 1


async def test_a_request_id_makes_one_job_on_two_replicas(
    replica: Replica, database: Database, amqp_url: str
) -> None:
    async with replica_of(database, amqp_url) as other:
        made = await asyncio.gather(
            *(r.create(request_id="once") for _ in range(10) for r in (replica, other))
        )
    assert len({job.name for job in made}) == 1
    assert await jobs(database) == 1


async def test_a_request_id_answers_the_job_also_when_it_has_ended(
    replica: Replica, database: Database, amqp_url: str
) -> None:
    job = await replica.create(request_id="once")
    async with working(database, amqp_url):
        await until_state(replica, job.name, "SUCCEEDED")
    again = await replica.create(request_id="once")
    assert (again.name, state(again), len(again.results)) == (job.name, "SUCCEEDED", 1)
    waited = await replica.recommend(request_id="once")
    assert waited == again


async def test_a_request_id_for_another_request_is_refused(replica: Replica) -> None:
    await replica.create(request_id="once")
    assert await failure(replica.create(Query(title="Ran"), request_id="once")) == REUSED
    assert await failure(replica.create(session="other", request_id="once")) == REUSED
    assert await failure(replica.recommend(Query(title="Ran"), request_id="once")) == REUSED


async def test_a_request_id_is_the_callers_own(replica: Replica) -> None:
    mine = await replica.create(request_id="once")
    theirs = await replica.create(request_id="once", metadata=BOB)
    assert mine.name != theirs.name


async def test_a_repeat_is_answered_when_the_deadline_that_it_names_has_passed(
    replica: Replica, database: Database, amqp_url: str
) -> None:
    for seconds in (0.25, 1, 4, 16, 48):
        soon = timestamp(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds))
        # On a slow machine it may have passed already.
        with suppress(grpc.aio.AioRpcError):
            job = await replica.create(request_id="once", deadline=soon)
            break
    ended = await until_state(replica, job.name, "EXPIRED")
    assert await replica.create(request_id="once", deadline=soon) == ended
    fresh = replica.create(request_id="fresh", deadline=soon)
    assert await failure(fresh) == "INVALID_ARGUMENT INVALID_FIELD recommendation.deadline"


@pytest.mark.usefixtures("counted_once")
async def test_over_the_limit_nothing_is_written(database: Database, amqp_url: str) -> None:
    async with replica_of(database, amqp_url, admission_limit=3) as replica:
        await replica.recommender._admission.refresh()
        first = await replica.create(request_id="once")
        for _ in range(2):
            await replica.create()
        error = await error_of(replica.create())
        assert await failure(replica.create()) == "RESOURCE_EXHAUSTED TOO_MANY_JOBS"
        retry = error_details_pb2.RetryInfo()
        assert any(detail.Unpack(retry) for detail in status_of(error).details)
        assert retry.retry_delay.ToTimedelta() > dt.timedelta()
        assert await jobs(database) == 3
        assert (await replica.create(request_id="once")).name == first.name


@pytest.mark.usefixtures("counted_once")
async def test_those_who_are_turned_away_are_looked_up_together(
    database: Database, amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups: list[int] = []
    look_up = intake.find

    async with replica_of(database, amqp_url, admission_limit=1) as replica:
        waiting = replica.recommender._intake._repeats._waiting

        async def find(
            connection: Connection, submissions: Sequence[Submission]
        ) -> list[Stored | None]:
            groups.append(len(submissions))
            # The first look-up takes as long as all others take to come.
            await until(lambda: len(groups) > 1 or groups[0] + len(waiting) == 60)
            return await look_up(connection, submissions)

        first = await replica.create(request_id="once")
        await replica.recommender._admission.refresh()
        monkeypatch.setattr(intake, "find", find)
        calls = [replica.create(request_id="once" if n % 2 else f"{n}") for n in range(60)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        # Who has no request id repeats nothing.
        assert await failure(replica.create()) == "RESOURCE_EXHAUSTED TOO_MANY_JOBS"
    found = [job.name for job in outcomes if not isinstance(job, BaseException)]
    assert found == [first.name] * 30
    assert sum(groups) == 60
    # Those who came first, if that were not all of them, and those who came meanwhile.
    assert len(groups) <= 2


@pytest.mark.usefixtures("counted_once")
async def test_a_burst_stays_within_the_limit(database: Database, amqp_url: str) -> None:
    async with replica_of(database, amqp_url, admission_limit=10, insert_batch=2) as replica:
        await replica.recommender._admission.refresh()
        made = await asyncio.gather(*(replica.create() for _ in range(50)), return_exceptions=True)
        assert sum(not isinstance(job, BaseException) for job in made) == 10
        assert await jobs(database) == 10


async def test_there_is_room_again_when_jobs_end(database: Database, amqp_url: str) -> None:
    async with replica_of(database, amqp_url, admission_limit=1) as replica:
        job = await replica.create()
        assert await failure(replica.create()) == "RESOURCE_EXHAUSTED TOO_MANY_JOBS"
        await replica.cancel(job.name)
        async with asyncio.timeout(60):
            while await jobs(database) == 1:
                with suppress(grpc.aio.AioRpcError):
                    await replica.create()


async def test_without_the_database_the_call_is_to_be_repeated(
    database_url: str, database: Database, amqp_url: str
) -> None:
    proxy = Proxy.to(database_url)
    await proxy.open()
    async with (
        Database(proxy.url, pool_size=3, timeout_seconds=60, application_name="test") as cut,
        replica_of(cut, amqp_url) as replica,
    ):
        await proxy.close()
        lost = await failure(replica.create(request_id="once"))
        assert lost == "UNAVAILABLE DATABASE_UNAVAILABLE"
        await proxy.open()
        job = await replica.create(request_id="once")
        async with working(database, amqp_url):
            await until_state(replica, job.name, "SUCCEEDED")
    await proxy.close()


async def test_a_database_that_hangs_is_said_to_be_away_until_it_is_back(
    database_url: str, amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recmesh_kit.postgres.GRACE_SECONDS", 0.1)
    async with (
        Proxy.to(database_url) as proxy,
        Database(proxy.url, pool_size=3, timeout_seconds=1, application_name="test") as hanging,
        replica_of(hanging, amqp_url) as replica,
    ):
        known = await made(replica)
        proxy.hang()
        for call in (replica.create(request_id="once"), replica.get(known.name)):
            error = await error_of(call)
            assert (error.code(), reason_of(error)) == (
                grpc.StatusCode.UNAVAILABLE,
                "DATABASE_UNAVAILABLE",
            )
            retry = error_details_pb2.RetryInfo()
            assert any(detail.Unpack(retry) for detail in status_of(error).details)
        proxy.resume()
        await made(replica, request_id="once")


async def made(replica: Replica, request_id: str = "") -> Recommendation:
    """A job, made as soon as the database can be reached in the little time that it has."""
    async with asyncio.timeout(60):
        while True:
            with suppress(grpc.aio.AioRpcError):
                return await replica.create(request_id=request_id)


async def test_a_time_that_is_none_is_the_callers_mistake(replica: Replica) -> None:
    for wrong in (Timestamp(seconds=10**15), Timestamp(nanos=-1), Timestamp(seconds=1)):
        call = replica.create(ALIEN, deadline=wrong)
        assert await failure(call) == "INVALID_ARGUMENT INVALID_FIELD recommendation.deadline"
