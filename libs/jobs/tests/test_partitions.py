import asyncio
import datetime as dt
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from localmesh.databases import PostgresServer
from recmesh.common.v1 import error_reason_pb2 as reasons
from recmesh_jobs import partitions, reading
from recmesh_jobs.dead_letters import DeadLetterRepository
from recmesh_jobs.intake import Submission, find, request_key, store
from recmesh_jobs.job import Failure, Job
from recmesh_jobs.leases import LeaseRepository
from recmesh_jobs.models import SCHEMA, metadata
from recmesh_jobs.states import Lane
from recmesh_kit.database import Database
from recmesh_kit.ids import uuid7
from recmesh_kit.migrations import migrate
from recmesh_kit.migrations.differences import differences

TODAY = dt.datetime.now(dt.UTC).date()
DAY = dt.timedelta(days=1)
KEY = request_key("c", "u", "once")


@pytest.fixture
async def own(postgres: PostgresServer, database_name: str) -> AsyncIterator[Database]:
    """A database of the test's own, whose days may come and go."""
    name = f"{database_name}_days"
    url = (await postgres.create_database(name))["recmesh_recommender"]
    await migrate(url, "recmesh_jobs", SCHEMA)
    async with Database(url, pool_size=4, timeout_seconds=60, application_name="test") as opened:
        yield opened
    await postgres.drop_database(name)


def submission(day: dt.date) -> Submission:
    noon = dt.datetime.combine(day, dt.time(12), dt.UTC)
    job = Job(
        uuid7(noon), "c", "u", "", Lane.INTERACTIVE, b"", noon + 30 * DAY, noon, noon + 5 * DAY
    )
    return Submission(job, KEY, b"")


async def put(database: Database, day: dt.date) -> Submission:
    made = submission(day)
    async with database.driver() as connection:
        await store(connection, [made])
    return made


async def count(database: Database, table: str) -> int:
    async with database.transaction() as session:
        found = await session.scalar(text(f"SELECT count(*) FROM recommender.{table}"))  # noqa: S608
        return int(found or 0)


async def test_a_day_is_made_ahead_holds_its_jobs_and_is_dropped_as_a_whole(own: Database) -> None:
    day = TODAY + 30 * DAY
    await partitions.maintain(own, day, ahead_days=1, keep_days=100)
    await put(own, day)
    assert await count(own, f"jobs_{day:%Y%m%d}") == 1
    assert await count(own, f"requests_{day:%Y%m%d}") == 1
    dropped = await partitions.maintain(own, day + 3 * DAY, ahead_days=0, keep_days=2)
    assert f"jobs_{day:%Y%m%d}" in dropped
    assert f"requests_{day:%Y%m%d}" in dropped
    assert f"jobs_{day + DAY:%Y%m%d}" not in dropped
    assert await count(own, "jobs") == 0


async def test_what_a_day_without_a_partition_took_moves_into_its_own(own: Database) -> None:
    day = TODAY + 60 * DAY
    made = await put(own, day)
    assert (await count(own, "jobs_default"), await count(own, "requests_default")) == (1, 1)
    await partitions.maintain(own, day + DAY, ahead_days=0, keep_days=2)
    assert (await count(own, "jobs_default"), await count(own, "requests_default")) == (0, 0)
    assert await count(own, f"jobs_{day:%Y%m%d}") == 1
    async with own.driver() as connection:
        assert await reading.read(connection, [made.job.id]) == {made.job.id: made.job}
        assert await find(connection, [submission(day)]) != [None]
    assert f"jobs_{day:%Y%m%d}" in await partitions.maintain(
        own, day + 3 * DAY, ahead_days=0, keep_days=2
    )


async def test_request_ids_go_after_two_days_and_dead_letters_with_their_jobs(
    own: Database,
) -> None:
    day = TODAY + 70 * DAY
    made = await put(own, day)
    async with own.driver() as connection:
        leases = LeaseRepository(connection, "w")
        claims = (await leases.claim([made.job.id], 30)).claims
        broken = Failure(reasons.ERROR_REASON_INTERNAL, "broken")
        await leases.fail([(claim, broken) for claim in claims.values()])
    for later, left in ((2, (1, 1, 1)), (3, (1, 0, 1)), (5, (1, 0, 1)), (6, (0, 0, 0))):
        await partitions.maintain(own, day + later * DAY, ahead_days=0, keep_days=5)
        counts = [await count(own, table) for table in ("jobs", "requests", "dead_letters")]
        assert tuple(counts) == left, later


