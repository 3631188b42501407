"""Jobs that are tried again."""

import asyncio
import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest

from recmesh.common.v1 import error_reason_pb2 as reasons
from recmesh.recommender.v1.query_pb2 import Query
from recmesh_jobs import messages
from recmesh_jobs.dead_letters import DeadLetterRepository
from recmesh_jobs.repository import JobRepository
from recmesh_jobs.states import Lane, State
from recmesh_jobs.sweep import SweepRepository
from recmesh_kit import faults
from recmesh_kit.layout import SUSPECT, TIERS
from recmesh_worker.engine.memory import CatalogMemory
from services.worker.tests.conftest import Asking, come, do, eventually
from services.worker.tests.working import ATTEMPT_LIMIT, Worker


async def letters(asking: Asking, job_id: object) -> list[tuple[object, ...]]:
    return await asking.sql(
        "SELECT reason, attempts, message FROM recommender.dead_letters WHERE job_id = :id",
        id=job_id,
    )


async def tried(asking: Asking, job_id: object, times: int) -> None:
    """Makes a job one that was tried so many times."""
    await asking.sql(
        "UPDATE recommender.jobs SET attempts = :times WHERE id = :id", id=job_id, times=times
    )


async def test_a_job_that_fails_for_a_passing_reason_is_tried_again_and_its_neighbours_are_not(
    worker: Worker, asking: Asking, films: str
) -> None:
    worker.ranker.short = 1
    job = await asking.ask(films, Query(title="greedy"))
    other = await asking.ask(films, Query(title="alien"))
    async with asking.taken(2) as deliveries:
        await worker.jobs.handle(deliveries)
        read = await asking.read(job)
        assert (read.state, read.attempts) == (State.QUEUED, 1)
        # When the last attempt began, as the contract says.
        assert read.start_time is not None
        assert (await asking.read(other)).state is State.SUCCEEDED
        # The relay would find it, but not before its message comes back.
        due = await asking.sql(
            "SELECT dispatch_time > start_time + make_interval(secs => :tier) FROM recommender.jobs WHERE id = :id",
            id=job.id,
            tier=TIERS[0].seconds,
        )
        assert due == [(True,)]
        await come(deliveries, 3)
        again = deliveries[2]
        assert (again.body, again.reply_to) == (messages.encode_job(job), asking.reply_to)
        await worker.jobs.handle([again])
    await asking.waits(0)
    told = await asking.heard(job)
    assert (told.ended.state, told.ended.attempts) == (State.SUCCEEDED, 2)
    assert await letters(asking, job.id) == []


async def test_a_job_whose_attempts_are_used_up_fails_and_says_what_was_wrong_at_last(
    worker: Worker, asking: Asking, films: str
) -> None:
    worker.ranker.short = 1
    job = await asking.store(films, Query(title="greedy"))
    await tried(asking, job.id, ATTEMPT_LIMIT - 1)
    await asking.send(job)
    await do(worker, asking, 1)
    told = await asking.heard(job)
    assert told.failure is not None
    assert told.failure.reason == reasons.ERROR_REASON_ATTEMPTS_EXHAUSTED
    assert "MemoryError" in told.failure.message
    read = await asking.read(job)
    assert (read.state, read.failure) == (State.FAILED, told.failure)
    assert await letters(asking, job.id) == [
        (told.failure.reason, ATTEMPT_LIMIT, told.failure.message)
    ]


@pytest.fixture
def armed(tmp_path: Path) -> Iterator[Path]:
    faults.arm(tmp_path)
    yield tmp_path
    faults.arm(None)


@pytest.mark.parametrize("point", ["jobs.claimed", "jobs.computed"])
async def test_a_batch_that_fails_for_a_passing_reason_is_tried_again(
    worker: Worker, asking: Asking, films: str, armed: Path, point: str
) -> None:
    jobs = [await asking.ask(films, Query(title=title)) for title in ("alien", "heat")]
    (armed / f"{point}@ada").write_text("error")
    async with asking.taken(2) as deliveries:
        await worker.jobs.handle(deliveries)
        assert {(await asking.read(job)).state for job in jobs} == {State.QUEUED}
        await come(deliveries, 4)
        await worker.jobs.handle(deliveries[2:])
    await asking.waits(0)
    read = [await asking.read(job) for job in jobs]
    assert {(job.state, job.attempts) for job in read} == {(State.SUCCEEDED, 2)}


