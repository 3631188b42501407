"""Whoever follows the read model by `seq` misses nothing, whatever commits late or never."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from libs.jobs.tests.test_index_repository import ENCODER, item, since, upsert
from recmesh_jobs.index_repository import IndexRepository
from recmesh_jobs.popularity_repository import PopularityRepository
from recmesh_kit.database import Database
from recmesh_kit.ids import uuid7


@pytest.fixture
def catalog() -> str:
    return str(uuid7())


async def last_seq(database: Database, catalog: str) -> int:
    async with database.transaction() as session:
        return (await IndexRepository(session, ENCODER).last_seqs([catalog])).get(catalog, 0)


async def until_someone_waits(database: Database) -> None:
    """Until a statement waits for a lock that another transaction has."""
    waiting = text(
        "SELECT 1 FROM pg_stat_activity"
        " WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    async with asyncio.timeout(60):
        while True:
            async with database.transaction() as session:
                if (await session.execute(waiting)).first():
                    return
            await asyncio.sleep(0.01)


async def test_nobody_is_seen_before_a_lower_number_that_is_not_committed(
    database: Database, catalog: str
) -> None:
    await upsert(database, catalog, item(catalog, "first", 1))
    async with database.transaction() as early:
        await IndexRepository(early, ENCODER).upsert(catalog, [item(catalog, "early", 2)])
        late = asyncio.create_task(upsert(database, catalog, item(catalog, "late", 3)))
        await until_someone_waits(database)
        # A follower who looks now has seen 1, and may go on from there.
        assert [found.item for found in await since(database, catalog)] == ["first"]
        assert await last_seq(database, catalog) == 1
        assert not late.done()
    await late
    found = [(one.seq, one.item) for one in await since(database, catalog, 1)]
    assert found == [(2, "early"), (3, "late")]


async def test_a_writer_that_is_rolled_back_leaves_nothing_to_wait_for(
    database: Database, catalog: str
) -> None:
    with pytest.raises(LookupError):
        await _fail(database, catalog)
    await upsert(database, catalog, item(catalog, "next", 3))
    (found,) = await since(database, catalog)
    assert (found.item, found.seq) == ("next", await last_seq(database, catalog))


async def _fail(database: Database, catalog: str) -> None:
    async with database.transaction() as session:
        await IndexRepository(session, ENCODER).upsert(catalog, [item(catalog, "never", 2)])
        raise LookupError


async def test_numbers_that_no_item_got_are_passed_over(database: Database, catalog: str) -> None:
    await upsert(database, catalog, item(catalog, "a", 5))
    # Both say nothing new: their numbers are given all the same.
    await upsert(database, catalog, item(catalog, "a", 4), item(catalog, "b", 1))
    await upsert(database, catalog, item(catalog, "a", 5))
    await upsert(database, catalog, item(catalog, "c", 6))
    followed = await since(database, catalog, 1)
    assert [one.item for one in followed] == ["b", "c"]
    assert followed[-1].seq == await last_seq(database, catalog)


async def test_likes_and_items_are_numbered_by_one_writer_at_a_time(
    database: Database, catalog: str
) -> None:
    await upsert(database, catalog, item(catalog, "a", 1))
    async with database.transaction() as early:
        likes = {("a", "ann"): datetime.now(UTC)}
        await PopularityRepository(early, ENCODER).add(catalog, likes)
        late = asyncio.create_task(upsert(database, catalog, item(catalog, "b", 2)))
        await until_someone_waits(database)
        assert [found.item for found in await since(database, catalog, 1)] == []
    await late
    found = [(one.seq, one.item, one.popularity) for one in await since(database, catalog, 1)]
    assert found == [(2, "a", 1.0), (3, "b", 0.0)]


async def test_a_change_that_comes_twice_and_late_is_numbered_once(
    database: Database, catalog: str
) -> None:
    changes = [item(catalog, "a", revision) for revision in (3, 1, 3, 2, 1)]
    for change in changes:
        await upsert(database, catalog, change)
    (found,) = await since(database, catalog)
    assert (found.revision, found.seq) == (3, 1)
