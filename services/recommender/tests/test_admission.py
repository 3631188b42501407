import asyncio

import pytest
from asyncpg import Connection

from recmesh_jobs.intake import Submission, store
from recmesh_jobs.repository import Unfinished
from recmesh_jobs.states import Lane
from recmesh_kit.database import Database
from recmesh_recommender import admission as module
from recmesh_recommender.admission import Admission
from recmesh_recommender.errors import TooManyJobs
from services.recommender.tests.test_lines import job


@pytest.fixture
def admission(database: Database) -> Admission:
    """Ten jobs, of which at most five on the bulk lane."""
    return Admission(database, 10, 0.5)


def take(admission: Admission, lane: Lane, wanted: int = 1) -> int:
    """How many are let in."""
    try:
        with admission.admitted(lane, wanted) as fitting:
            return fitting
    except TooManyJobs:
        return 0


def test_bulk_jobs_leave_room_for_people(admission: Admission) -> None:
    assert [take(admission, Lane.BULK, 4), take(admission, Lane.BULK, 4)] == [4, 1]
    assert take(admission, Lane.BULK) == 0
    assert [take(admission, Lane.INTERACTIVE) for _ in range(6)] == [1] * 5 + [0]


def test_people_may_take_up_what_bulk_jobs_may(admission: Admission) -> None:
    assert sum(take(admission, Lane.INTERACTIVE) for _ in range(8)) == 8
    assert [take(admission, Lane.BULK, 4), take(admission, Lane.BULK, 4)] == [2, 0]
    assert take(admission, Lane.INTERACTIVE) == 0


def test_who_is_refused_is_told_what_is_full(admission: Admission) -> None:
    take(admission, Lane.BULK, 5)
    assert "5 jobs" in admission.refusal(Lane.BULK).message
    for _ in range(5):
        take(admission, Lane.INTERACTIVE)
    assert "10 jobs" in admission.refusal(Lane.INTERACTIVE).message


def test_what_is_being_stored_counts(admission: Admission) -> None:
    with admission.admitted(Lane.BULK, 5):
        assert take(admission, Lane.BULK) == 0
        assert take(admission, Lane.INTERACTIVE, 9) == 5


async def test_a_count_knows_the_lanes(admission: Admission, database: Database) -> None:
    take(admission, Lane.BULK, 5)
    await admission.refresh()
    assert take(admission, Lane.BULK, 5) == 5
    made = [job(lane) for lane in (Lane.BULK, Lane.BULK, Lane.INTERACTIVE, Lane.SUSPECT)]
    async with database.driver() as connection:
        await store(connection, [Submission(one, None, b"") for one in made])
    await admission.refresh()
    assert take(admission, Lane.BULK, 5) == 3
    assert take(admission, Lane.INTERACTIVE, 9) == 3


async def test_of_two_counts_at_once_the_later_stands(
    admission: Admission, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def count(connection: Connection, most: int) -> Unfinished:
        if begun.is_set():
            return Unfinished(jobs=3, bulk=0)
        begun.set()
        await go.wait()
        return Unfinished(jobs=0, bulk=0)

    monkeypatch.setattr(module, "count_unfinished", count)
    earlier = asyncio.create_task(admission.refresh())
    await begun.wait()
    later = asyncio.create_task(admission.refresh())
    # Time enough to come in between, if it may.
    await asyncio.wait([later], timeout=0.1)
    go.set()
    await asyncio.gather(earlier, later)
    assert take(admission, Lane.INTERACTIVE, 10) == 7
