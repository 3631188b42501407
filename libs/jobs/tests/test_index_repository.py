import asyncio
from dataclasses import replace

import numpy as np

from recmesh_jobs import index_repository
from recmesh_jobs.index_repository import IndexRepository
from recmesh_jobs.items import IndexedItem
from recmesh_kit.database import Database
from recmesh_kit.ids import uuid7

ENCODER = "test-encoder"


def item(catalog: str, name: str, revision: int, **fields: object) -> IndexedItem:
    made = IndexedItem(
        catalog=catalog,
        item=name,
        revision=revision,
        seq=0,
        title=name.title(),
        alternate_titles=("Другое",),
        genres=("Drama",),
        labels={"country": "Japan"},
        release_year=1954,
        vector=np.arange(4, dtype=np.float32),
    )
    return replace(made, **fields)  # type: ignore[arg-type]


async def upsert(database: Database, catalog: str, *items: IndexedItem) -> None:
    async with database.transaction() as session:
        await IndexRepository(session, ENCODER).upsert(catalog, items)


async def since(database: Database, catalog: str, seq: int = 0) -> list[IndexedItem]:
    async with database.driver() as connection:
        return await index_repository.since(connection, ENCODER, catalog, seq, 1000)


async def test_an_item_is_read_as_it_was_written(database: Database) -> None:
    catalog = str(uuid7())
    written = item(catalog, "ikiru", 7)
    await upsert(database, catalog, written)
    (found,) = await since(database, catalog)
    assert found.vector is not None
    np.testing.assert_array_equal(found.vector, np.arange(4))
    assert replace(found, vector=None, seq=0).__repr__() == replace(written, vector=None).__repr__()


async def test_an_older_revision_overwrites_nothing(database: Database) -> None:
    catalog = str(uuid7())
    await upsert(database, catalog, item(catalog, "ran", 5))
    await upsert(database, catalog, item(catalog, "ran", 4, title="Older"))
    await upsert(database, catalog, item(catalog, "ran", 5, title="Same"))
    assert [(i.revision, i.title) for i in await since(database, catalog)] == [(5, "Ran")]


async def test_a_follower_sees_what_changed_after_what_it_has_seen(database: Database) -> None:
    catalog = str(uuid7())
    await upsert(database, catalog, item(catalog, "a", 1), item(catalog, "b", 2))
    seen = max(i.seq for i in await since(database, catalog))
    await upsert(database, catalog, item(catalog, "a", 3, deleted=True, vector=None))
    (changed,) = await since(database, catalog, seen)
    assert (changed.item, changed.deleted) == ("a", True)


async def test_concurrent_writers_never_show_a_later_seq_before_an_earlier_one(
    database: Database,
) -> None:
    catalog = str(uuid7())
    seen: dict[int, str] = {}
    done = asyncio.Event()

    async def follow() -> None:
        last = 0
        while True:
            finished = done.is_set()
            for found in await since(database, catalog, last):
                seen[found.seq] = found.item
                last = max(last, found.seq)
            if finished:
                return

    follower = asyncio.create_task(follow())
    await asyncio.gather(
        *(upsert(database, catalog, item(catalog, f"i{n}", n + 1)) for n in range(40))
    )
    done.set()
    await follower
    assert len(set(seen.values())) == 40


async def test_a_buried_catalog_is_tombstones_and_may_come_back(database: Database) -> None:
    catalog = str(uuid7())
    await upsert(database, catalog, item(catalog, "a", 50))
    async with database.transaction() as session:
        await IndexRepository(session, ENCODER).bury(catalog)
    assert [i.deleted for i in await since(database, catalog)] == [True]
    await upsert(database, catalog, item(catalog, "a", 51))
    assert [i.deleted for i in await since(database, catalog)] == [False]


async def test_two_encoders_never_meet(database: Database) -> None:
    catalog = str(uuid7())
    await upsert(database, catalog, item(catalog, "a", 1))
    async with database.driver() as connection:
        assert await index_repository.since(connection, "other-encoder", catalog, 0, 10) == []
    async with database.transaction() as session:
        other = IndexRepository(session, "other-encoder")
        assert await other.last_seqs([catalog]) == {}
