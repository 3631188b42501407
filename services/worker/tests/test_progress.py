from collections.abc import AsyncIterator

import pytest
from aio_pika.abc import AbstractChannel, AbstractQueue

from recmesh.events.v1.job_events_pb2 import IndexAdvanced
from recmesh_jobs.index_repository import IndexRepository
from recmesh_kit import layout
from recmesh_kit.broker import Broker
from recmesh_kit.database import Database
from recmesh_kit.ids import uuid7
from recmesh_worker.progress import Progress
from services.worker.tests.conftest import WordEncoder, eventually, indexed, put


class Listener:
    """Hears of one catalog's index."""

    def __init__(self, queue: AbstractQueue) -> None:
        self._queue = queue

    async def hears(self) -> tuple[int, int]:
        """The next message: the sequence and the count."""
        found: list[IndexAdvanced] = []

        async def told() -> bool:
            message = await self._queue.get(fail=False, no_ack=True)
            if message is not None:
                found.append(IndexAdvanced.FromString(message.body))
            return bool(found)

        await eventually(told)
        assert found[0].version == 1
        return found[0].sequence, found[0].searchable_item_count

    async def nothing(self) -> bool:
        return await self._queue.get(fail=False, no_ack=True) is None


@pytest.fixture
async def listener(
    channel: AbstractChannel, broker: Broker, catalog: str
) -> AsyncIterator[Listener]:
    queue = await channel.declare_queue(f"progress-{uuid7().hex}", durable=True)
    await queue.bind(layout.RECOMMENDER_EVENTS.name, layout.index_key(catalog))
    yield Listener(queue)
    await queue.delete(if_unused=False, if_empty=False)


@pytest.fixture
def encoder() -> WordEncoder:
    """Its own, so that no other test's catalogs are told of."""
    return WordEncoder(f"words-{uuid7().hex}")


async def test_what_can_be_recommended_is_told_when_the_index_has_changed(
    database: Database, broker: Broker, listener: Listener, encoder: WordEncoder, catalog: str
) -> None:
    progress = Progress(database, broker, encoder.id, again_seconds=3600)
    await put(
        database,
        encoder,
        indexed(catalog, "alien"),
        indexed(catalog, "heat"),
        indexed(catalog, "hidden", hidden=True),
        indexed(catalog, "bare", vector=None),
        indexed(catalog, "gone", deleted=True, vector=None),
    )
    await progress.tell()
    assert await listener.hears() == (5, 2)
    # Nothing new: what comes next is the burial.
    await progress.tell()
    async with database.transaction() as session:
        await IndexRepository(session, encoder.id).bury(catalog)
    await progress.tell()
    assert await listener.hears() == (6, 0)


async def test_it_is_told_again_after_a_while(
    database: Database, broker: Broker, listener: Listener, encoder: WordEncoder, catalog: str
) -> None:
    progress = Progress(database, broker, encoder.id, again_seconds=0)
    await put(database, encoder, indexed(catalog, "alien"))
    for _ in range(2):
        await progress.tell()
        assert await listener.hears() == (1, 1)
    assert await listener.nothing()
