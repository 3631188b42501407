import asyncio
from contextlib import suppress

import grpc
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recmesh.common.v1 import error_reason_pb2 as reasons
from recmesh.recommender.v1.query_pb2 import Query
from recmesh.recommender.v1.recommendation_pb2 import Recommendation
from recmesh_jobs.job import Failure
from recmesh_jobs.shown import pack, unpack
from recmesh_kit.database import Database
from recmesh_kit.layout import BULK, INTERACTIVE
from services.recommender.tests.conftest import (
    BOB,
    EDITOR,
    FILMS,
    Replica,
    failure,
    replica_of,
    sql,
    state,
    until_state,
)
from services.recommender.tests.standin import working

CATALOG = [f"film-{n}" for n in range(23)]
WRONG_STATE = "FAILED_PRECONDITION WRONG_STATE"
NOBODY = f"{FILMS}/recommendations/01932f3a-7b1c-7def-8123-456789abcdef"


def shown_by(job: Recommendation) -> list[str]:
    return [result.item.rpartition("/")[2] for result in job.results]


async def answered(replica: Replica, job: Recommendation) -> Recommendation:
    assert state(job) == "QUEUED"
    return await until_state(replica, job.name, "SUCCEEDED")


async def test_a_continued_job_asks_the_same_and_says_what_it_continues(
    replica: Replica, database: Database, amqp_url: str
) -> None:
    query = Query(title="Alien", limit=3, exclude_items=[f"{FILMS}/items/heat"], include_seen=True)
    async with working(database, amqp_url, items=CATALOG) as worker:
        first = await answered(replica, await replica.create(query, session="visit"))
        second = await answered(replica, await replica.again(first.name))
        wider = await answered(replica, await replica.again(second.name, limit=7))
    asked = Query()
    asked.CopyFrom(query)
    assert [job.continues for job in (first, second, wider)] == ["", first.name, second.name]
    assert (second.user, second.session, second.query) == ("ann", "visit", asked)
    asked.limit = 7
    assert (wider.session, wider.query) == ("visit", asked)
    assert [list(job.shown) for _, job in worker.taken] == [[], CATALOG[:3], CATALOG[:6]]
    assert shown_by(first) + shown_by(second) + shown_by(wider) == CATALOG[:13]


# From which job of those before to go on, none for the newest; and how many results, 0 for as many as before.
steps = st.lists(st.tuples(st.none() | st.integers(0, 50), st.integers(0, 8)), max_size=10)


@settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(st.integers(2, 8), steps)
async def test_no_chain_repeats_itself_to_the_end_of_the_catalog(
    replica: Replica,
    database: Database,
    amqp_url: str,
    limit: int,
    steps: list[tuple[int | None, int]],
) -> None:
    """Chains that branch make a tree: each path from its root is a chain."""
    async with working(database, amqp_url, items=CATALOG) as worker:
        first = await answered(replica, await replica.create(Query(title="x", limit=limit)))
        paths = {first.name: shown_by(first)}

        async def go_on(before: str, limit: int = 0) -> str:
            job = await answered(replica, await replica.again(before, limit=limit))
            assert len(job.results) == min(job.query.limit, len(CATALOG) - len(paths[before]))
            paths[job.name] = paths[before] + shown_by(job)
            return job.name

        leaf = first.name
        for place, wanted in steps:
            leaf = await go_on(leaf if place is None else list(paths)[place % len(paths)], wanted)
        while len(paths[leaf]) < len(CATALOG):
            leaf = await go_on(leaf, 7)
        assert all(len(set(path)) == len(path) for path in paths.values())
        # Past the end there is nothing, as often as one asks.
        leaf = await go_on(await go_on(leaf))
        # What is new since then is shown.
        worker.items = [*CATALOG, "sequel"]
        assert shown_by(await answered(replica, await replica.again(leaf))) == ["sequel"]


