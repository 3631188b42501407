import asyncio
import datetime as dt

import pytest

from recmesh.common.v1.error_reason_pb2 import ErrorReason
from recmesh.recommender.v1.query_pb2 import Query
from recmesh.recommender.v1.recommendation_pb2 import Recommendation
from recmesh.recommender.v1.recommender_service_pb2 import (
    BatchCreateRecommendationsResponse,
    CreateRecommendationRequest,
)
from recmesh_jobs.messages import timestamp
from recmesh_kit import testing
from recmesh_kit.database import Database
from recmesh_kit.layout import BULK
from recmesh_kit.testing import bearer
from recmesh_recommender.rows import MOST_BYTES
from services.recommender.tests.conftest import (
    ALIEN,
    ANN,
    EDITOR,
    FILMS,
    SECRET,
    Replica,
    failure,
    replica_of,
    sql,
    state,
    until_state,
)
from services.recommender.tests.standin import working

TOO_MANY = "RESOURCE_EXHAUSTED TOO_MANY_JOBS"


def row(
    query: Query = ALIEN, *, request_id: str = "", parent: str = "", **fields: object
) -> CreateRecommendationRequest:
    wanted = Recommendation(query=query, **fields)  # type: ignore[arg-type]
    return CreateRecommendationRequest(parent=parent, recommendation=wanted, request_id=request_id)


def refused(answer: BatchCreateRecommendationsResponse) -> list[tuple[int, str, str]]:
    return [
        (error.row, ErrorReason.Name(error.reason).removeprefix("ERROR_REASON_"), error.field)
        for error in answer.errors
    ]


async def test_good_rows_are_stored_in_their_order_and_bad_ones_reported(
    replica: Replica, database: Database
) -> None:
    past = timestamp(dt.datetime.now(dt.UTC) - dt.timedelta(hours=1))
    theirs = "catalogs/books/items/dune"
    answer = await replica.batch(
        [
            row(Query(title="one"), user="ann", session="visit"),
            row(Query()),
            row(Query(title="two", filter="year > 1980")),
            row(Query(title="three"), parent=FILMS),
            row(parent="catalogs/books"),
            row(Query(item=theirs)),
            row(deadline=past),
            row(Query(title="x", limit=201)),
            row(user="x" * 129),
            CreateRecommendationRequest(),
            row(Query(title="x", serving_config=f"{FILMS}/servingConfigs/none")),
            row(Query(title="four")),
        ]
    )
    assert [job.query.title for job in answer.recommendations] == ["one", "three", "four"]
    assert {state(job) for job in answer.recommendations} == {"QUEUED"}
    assert [job.user for job in answer.recommendations] == ["ann", "ed", "ed"]
    assert refused(answer) == [
        (1, "INVALID_FIELD", "recommendation.query.seed"),
        (2, "INVALID_FILTER", "recommendation.query.filter"),
        (4, "INVALID_FIELD", "parent"),
        (5, "INVALID_FIELD", "recommendation.query.item"),
        (6, "INVALID_FIELD", "recommendation.deadline"),
        (7, "INVALID_FIELD", "recommendation.query.limit"),
        (8, "INVALID_FIELD", "recommendation.user"),
        (9, "INVALID_FIELD", "recommendation"),
        (10, "RESOURCE_NOT_FOUND", ""),
    ]
    assert all(error.message for error in answer.errors)
    assert await sql(database, "SELECT DISTINCT lane FROM recommender.jobs") == [(2,)]
    for job in answer.recommendations:
        assert await replica.get(job.name, EDITOR) == job


async def test_a_thousand_are_answered_through_the_bulk_queue(
    replica: Replica, database: Database, amqp_url: str
) -> None:
    answer = await replica.batch(row(Query(title=f"t{n}")) for n in range(1000))
    assert [job.query.title for job in answer.recommendations] == [f"t{n}" for n in range(1000)]
    assert len({job.name for job in answer.recommendations}) == 1000
    assert await sql(database, "SELECT count(*) FROM recommender.jobs") == [(1000,)]
    async with working(database, amqp_url) as worker:
        await until_state(replica, answer.recommendations[0].name, "SUCCEEDED")
    assert {queue for queue, _ in worker.taken} == {BULK.name}


async def test_a_batch_without_a_good_row_is_answered(replica: Replica) -> None:
    answer = await replica.batch([row(Query()), row(Query())])
    assert ([error.row for error in answer.errors], len(answer.recommendations)) == ([0, 1], 0)


