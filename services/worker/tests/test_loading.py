"""While an encoder or a catalog loads, what does not need it is answered."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from recmesh.recommender.v1.query_pb2 import Query
from recmesh_jobs.states import State
from recmesh_kit.database import Database
from recmesh_worker.engine.memory import CatalogMemory
from services.worker.tests.conftest import (
    Asking,
    come,
    indexed,
    put,
    results,
)
from services.worker.tests.working import Worker


@pytest.fixture
async def cold(worker: Worker) -> AsyncIterator[Worker]:
    """The worker with an encoder that is not ready yet."""
    worker.encoder._loaded = False
    worker.encoder.gate.clear()
    worker.thread._loading = None
    worker.thread.start()
    yield worker
    worker.encoder.gate.set()


async def test_texts_wait_for_the_encoder_while_titles_are_answered(
    cold: Worker, asking: Asking, films: str
) -> None:
    text = await asking.ask(films, Query(text="heat wave", limit=1))
    title = await asking.ask(films, Query(title="alien"))
    unknown = await asking.ask(films, Query(title="zzzzzz"))
    async with asking.taken(3) as deliveries:
        await cold.jobs.handle(deliveries)
        states = [(await asking.read(job)).state for job in (text, title, unknown)]
        # Not claimed: no lease can run out.
        assert states == [State.QUEUED, State.SUCCEEDED, State.QUEUED]
        cold.encoder.gate.set()
        await asking.heard(text)
        await asking.heard(unknown)
    await asking.waits(0)
    read = await asking.read(text)
    assert (results(read), read.attempts) == (["heat-wave"], 1)


async def test_texts_go_back_when_the_worker_stops_before_its_encoder_is_ready(
    cold: Worker, asking: Asking, films: str
) -> None:
    job = await asking.ask(films, Query(text="heat"))
    async with asking.taken(1) as deliveries:
        await cold.jobs.handle(deliveries)
        await cold.jobs.aclose()
        await asking.send(job)
    await asking.waits(2)
    read = await asking.read(job)
    assert (read.state, read.attempts) == (State.QUEUED, 0)


async def test_texts_come_back_when_the_encoder_cannot_be_loaded(
    cold: Worker, asking: Asking, films: str
) -> None:
    job = await asking.ask(films, Query(text="heat"))
    cold.encoder.error = OSError("no such model")
    async with asking.taken(1) as deliveries:
        await cold.jobs.handle(deliveries)
        cold.encoder.gate.set()
        await come(deliveries, 2)
    await asking.waits(1)
    assert (await asking.read(job)).state is State.QUEUED


async def test_a_catalog_that_is_loading_holds_up_no_other(
    worker: Worker, asking: Asking, films: str, catalog: str, database: Database
) -> None:
    big = f"{catalog}-big"
    await put(database, worker.encoder, indexed(big, "heat"), indexed(big, "heat-again"))
    known = await asking.ask(films, Query(title="alien"))
    waiting = await asking.ask(big, Query(title="heat"))
    release = asyncio.Event()
    load = worker.read_model.load

    async def slowly(catalog: str) -> CatalogMemory:
        await release.wait()
        return await load(catalog)

    worker.read_model.load = slowly  # type: ignore[method-assign]
    async with asking.taken(2) as deliveries:
        await worker.jobs.handle(deliveries)
        states = [(await asking.read(job)).state for job in (known, waiting)]
        assert states == [State.SUCCEEDED, State.QUEUED]
        release.set()
        await asking.heard(waiting)
    await asking.waits(0)
    assert results(await asking.read(waiting)) == ["heat-again"]
