import asyncio
import datetime as dt
from collections.abc import Sequence
from uuid import UUID

import pytest
from sqlalchemy import text

from libs.jobs.tests.rows import changed, job, run_out, stored
from recmesh.common.v1 import error_reason_pb2 as reasons
from recmesh_jobs.dead_letters import FILTERS, DeadLetter, DeadLetterRepository, Position, Which
from recmesh_jobs.job import Claim, Failure, Job
from recmesh_jobs.leases import Again, LeaseRepository
from recmesh_jobs.shown import pack
from recmesh_jobs.states import Lane, State
from recmesh_jobs.sweep import SweepRepository
from recmesh_kit.database import Database
from recmesh_kit.filters import check

MINUTE, DAY = dt.timedelta(minutes=1), dt.timedelta(days=1)
TERMS = {Lane.INTERACTIVE: 5 * MINUTE, Lane.BULK: DAY, Lane.SUSPECT: DAY}
BROKEN = Failure(reasons.ERROR_REASON_MODEL_UNAVAILABLE, "No model.")


async def failed(database: Database, *jobs: Job, failure: Failure = BROKEN) -> None:
    """Jobs that were given up, in this order."""
    await stored(database, *jobs)
    for one in jobs:
        await fails(database, one, failure)


async def fails(database: Database, job: Job, failure: Failure = BROKEN) -> None:
    async with database.driver() as connection:
        leases = LeaseRepository(connection, "w")
        claim = (await leases.claim([job.id], 30)).claims[job.id]
        assert len(await leases.fail([(claim, failure)])) == 1


async def pages(database: Database, catalog: str, size: int) -> list[DeadLetter]:
    found: list[DeadLetter] = []
    while True:
        before = Position(found[-1].create_time, found[-1].job.id) if found else None
        async with database.transaction() as session:
            page = await DeadLetterRepository(session).page(catalog, before, size, 1_000)
        found += page
        if len(page) < size:
            return found


async def letter_of(database: Database, job: Job) -> DeadLetter:
    (found,) = [x for x in await pages(database, job.catalog, 100) if x.job.id == job.id]
    return found


async def candidates(database: Database, which: Which) -> list[UUID]:
    async with database.transaction() as session:
        repository = DeadLetterRepository(session)
        return await repository.failed(which, await repository.now(), 100)


async def put_back(database: Database, ids: Sequence[UUID]) -> list[Job]:
    async with database.transaction() as session:
        return await DeadLetterRepository(session).put_back(ids, TERMS, 7 * DAY)


async def test_pages_go_from_the_newest_on_and_miss_none(database: Database) -> None:
    catalog = "pages"
    made = [job(catalog=catalog, user=f"u{n}") for n in range(5)]
    # Two at the same moment too.
    await failed(database, *reversed(made))
    async with database.transaction() as session:
        await session.execute(
            text(
                "UPDATE recommender.dead_letters SET create_time = now() - interval '1 day'"
                " WHERE catalog = :catalog AND user_id IN ('u1', 'u2', 'u3')"
            ),
            {"catalog": catalog},
        )
    found = [letter.job.user for letter in await pages(database, catalog, 2)]
    assert found == ["u0", "u4", "u3", "u2", "u1"]


async def test_long_queries_are_not_read_beyond_a_page(database: Database) -> None:
    made = [job(catalog="long", query=b"x" * 100) for _ in range(5)]
    await failed(database, *made)
    for most_bytes, read in ((1, 2), (250, 3), (1_000, 5)):
        async with database.transaction() as session:
            page = await DeadLetterRepository(session).page("long", None, 9, most_bytes)
        assert [letter.job.id for letter in page] == [one.id for one in made[::-1]][:read]


async def test_a_letter_keeps_why_when_how_often_and_what_was_asked(database: Database) -> None:
    made = job(catalog="keeps", session="visit", query=b"what was asked", shown=pack(["alien"]))
    await failed(database, made)
    letter = await letter_of(database, made)
    assert (letter.job.query, letter.job.session) == (b"what was asked", "visit")
    assert (letter.job.failure, letter.job.attempts) == (BROKEN, 1)
    assert letter.job.state is State.FAILED
    assert letter.create_time == letter.job.end_time
    assert letter.redrive_time is None


async def test_what_is_put_back_is_as_a_new_job_and_its_letter_says_when(
    database: Database,
) -> None:
    made = job(catalog="back", deadline=dt.datetime.now(dt.UTC) + MINUTE, shown=pack(["alien"]))
    await failed(database, made)
    (again,) = await put_back(database, [made.id])
    assert (again.state, again.attempts, again.lane) == (State.QUEUED, 0, Lane.INTERACTIVE)
    assert (again.query, again.shown) == (made.query, made.shown)
    assert (again.failure, again.start_time, again.end_time) == (None, None, None)
    assert again.deadline > made.deadline
    assert again.expire_time > made.expire_time
    letter = await letter_of(database, made)
    assert letter.redrive_time is not None
    assert (letter.job.state, letter.job.failure) == (State.QUEUED, BROKEN)
    # Its message may be lost: it is found as any other's is.
    async with database.transaction() as session:
        sweep = SweepRepository(session)
        await sweep.hurry([made.id])
        assert made.id in {j.id for j in await sweep.due([Lane.INTERACTIVE], 10)}