async def test_a_job_that_was_put_back_is_kept_though_its_day_is_over(own: Database) -> None:
    made = submission(TODAY)
    async with own.driver() as connection:
        await store(connection, [made])
        leases = LeaseRepository(connection, "w")
        claims = (await leases.claim([made.job.id], 30)).claims
        broken = Failure(reasons.ERROR_REASON_INTERNAL, "broken")
        await leases.fail([(claim, broken) for claim in claims.values()])
    async with own.transaction() as session:
        letters = DeadLetterRepository(session)
        assert await letters.put_back([made.job.id], {Lane.INTERACTIVE: DAY}, 7 * DAY)
    # For seven days from now on, and it may be past midnight by now.
    for later, left in ((4, (1, 1)), (6, (1, 1)), (9, (0, 0))):
        await partitions.maintain(own, TODAY + later * DAY, ahead_days=0, keep_days=3)
        assert (await count(own, "jobs"), await count(own, "dead_letters")) == left, later


async def test_a_shorter_ttl_makes_room_at_once_though_there_are_dead_letters(
    own: Database,
) -> None:
    made = submission(TODAY)
    async with own.driver() as connection:
        await store(connection, [made])
        leases = LeaseRepository(connection, "w")
        claims = (await leases.claim([made.job.id], 30)).claims
        broken = Failure(reasons.ERROR_REASON_INTERNAL, "broken")
        await leases.fail([(claim, broken) for claim in claims.values()])
    await partitions.maintain(own, TODAY + 3 * DAY, ahead_days=0, keep_days=2)
    assert (await count(own, "jobs"), await count(own, "dead_letters")) == (0, 0)


async def test_a_job_that_was_given_up_again_is_kept_though_its_day_is_over(own: Database) -> None:
    made = submission(TODAY - 3 * DAY)
    await partitions.maintain(own, TODAY - 3 * DAY, ahead_days=9, keep_days=9)
    async with own.driver() as connection:
        await store(connection, [made])
        leases = LeaseRepository(connection, "w")
        broken = Failure(reasons.ERROR_REASON_INTERNAL, "broken")
        for _ in range(2):
            claims = (await leases.claim([made.job.id], 30)).claims
            await leases.fail([(claim, broken) for claim in claims.values()])
            async with own.transaction() as session:
                letters = DeadLetterRepository(session)
                await letters.put_back([made.job.id], {Lane.INTERACTIVE: DAY}, 7 * DAY)
        claims = (await leases.claim([made.job.id], 30)).claims
        await leases.fail([(claim, broken) for claim in claims.values()])
    # For seven days from now on, and it may be past midnight by now.
    for later, left in ((6, (1, 1)), (9, (0, 0))):
        await partitions.maintain(own, TODAY + later * DAY, ahead_days=0, keep_days=3)
        assert (await count(own, "jobs"), await count(own, "dead_letters")) == left, later


async def test_jobs_come_in_while_days_are_made_and_replicas_do_not_trip_over_each_other(
    own: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions, "REQUEST_DAYS", 200)
    # On a slow machine others hold a table for longer than it is waited for.
    monkeypatch.setattr(partitions, "LOCK_SECONDS", 60)
    days = [TODAY + n * DAY for n in range(80, 90)]
    await asyncio.gather(
        *(partitions.maintain(own, day, ahead_days=2, keep_days=200) for day in days),
        *(put(own, day) for day in days for _ in range(5)),
    )
    await partitions.maintain(own, TODAY, ahead_days=0, keep_days=200)
    assert await count(own, "jobs_default") == 0
    # The same request id each day: known from the day before, it makes no second job.
    assert 1 <= await count(own, "jobs") <= len(days)


async def test_the_migrations_make_what_the_models_say(urls: dict[str, str]) -> None:
    assert await differences(urls["recmesh_recommender"], metadata) == []
