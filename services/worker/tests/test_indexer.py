import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from asyncpg import DeadlockDetectedError

from recmesh.events.v1 import catalog_events_pb2 as events
from recmesh_jobs.index_repository import IndexRepository, since
from recmesh_jobs.items import IndexedItem
from recmesh_kit.database import Database
from recmesh_kit.errors import Unavailable
from recmesh_worker.encoder import EncoderThread
from recmesh_worker.indexer import CHUNK, Indexer
from recmesh_worker.returns import SUSPICIOUS
from services.worker.tests.conftest import (
    WAIT_SECONDS,
    Asking,
    Shelf,
    Telling,
    Told,
    WordEncoder,
    eventually,
    gone,
    vector,
)
from services.worker.tests.working import hang


@dataclass
class Index:
    """An indexer on a queue of its own."""

    indexer: Indexer
    shelf: Shelf
    encoder: WordEncoder
    telling: Telling
    database: Database
    catalog: str

    @property
    def asking(self) -> Asking:
        return self.telling.asking

    async def send(self, *told: Told) -> None:
        await self.telling.send(*told)

    async def tell(self, *told: Told) -> None:
        """Has the indexer handle catalog events as one batch; all are settled after it."""
        await self.telling.tell(self.indexer.handle, *told)

    def changed(self, *names: str, revision: int = 1, deleted: bool = False) -> Told:
        changes = [events.ItemChange(item=n, revision=revision, deleted=deleted) for n in names]
        message = events.ItemsChanged(version=1, catalog=self.catalog, changes=changes)
        return "item.x", message.SerializeToString()

    async def items(self) -> dict[str, IndexedItem]:
        async with self.database.driver() as connection:
            found = await since(connection, self.encoder.id, self.catalog, 0, 10_000)
        return {item.item: item for item in found}

    async def titles(self) -> dict[str, str]:
        """Titles of what is not deleted."""
        return {name: i.title for name, i in (await self.items()).items() if not i.deleted}


@pytest.fixture
async def index(database: Database, telling: Telling, catalog: str) -> AsyncIterator[Index]:
    encoder, shelf = WordEncoder(), Shelf()
    thread = EncoderThread(encoder)
    thread.start()
    indexer = Indexer(database, shelf, thread)
    yield Index(indexer, shelf, encoder, telling, database, catalog)
    await thread.aclose()


async def test_a_new_item_is_fetched_embedded_and_written(index: Index) -> None:
    index.shelf.put(index.catalog, "alien", 3, description="A crew.", release_year=1979)
    await index.tell(index.changed("alien", revision=3))
    (found,) = (await index.items()).values()
    assert (found.item, found.revision, found.release_year) == ("alien", 3, 1979)
    (text,) = index.encoder.texts
    assert "A crew." in text
    assert found.vector is not None
    np.testing.assert_allclose(found.vector, vector(text))


async def test_a_changed_item_is_written_anew_at_the_revision_that_was_fetched(
    index: Index,
) -> None:
    index.shelf.put(index.catalog, "alien", 1)
    await index.tell(index.changed("alien"))
    index.shelf.put(index.catalog, "alien", 5, title="Aliens")
    await index.tell(index.changed("alien", revision=3), index.changed("alien", revision=4))
    (found,) = (await index.items()).values()
    assert (found.title, found.revision) == ("Aliens", 5)
    assert len(index.shelf.asked) == 2


async def test_what_is_known_at_this_revision_or_a_later_one_is_not_fetched(index: Index) -> None:
    index.shelf.put(index.catalog, "alien", 5)
    await index.tell(index.changed("alien", revision=5))
    await index.tell(index.changed("alien", revision=4), index.changed("alien", revision=5))
    assert len(index.shelf.asked) == 1