async def test_what_fails_again_is_buried_anew(database: Database) -> None:
    made = job(catalog="anew")
    await failed(database, made)
    first = await letter_of(database, made)
    await put_back(database, [made.id])
    other = Failure(reasons.ERROR_REASON_INTERNAL, "Otherwise.")
    await fails(database, made, other)
    second = await letter_of(database, made)
    assert second.job.failure == other
    assert second.create_time > first.create_time
    assert second.redrive_time is None
    # And where nobody said a word.
    await put_back(database, [made.id])
    async with database.driver() as connection:
        await LeaseRepository(connection, "w").claim([made.id], 30)
    await run_out(database, made)
    async with database.transaction() as session:
        await SweepRepository(session).give_up_lost(1)
    third = await letter_of(database, made)
    assert third.job.failure is not None
    assert third.job.failure.reason == reasons.ERROR_REASON_ATTEMPTS_EXHAUSTED
    assert third.create_time > second.create_time
    assert third.redrive_time is None
    assert await candidates(database, [made.id]) == [made.id]


async def test_a_suspect_job_stays_alone(database: Database) -> None:
    made = job(catalog="suspect")
    await failed(database, made)
    await changed(database, made, "lane = 3")
    (again,) = await put_back(database, [made.id])
    assert again.lane is Lane.SUSPECT


async def test_two_at_once_put_a_job_back_once(database: Database) -> None:
    made = [job(catalog="two") for _ in range(20)]
    await failed(database, *made)
    ids = [one.id for one in made]
    back = await asyncio.gather(*(put_back(database, ids[::step]) for step in (1, -1, 1, -1)))
    assert sorted(one.id for jobs in back for one in jobs) == sorted(ids)
    assert await put_back(database, ids) == []


@pytest.mark.parametrize(
    ("filter_", "selected"),
    [
        ('catalog = "catalogs/filtered"', [0, 1, 2]),
        ("reason = ERROR_REASON_MODEL_UNAVAILABLE AND catalog = catalogs/filtered", [0, 2]),
        ("NOT reason = ERROR_REASON_MODEL_UNAVAILABLE AND catalog = catalogs/filtered", [1]),
        ("create_time < 2020-01-01T00:00:00Z", []),
        ("create_time > 2020-01-01T00:00:00Z AND catalog = catalogs/filtered", [0, 1, 2]),
        ("* AND catalog = catalogs/filtered", [0, 1, 2]),
    ],
)
async def test_filters_select(database: Database, filter_: str, selected: list[int]) -> None:
    made = [job(catalog="filtered") for _ in range(3)]
    async with database.transaction() as session:
        await session.execute(
            text("DELETE FROM recommender.dead_letters WHERE catalog = 'filtered'")
        )
    await failed(database, made[0])
    await failed(database, made[1], failure=Failure(reasons.ERROR_REASON_INTERNAL, "x"))
    await failed(database, made[2])
    condition = check.read(filter_, FILTERS)
    assert condition is not None
    assert await candidates(database, condition) == [made[n].id for n in selected]
    async with database.transaction() as session:
        assert await DeadLetterRepository(session).count(condition, 100) == len(selected)
        assert await DeadLetterRepository(session).count(condition, 1) == min(1, len(selected))


async def test_what_is_given_up_meanwhile_is_left_for_the_next_time(database: Database) -> None:
    made = job(catalog="meanwhile")
    async with database.transaction() as session:
        before = await DeadLetterRepository(session).now()
    await failed(database, made)
    async with database.transaction() as session:
        assert await DeadLetterRepository(session).failed([made.id], before, 10) == []
    assert await candidates(database, [made.id]) == [made.id]


async def test_a_letter_past_its_jobs_ttl_is_not_there(database: Database) -> None:
    made = job(catalog="ttl")
    await failed(database, made)
    await changed(database, made, "expire_time = now()")
    assert await pages(database, "ttl", 10) == []
    assert await candidates(database, [made.id]) == []
    assert await put_back(database, [made.id]) == []
    async with database.transaction() as session:
        assert await DeadLetterRepository(session).catalogs([made.id]) == {}


async def test_what_a_job_was_before_it_was_put_back_is_not_taken_for_what_it_is_now(
    database: Database,
) -> None:
    made = job(catalog="before")
    await stored(database, made)

    async def claimed() -> Claim:
        async with database.driver() as connection:
            return (await LeaseRepository(connection, "w").claim([made.id], 30)).claims[made.id]

    # The worker is held up in its first attempt, and has it again, in another batch, after the job was put back.
    former = await claimed()
    await run_out(database, made)
    async with database.transaction() as session:
        assert made.id in {j.id for j in await SweepRepository(session).give_up_lost(1)}
    await put_back(database, [made.id])
    present = await claimed()
    assert (former.attempt, present.attempt) == (1, 1)
    async with database.driver() as connection:
        leases = LeaseRepository(connection, "w")
        assert await leases.renew([former], 30) == 0
        assert await leases.release([former]) == 0
        assert await leases.fail([(former, BROKEN)]) == []
        assert await leases.succeed([(former, b"")]) == []
        retried = await leases.retry([Again(former, 0, False, "")], 5)
        assert (retried.again, retried.ended) == (set(), {})
        assert [one.id for one in await leases.succeed([(present, b"")])] == [made.id]
