"""Batches that are cut off, or meet a database that is away, while they are in hand."""

import asyncio

import pytest

from recmesh.recommender.v1.query_pb2 import Query
from recmesh_jobs.states import State
from recmesh_worker import job_batch
from services.worker.tests.conftest import WAIT_SECONDS, Asking, do, ranking
from services.worker.tests.working import Worker


async def test_a_job_is_acknowledged_last(worker: Worker, asking: Asking, films: str) -> None:
    job = await asking.ask(films, Query(title="alien"))
    worker.replies.gate.clear()
    async with asking.taken(1) as deliveries:
        hand = asyncio.create_task(worker.jobs.handle(deliveries))
        await worker.replies.reached.wait()
        before = await asking.read(job)
        hand.cancel()
        await asyncio.wait([hand])
    # The worker "died" after the result was written: the message is there again, and harmless.
    await asking.waits(1)
    worker.replies.gate.set()
    await do(worker, asking, 1)
    assert before.state is State.SUCCEEDED
    assert await asking.read(job) == before


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has jobs given back, however long that takes."""
    monkeypatch.setattr(job_batch, "RELEASE_SECONDS", WAIT_SECONDS)


@pytest.mark.usefixtures("patient")
async def test_jobs_that_are_cut_off_go_back_without_an_attempt(
    worker: Worker, asking: Asking, films: str
) -> None:
    async with ranking(worker, asking, films) as (job, hand):
        assert (await asking.read(job)).state is State.RUNNING
        hand.cancel()
        await asyncio.wait([hand])
        worker.ranker.gate.set()
    await asking.waits(1)
    read = await asking.read(job)
    assert (read.state, read.attempts) == (State.QUEUED, 0)


@pytest.mark.usefixtures("patient")
async def test_jobs_that_are_cut_off_while_they_are_stored_go_back_without_an_attempt(
    worker: Worker, asking: Asking, films: str
) -> None:
    async with ranking(worker, asking, films) as (job, hand):
        worker.flaky.hangs = True
        worker.ranker.gate.set()
        await worker.flaky.hung.wait()
        hand.cancel()
        await asyncio.wait([hand])
    await asking.waits(1)
    read = await asking.read(job)
    assert (read.state, read.attempts) == (State.QUEUED, 0)


async def test_a_result_is_stored_when_the_database_is_back(
    worker: Worker, asking: Asking, films: str
) -> None:
    async with ranking(worker, asking, films) as (job, hand):
        worker.flaky.away = 2
        worker.ranker.gate.set()
        await hand
    await asking.waits(0)
    assert worker.ranker.ranked == ["slow"]
    read = await asking.read(job)
    assert (read.state, read.attempts) == (State.SUCCEEDED, 1)