async def test_a_deleted_item_is_a_tombstone_that_older_news_does_not_raise(index: Index) -> None:
    index.shelf.put(index.catalog, "alien", 1)
    await index.tell(index.changed("alien"))
    await index.tell(
        index.changed("alien", revision=3, deleted=True), index.changed("alien", revision=2)
    )
    assert await index.titles() == {}
    index.shelf.put(index.catalog, "alien", 2)
    await index.tell(index.changed("alien", revision=2))
    assert await index.titles() == {}


async def test_an_item_that_is_gone_by_now_is_left_to_the_message_that_says_so(
    index: Index,
) -> None:
    index.shelf.put(index.catalog, "heat", 1)
    await index.tell(index.changed("alien", "heat"))
    assert await index.titles() == {"heat": "Heat"}


async def test_many_items_are_written_a_part_at_a_time(index: Index) -> None:
    names = [f"film-{n:03}" for n in range(2 * CHUNK + 1)]
    for name in names:
        index.shelf.put(index.catalog, name, 1)
    await index.tell(index.changed(*names))
    assert [len(ids) for ids in index.shelf.asked] == [CHUNK, CHUNK, 1]
    assert sorted(await index.titles()) == names


async def test_an_item_that_breaks_something_is_left_out_alone(index: Index) -> None:
    for name in ("alien", "unspeakable", "heat"):
        index.shelf.put(index.catalog, name, 1)
    await index.tell(index.changed("alien", "unspeakable", "heat"))
    assert sorted(await index.titles()) == ["alien", "heat"]


async def test_a_batch_is_kept_until_the_catalog_answers(index: Index) -> None:
    index.shelf.put(index.catalog, "alien", 1)
    index.shelf.errors = [Unavailable("away")]
    await index.tell(index.changed("alien"))
    assert await index.titles() == {"alien": "Alien"}


async def test_a_batch_that_is_cut_off_goes_back_with_what_is_not_done(index: Index) -> None:
    names = [f"film-{n:03}" for n in range(CHUNK + 1)]
    for name in names:
        index.shelf.put(index.catalog, name, 1)
    reached, stuck = asyncio.Event(), asyncio.Event()
    items = index.shelf.items

    async def fetch(catalog: str, ids: list[str]) -> object:
        if len(index.shelf.asked) == 1:
            reached.set()
            await stuck.wait()
        return await items(catalog, ids)

    index.shelf.items = fetch  # type: ignore[method-assign, assignment]
    await index.send(index.changed(*names))
    async with index.asking.taken(1) as deliveries:
        hand = asyncio.create_task(index.indexer.handle(deliveries))
        await reached.wait()
        hand.cancel()
        await asyncio.wait([hand])
    await index.asking.waits(1)
    assert len(await index.titles()) == CHUNK
    stuck.set()
    async with index.asking.taken(1) as deliveries:
        await index.indexer.handle(deliveries)
    await index.asking.waits(0)
    assert len(await index.titles()) == CHUNK + 1
    assert [len(ids) for ids in index.shelf.asked] == [CHUNK, 1]


async def test_a_batch_that_is_cut_off_ends_though_what_it_waits_for_hides_it(
    index: Index,
) -> None:
    reached = asyncio.Event()

    async def fetch(catalog: str, ids: list[str]) -> None:
        await hang(reached)

    index.shelf.items = fetch  # type: ignore[method-assign, assignment]
    await index.send(index.changed("alien"))
    async with index.asking.taken(1) as deliveries:
        hand = asyncio.create_task(index.indexer.handle(deliveries))
        await reached.wait()
        hand.cancel()
        await asyncio.wait([hand], timeout=WAIT_SECONDS)
        assert hand.cancelled()
    await index.asking.waits(1)


async def test_a_deleted_catalog_is_buried(index: Index) -> None:
    for name in ("alien", "heat"):
        index.shelf.put(index.catalog, name, 1)
    await index.tell(index.changed("alien", "heat"))
    del index.shelf.catalogs[index.catalog]
    await index.tell(gone(index.catalog))
    assert {name: i.deleted for name, i in (await index.items()).items()} == {
        "alien": True,
        "heat": True,
    }
    # A catalog of that name goes on with the revisions.
    index.shelf.put(index.catalog, "heat", 7)
    await index.tell(index.changed("heat", revision=7))
    assert await index.titles() == {"heat": "Heat"}