async def test_of_a_batch_that_breaks_something_each_job_is_tried_again_alone(
    worker: Worker, asking: Asking, films: str, armed: Path
) -> None:
    jobs = [await asking.ask(films, Query(title=title)) for title in ("alien", "heat")]
    (armed / "jobs.computed").write_text("defect")
    suspects = await asking.channel.get_queue(SUSPECT.name)
    await suspects.purge()
    await do(worker, asking, 2)
    rows = await asking.sql(
        "SELECT lane, state, attempts FROM recommender.jobs WHERE catalog = :films", films=films
    )
    assert rows == [(Lane.SUSPECT, State.QUEUED, 1)] * 2

    async def there() -> bool:
        declared = await asking.channel.declare_queue(SUSPECT.name, passive=True)
        return declared.declaration_result.message_count == 2

    await eventually(there)
    await suspects.purge()
    # Alone, it is known whose fault it is.
    (armed / "jobs.computed").write_text("defect")
    await asking.send(jobs[0])
    async with asking.taken(1) as deliveries:
        await worker.suspects.handle(deliveries)
    failure = (await asking.read(jobs[0])).failure
    assert failure is not None
    assert failure.reason == reasons.ERROR_REASON_INTERNAL


@pytest.mark.parametrize("point", ["jobs.written", "jobs.acking"])
async def test_what_fails_once_the_answer_is_stored_does_it_no_harm(
    worker: Worker, asking: Asking, films: str, armed: Path, point: str
) -> None:
    job = await asking.ask(films, Query(title="alien"))
    (armed / point).write_text("defect")
    async with asking.taken(1) as deliveries:
        await worker.jobs.handle(deliveries)
        before = await asking.read(job)
        await come(deliveries, 2)
        await worker.jobs.handle([deliveries[1]])
    await asking.waits(0)
    assert (before.state, before.attempts) == (State.SUCCEEDED, 1)
    assert await asking.read(job) == before


async def test_a_running_job_that_is_cancelled_frees_its_worker_and_keeps_no_result(
    worker: Worker, asking: Asking, films: str
) -> None:
    job = await asking.ask(films, Query(title="slow"))
    other = await asking.ask(films, Query(title="alien"))
    async with asking.taken(2) as deliveries:
        hand = asyncio.create_task(worker.jobs.handle(deliveries))
        await asyncio.to_thread(worker.ranker.begun.wait, 60)
        async with asking.owner.transaction() as session:
            assert await JobRepository(session).cancel(job.id) is not None
        worker.ranker.gate.set()
        await hand
    await asking.waits(0)
    read = await asking.read(job)
    assert (read.state, read.answer) == (State.CANCELLED, None)
    assert (await asking.read(other)).state is State.SUCCEEDED
    await asking.ask(films, Query(title="heat"))
    await do(worker, asking, 1)


async def test_a_job_whose_deadline_passes_while_it_waits_for_its_catalog_is_not_computed(
    worker: Worker, asking: Asking, films: str, catalog: str
) -> None:
    other = f"{catalog}-other"
    soon = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=0.5)
    job = await asking.ask(other, Query(title="alien"), deadline=soon)
    release = asyncio.Event()
    load = worker.read_model.load

    async def slowly(catalog: str) -> CatalogMemory:
        await release.wait()
        return await load(catalog)

    worker.read_model.load = slowly  # type: ignore[method-assign]

    async def over() -> bool:
        return bool(await asking.sql("SELECT 1 WHERE now() > :soon", soon=soon))

    async with asking.taken(1) as deliveries:
        await worker.jobs.handle(deliveries)
        await eventually(over)
        release.set()
        told = await asking.heard(job)
    assert told.ended.state is State.EXPIRED
    assert worker.ranker.ranked == []


@pytest.mark.parametrize("suspect", [False, True])
async def test_a_copy_that_comes_back_after_its_job_was_given_up_and_put_back_does_no_harm(
    worker: Worker, asking: Asking, films: str, *, suspect: bool
) -> None:
    worker.ranker.short = 1
    job = await asking.ask(films, Query(title="greedy"))
    async with asking.taken(1) as deliveries:
        await worker.jobs.handle(deliveries)
        # Meanwhile its row moves on: other workers die with it, and somebody puts it back.
        lane = Lane.SUSPECT if suspect else Lane.INTERACTIVE
        await asking.sql(
            "UPDATE recommender.jobs SET state = 2, worker = 'another', attempts = :limit, lane = :lane"
            " WHERE id = :id",
            id=job.id,
            limit=ATTEMPT_LIMIT,
            lane=lane,
        )
        async with asking.owner.transaction() as session:
            given_up = await SweepRepository(session).give_up_lost(ATTEMPT_LIMIT)
            assert job.id in {one.id for one in given_up}
            day = dt.timedelta(days=1)
            letters = DeadLetterRepository(session)
            [again] = await letters.put_back([job.id], dict.fromkeys(Lane, day), day)
        await come(deliveries, 2)
        await worker.jobs.handle([deliveries[1]])
        read = await asking.read(job)
        left = (State.QUEUED, 0) if suspect else (State.SUCCEEDED, 1)
        assert (read.state, read.attempts) == left
        # And its own message.
        await asking.send(again)
        await come(deliveries, 3)
        await (worker.suspects if suspect else worker.jobs).handle([deliveries[2]])
    await asking.waits(0)
    read = await asking.read(job)
    assert (read.state, read.attempts) == (State.SUCCEEDED, 1)
    assert worker.ranker.ranked == ["greedy"]