async def test_what_is_asked_badly_as_a_whole(replica: Replica) -> None:
    for rows in ([], [row()] * 1001):
        assert await failure(replica.batch(rows)) == "INVALID_ARGUMENT INVALID_FIELD requests"
    assert await failure(replica.batch([row()], metadata=ANN)) == "PERMISSION_DENIED ROLE_REQUIRED"
    not_found = "NOT_FOUND RESOURCE_NOT_FOUND"
    assert await failure(replica.batch([row()], parent="catalogs/none")) == not_found
    assert await failure(replica.batch([row(Query())], parent="catalogs/none")) == not_found
    elsewhere = bearer("ed", catalogs={"films": testing.EDITOR})
    denied = await failure(replica.batch([row()], parent=SECRET, metadata=elsewhere))
    assert denied == "PERMISSION_DENIED ROLE_REQUIRED"


async def test_a_batch_that_is_repeated_makes_no_second_job(
    replica: Replica, database: Database, amqp_url: str
) -> None:
    rows = [row(Query(title=f"t{n}"), request_id=f"r{n}") for n in range(20)]
    first, second = await asyncio.gather(replica.batch(rows), replica.batch(rows))
    names = [job.name for job in first.recommendations]
    assert [job.name for job in second.recommendations] == names
    assert len(set(names)) == 20
    async with working(database, amqp_url):
        for name in names:
            await until_state(replica, name, "SUCCEEDED")
    await replica.delete(names[3], EDITOR)
    again = await replica.batch([*rows, row(Query(title="other"), request_id="r1"), row()])
    assert [job.name for job in again.recommendations[:-1]] == names[:3] + names[4:]
    # Without their results, which would be too much for an answer.
    assert {state(job) for job in again.recommendations} == {"SUCCEEDED", "QUEUED"}
    assert not any(job.results for job in again.recommendations)
    assert refused(again) == [
        (3, "RESOURCE_NOT_FOUND", ""),
        (20, "REQUEST_ID_REUSED", "request_id"),
    ]


async def test_a_request_id_within_a_batch_makes_one_job(
    replica: Replica, database: Database
) -> None:
    answer = await replica.batch(
        [
            row(request_id="once"),
            row(request_id="once"),
            row(Query(title="other"), request_id="once"),
        ]
    )
    assert len({job.name for job in answer.recommendations}) == 1
    assert refused(answer) == [(2, "REQUEST_ID_REUSED", "request_id")]
    assert len(await sql(database, "SELECT id FROM recommender.jobs")) == 1


@pytest.mark.usefixtures("counted_once")
async def test_as_many_are_stored_as_fit(database: Database, amqp_url: str) -> None:
    async with replica_of(database, amqp_url, admission_limit=10, bulk_share=0.5) as replica:
        await replica.recommender._admission.refresh()
        rows = [row(Query(title=f"t{n}"), request_id=f"r{n}") for n in range(8)]
        answer = await replica.batch(rows)
        assert [job.query.title for job in answer.recommendations] == ["t0", "t1", "t2", "t3", "t4"]
        assert refused(answer) == [(n, "TOO_MANY_JOBS", "") for n in (5, 6, 7)]
        assert await failure(replica.batch(rows[5:])) == TOO_MANY
        # A repeat is answered all the same.
        repeated = await replica.batch(rows[3:6])
        assert list(repeated.recommendations) == list(answer.recommendations[3:])
        assert refused(repeated) == [(2, "TOO_MANY_JOBS", "")]
        # What is kept for people is theirs.
        for _ in range(5):
            await replica.create()
        assert await failure(replica.create()) == TOO_MANY


async def test_a_row_has_a_day_unless_it_says_otherwise(replica: Replica) -> None:
    soon = timestamp(dt.datetime.now(dt.UTC) + dt.timedelta(minutes=1))
    plain, hasty = (await replica.batch([row(), row(deadline=soon)])).recommendations
    day = plain.deadline.ToDatetime(dt.UTC) - plain.create_time.ToDatetime(dt.UTC)
    assert (day, hasty.deadline) == (dt.timedelta(days=1), soon)


async def test_a_batch_whose_answer_would_be_too_long_is_refused_before_it_is_stored(
    replica: Replica,
) -> None:
    names = [f"{FILMS}/items/{n:04}{'x' * 100}" for n in range(1000)]
    long = Query(title="alien", exclude_items=names)
    most = (MOST_BYTES - 1_000) // (long.ByteSize() + 20)
    short = 1_000 - most - 1
    fitting = [row(long)] * most + [row()] * short
    assert len((await replica.batch(fitting)).recommendations) == most + short
    call = replica.batch([*fitting, row(long)])
    assert await failure(call) == "INVALID_ARGUMENT INVALID_FIELD requests"