async def test_a_late_burial_spares_what_is_there_again(index: Index) -> None:
    for name in ("alien", "heat"):
        index.shelf.put(index.catalog, name, 1)
    await index.tell(index.changed("alien", "heat"))
    del index.shelf.catalogs[index.catalog]
    index.shelf.put(index.catalog, "heat", 3)
    await index.tell(index.changed("heat", revision=3))
    await index.tell(gone(index.catalog))
    assert await index.titles() == {"heat": "Heat"}


async def test_a_burial_waits_for_items_that_are_being_written(index: Index) -> None:
    """What was fetched before the catalog was deleted must not be written after its burial."""
    index.shelf.put(index.catalog, "alien", 1)
    index.encoder.encode_gate.clear()
    await index.send(index.changed("alien"))
    async with index.asking.taken(1) as deliveries:
        writing = asyncio.create_task(index.indexer.handle(deliveries))

        async def fetched() -> bool:
            return bool(index.encoder.texts)

        await eventually(fetched)
        del index.shelf.catalogs[index.catalog]
        burying = asyncio.create_task(index.indexer._bury(index.catalog))

        async def waiting() -> bool:
            rows = await index.asking.sql(
                "SELECT 1 FROM pg_locks JOIN pg_database d ON d.oid = database"
                " WHERE locktype = 'advisory' AND NOT granted AND datname = current_database()"
            )
            return bool(rows)

        await eventually(waiting)
        index.encoder.encode_gate.set()
        await asyncio.gather(writing, burying)
    assert await index.titles() == {}
    assert set(await index.items()) == {"alien"}


async def test_messages_that_are_none_are_dropped_and_newer_ones_stay(index: Index) -> None:
    index.shelf.put(index.catalog, "alien", 1)
    newer = events.ItemsChanged(version=2, catalog=index.catalog).SerializeToString()
    await index.send(
        ("item.x", b"\xff\xff"),
        ("weather.x", b"unknown"),
        ("item.x", newer),
        index.changed("alien"),
    )
    async with index.asking.taken(4) as deliveries:
        task = asyncio.create_task(index.indexer.handle(deliveries))

        async def again() -> bool:
            return len(deliveries) > 4

        await eventually(again)
        await task
    await index.asking.waits(1)
    assert await index.titles() == {"alien": "Alien"}


async def test_a_passing_error_of_the_database_leaves_no_change_out(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.shelf.put(index.catalog, "alien", 1)
    upsert = IndexRepository.upsert
    errors: list[Exception] = [DeadlockDetectedError("deadlock detected")]

    async def once_locked(
        repository: IndexRepository, catalog: str, items: Sequence[IndexedItem]
    ) -> None:
        if items and errors:
            raise errors.pop()
        await upsert(repository, catalog, items)

    monkeypatch.setattr(IndexRepository, "upsert", once_locked)
    await index.tell(index.changed("alien"))
    assert not errors
    assert await index.titles() == {"alien": "Alien"}


async def test_a_message_that_may_have_killed_its_worker_is_applied_alone_and_last(
    index: Index,
) -> None:
    for name in ("alien", "heat", "ronin"):
        index.shelf.put(index.catalog, name, 1)
    await index.send(*map(index.changed, ("alien", "heat", "ronin")))
    async with index.asking.taken(3) as deliveries:
        for delivery, count in zip(deliveries, (SUSPICIOUS, 1, 0), strict=True):
            delivery.redelivered = bool(count)
            delivery.__dict__["headers"] = {"x-delivery-count": count}
        await index.indexer.handle(deliveries)
    await index.asking.waits(0)
    assert index.shelf.asked == [["ronin"], ["heat"], ["alien"]]
