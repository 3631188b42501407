import asyncio
import datetime as dt

import pytest

from libs.jobs.tests.rows import changed, job, read, run_out, stored
from recmesh_jobs.intake import Submission, find, request_key, store
from recmesh_jobs.job import Job
from recmesh_jobs.leases import LeaseRepository
from recmesh_jobs.states import Lane, State
from recmesh_jobs.sweep import SweepRepository
from recmesh_kit.database import Database
from recmesh_kit.ids import uuid7

MINUTE = dt.timedelta(minutes=1)
LIMIT = 3
"""Attempts."""


async def swept(database: Database) -> None:
    """A round of a recommender, until nothing is left to do."""
    done = True
    while done:
        async with database.transaction() as session:
            sweep = SweepRepository(session)
            done = bool(
                [
                    *await sweep.expire(),
                    *await sweep.give_up_lost(LIMIT),
                    *await sweep.requeue_lost(LIMIT, 10),
                    *await sweep.due(list(Lane), 10),
                ]
            )


async def claimed(database: Database, job: Job, lease_seconds: float = 30) -> bool:
    async with database.driver() as connection:
        leases = LeaseRepository(connection, "w")
        return job.id in (await leases.claim([job.id], lease_seconds)).claims


async def state(database: Database, job: Job) -> State:
    found = await read(database, job)
    assert found is not None
    return found.state


@pytest.mark.parametrize("lane", list(Lane))
@pytest.mark.parametrize(
    "left",
    [
        "state = 1",
        "state = 1, dispatch_time = now() + interval '1 year', dispatches = 30",
        "state = 1, attempts = 100, worker = 'w', lease_until = now() + interval '1 year'",
        "state = 2, attempts = 1, worker = 'w', lease_until = now() - interval '1 s'",
        "state = 2, attempts = 1, worker = 'w', lease_until = NULL",
        "state = 2, attempts = 3, worker = NULL, lease_until = NULL",
        "state = 2, attempts = 100, worker = 'w', lease_until = '-infinity'",
    ],
)
async def test_whatever_a_row_was_left_in_it_ends_by_its_deadline(
    database: Database, left: str, lane: Lane
) -> None:
    made = job(lane=lane)
    await stored(database, made)
    await changed(database, made, left)
    await swept(database)
    await changed(database, made, "deadline = now()")
    await swept(database)
    assert (await state(database, made)).ended


async def test_a_lease_that_nobody_ever_gave_is_lost(database: Database) -> None:
    made = job()
    await stored(database, made)
    await claimed(database, made)
    await changed(database, made, "lease_until = NULL")
    async with database.transaction() as session:
        assert made.id in {j.id for j in await SweepRepository(session).requeue_lost(LIMIT, 10)}


async def test_what_is_unsent_goes_out_in_the_order_in_which_it_came(database: Database) -> None:
    made = [job() for _ in range(30)]
    await stored(database, *reversed(made))
    async with database.transaction() as session:
        sweep = SweepRepository(session)
        await sweep.hurry([one.id for one in made[::-1]])
        due = [j.id for j in await sweep.due([Lane.INTERACTIVE], 10)]
    wanted = [one.id for one in made]
    assert [id_ for id_ in due if id_ in wanted] == wanted


async def test_two_who_sweep_at_once_take_nothing_twice(database: Database) -> None:
    made = [job() for _ in range(40)]
    await stored(database, *made)
    for one in made:
        await claimed(database, one)
        await run_out(database, one)

    async def once() -> list[Job]:
        async with database.transaction() as session:
            sweep = SweepRepository(session)
            await sweep.expire()
            await sweep.give_up_lost(LIMIT)
            lost = await sweep.requeue_lost(LIMIT, 10)
            await sweep.hurry([one.id for one in made])
            await sweep.due([Lane.SUSPECT], 10)
            return lost

    rounds = await asyncio.gather(*(once() for _ in range(4)))
    wanted = {one.id for one in made}
    lost = [j.id for found in rounds for j in found if j.id in wanted]
    assert sorted(lost) == sorted(wanted)
    for one in made:
        found = await read(database, one)
        assert found is not None
        assert (found.lane, found.state, found.attempts) == (Lane.SUSPECT, State.QUEUED, 1)
        # When the last attempt began.
        assert found.start_time is not None


@pytest.mark.usefixtures("patience")
@pytest.mark.parametrize("ahead", [-MINUTE, MINUTE])
async def test_a_clock_that_is_a_minute_off_makes_no_job_late_early_or_due(
    database: Database, ahead: dt.timedelta
) -> None:
    now = dt.datetime.now(dt.UTC) + ahead
    made = job(id=uuid7(now), create_time=now, deadline=now + 5 * MINUTE)
    await stored(database, made)
    async with database.transaction() as session:
        sweep = SweepRepository(session)
        assert made.id not in {j.id for j in await sweep.expire()}
        # Its message is on its way: it is not sent twice.
        assert made.id not in {j.id for j in await sweep.due(list(Lane), 10)}
        # And it need not be waited for longer than others.
        await sweep.hurry([made.id])
        assert made.id in {j.id for j in await sweep.due(list(Lane), 10)}
    assert await claimed(database, made)


# How far the clocks of the two are apart, and when the first one took the job by its own.
@pytest.mark.parametrize("apart", [-MINUTE, dt.timedelta(), MINUTE])
@pytest.mark.parametrize("seconds", range(-240, 241, 30))
async def test_a_request_id_holds_around_midnight_whoever_is_asked_by_whatever_clock(
    database: Database, apart: dt.timedelta, seconds: int
) -> None:
    today = dt.datetime.combine(dt.datetime.now(dt.UTC).date(), dt.time(), dt.UTC)
    first = today + dt.timedelta(seconds=seconds)
    key = request_key("films", "ada", str(uuid7()))

    def submission(now: dt.datetime) -> Submission:
        return Submission(job(id=uuid7(now), create_time=now), key, b"same")

    made = submission(first)
    # A repeat a moment later, while the first one is on its way; and one when it is stored.
    repeats = [submission(first + apart + dt.timedelta(seconds=later)) for later in (1, 50)]

    async def store_one(one: Submission) -> tuple[bool, object]:
        async with database.driver() as connection:
            (outcome,) = await store(connection, [one])
        return outcome.is_new, outcome.job_id

    outcomes = [*await asyncio.gather(store_one(made), store_one(repeats[0]))]
    outcomes.append(await store_one(repeats[1]))
    assert [is_new for is_new, _ in outcomes].count(True) == 1
    assert len({id_ for _, id_ in outcomes}) == 1
    async with database.driver() as connection:
        for repeat in repeats:
            (found,) = await find(connection, [repeat])
            assert found is not None
            assert found.job_id == outcomes[0][1]