async def test_a_catalog_of_35_000_is_walked_in_a_message_that_a_worker_can_read(
    replica: Replica, database: Database, amqp_url: str
) -> None:
    items = [f"a-film-with-a-long-name-{n}" for n in range(35_000)]
    async with working(database, amqp_url, items=items):
        first = await answered(replica, await replica.create(Query(title="x", limit=200)))
        second = await answered(replica, await replica.again(first.name))
        # Where a hundred and more continuations would have come to.
        await sql(
            database,
            "UPDATE recommender.jobs SET shown = :shown WHERE continues IS NOT NULL",
            shown=pack(items[:34_600]),
        )
        last = await answered(replica, await replica.again(second.name))
        end = await answered(replica, await replica.again(last.name))
    assert shown_by(last) + shown_by(end) == items[-400:]
    ((stored,),) = await sql(
        database,
        "SELECT shown FROM recommender.jobs WHERE id = CAST(:id AS uuid)",
        id=end.name.rpartition("/")[2],
    )
    assert isinstance(stored, bytes)
    # The second one showed the second 200.
    assert unpack(stored) == items[:34_600] + items[200:400] + items[34_600:34_800]
    assert len(stored) < len("".join(items))


async def test_a_chain_goes_on_when_what_it_continues_is_deleted(
    replica: Replica, database: Database, amqp_url: str
) -> None:
    async with working(database, amqp_url, items=CATALOG):
        first = await answered(replica, await replica.create(Query(title="x", limit=4)))
        second = await answered(replica, await replica.again(first.name))
        await replica.delete(first.name)
        third = await answered(replica, await replica.again(second.name))
    assert shown_by(third) == CATALOG[8:12]


async def test_only_what_has_succeeded_is_continued(
    replica: Replica, database: Database, amqp_url: str
) -> None:
    job = await replica.create()
    assert await failure(replica.again(job.name)) == WRONG_STATE
    await replica.cancel(job.name)
    assert await failure(replica.again(job.name)) == WRONG_STATE
    broken = Failure(reasons.ERROR_REASON_INTERNAL, "Broken.")
    async with working(database, amqp_url, failure=broken):
        failed = await replica.recommend()
    assert await failure(replica.again(failed.name)) == WRONG_STATE


async def test_a_request_id_continues_once(
    replica: Replica, database: Database, amqp_url: str
) -> None:
    async with working(database, amqp_url, items=CATALOG):
        first = await replica.recommend(Query(title="x", limit=4))
        made = await asyncio.gather(
            *(replica.again(first.name, request_id="once") for _ in range(5))
        )
        (name,) = {job.name for job in made}
        second = await until_state(replica, name, "SUCCEEDED")
        # As many as before is 4: it is the same request.
        assert await replica.again(first.name, limit=4, request_id="once") == second
        reused = "INVALID_ARGUMENT REQUEST_ID_REUSED request_id"
        for call in (
            replica.again(first.name, limit=5, request_id="once"),
            replica.again(second.name, request_id="once"),
            replica.create(Query(title="x", limit=4), request_id="once"),
        ):
            assert await failure(call) == reused


async def test_it_is_continued_by_those_who_may_see_it(
    replica: Replica, database: Database, amqp_url: str
) -> None:
    async with working(database, amqp_url, items=CATALOG):
        first = await replica.recommend()
        for name in (first.name, NOBODY, first.name.replace("films", "secret")):
            denied = await failure(replica.again(name, metadata=BOB))
            assert denied == "NOT_FOUND RESOURCE_NOT_FOUND"
        by_editor = await replica.again(first.name, metadata=EDITOR)
        assert by_editor.user == "ann"
        assert await failure(replica.again(first.name, limit=201)) == (
            "INVALID_ARGUMENT INVALID_FIELD limit"
        )


async def test_who_continues_waits_also_when_the_first_was_prepared_ahead(
    replica: Replica, database: Database, amqp_url: str
) -> None:
    async with working(database, amqp_url, items=CATALOG) as worker:
        first = await replica.create()
        await sql(database, "UPDATE recommender.jobs SET lane = 2, dispatch_time = now()")
        await until_state(replica, first.name, "SUCCEEDED")
        await sql(database, "UPDATE recommender.jobs SET lane = 2")
        await answered(replica, await replica.again(first.name))
    assert worker.taken[-1][0] == INTERACTIVE.name != BULK.name


async def test_over_the_limit_nothing_is_continued(database: Database, amqp_url: str) -> None:
    async with replica_of(database, amqp_url, admission_limit=1) as replica:
        async with working(database, amqp_url):
            first = await replica.recommend()
        async with asyncio.timeout(60):
            while not await sql(database, "SELECT id FROM recommender.jobs WHERE state = 1"):
                with suppress(grpc.aio.AioRpcError):
                    await replica.create()
        assert await failure(replica.again(first.name)) == "RESOURCE_EXHAUSTED TOO_MANY_JOBS"
