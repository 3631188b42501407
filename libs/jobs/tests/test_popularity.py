import asyncio
import datetime as dt
from collections.abc import Iterable

import pytest

from recmesh_jobs import index_repository, popularity_repository
from recmesh_jobs.index_repository import IndexRepository
from recmesh_jobs.items import IndexedItem
from recmesh_jobs.popularity_repository import PopularityRepository
from recmesh_kit.database import Database
from recmesh_kit.ids import uuid7

ENCODER = "test-encoder"
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


async def like(
    database: Database, catalog: str, *likes: tuple[str, str], written: dt.datetime = START
) -> None:
    async with database.transaction() as session:
        await PopularityRepository(session, ENCODER).add(catalog, dict.fromkeys(likes, written))


async def bury(database: Database, catalog: str, before: dt.datetime | None = None) -> int:
    """Buries likes. Answers in how many transactions."""
    turns, more = 0, True
    while more:
        turns += 1
        async with database.transaction() as session:
            more = await PopularityRepository(session, ENCODER).bury(catalog, before)
    return turns


async def index(
    database: Database,
    catalog: str,
    items: Iterable[str],
    revision: int = 1,
    encoder: str = ENCODER,
) -> None:
    async with database.transaction() as session:
        await IndexRepository(session, encoder).upsert(
            catalog,
            [
                IndexedItem(catalog=catalog, item=item, revision=revision, seq=0, title=item)
                for item in items
            ],
        )


async def since(
    database: Database, catalog: str, seq: int = 0, encoder: str = ENCODER
) -> dict[str, IndexedItem]:
    async with database.driver() as connection:
        found = await index_repository.since(connection, encoder, catalog, seq, 1000)
    return {item.item: item for item in found}


async def popularity(database: Database, catalog: str, encoder: str = ENCODER) -> dict[str, float]:
    found = await since(database, catalog, encoder=encoder)
    return {name: item.popularity for name, item in found.items()}


async def last_seq(database: Database, catalog: str) -> int:
    async with database.transaction() as session:
        return (await IndexRepository(session, ENCODER).last_seqs([catalog]))[catalog]


async def test_a_person_counts_once_however_often_it_is_told(database: Database) -> None:
    catalog = str(uuid7())
    await index(database, catalog, ["a", "b"])
    await like(database, catalog, ("a", "ada"), ("a", "ada"), ("a", "bob"))
    await like(database, catalog, ("a", "bob"), ("b", "bob"))
    assert await popularity(database, catalog) == {"a": 2, "b": 1}


async def test_followers_see_what_has_become_popular_and_nothing_else(database: Database) -> None:
    catalog = str(uuid7())
    await index(database, catalog, ["a", "b", "c"])
    seen = await last_seq(database, catalog)
    await like(database, catalog, ("a", "ada"), ("c", "ada"))
    changed = await since(database, catalog, seen)
    assert set(changed) == {"a", "c"}
    seen = await last_seq(database, catalog)
    assert seen == max(item.seq for item in changed.values())
    await like(database, catalog, ("a", "ada"))
    assert await last_seq(database, catalog) == seen


async def test_likes_that_come_before_their_item_count(database: Database) -> None:
    catalog = str(uuid7())
    await like(database, catalog, ("a", "ada"), ("a", "bob"))
    await index(database, catalog, ["a"])
    assert await popularity(database, catalog) == {"a": 2}


async def test_a_changed_item_keeps_its_popularity(database: Database) -> None:
    catalog = str(uuid7())
    await index(database, catalog, ["a"])
    await like(database, catalog, ("a", "ada"))
    await index(database, catalog, ["a"], revision=2)
    assert await popularity(database, catalog) == {"a": 1}


async def test_likes_that_come_together_with_their_items_count(database: Database) -> None:
    catalog = str(uuid7())
    await asyncio.gather(
        *(like(database, catalog, ("a", f"p{n}"), ("b", f"p{n}")) for n in range(20)),
        *(index(database, catalog, [item], revision) for item in "ab" for revision in (1, 2)),
    )
    assert await popularity(database, catalog) == {"a": 20, "b": 20}


async def test_likes_count_for_every_encoder(database: Database) -> None:
    catalog = str(uuid7())
    await index(database, catalog, ["a"], encoder="other")
    await like(database, catalog, ("a", "ada"))
    await index(database, catalog, ["a"])
    assert await popularity(database, catalog, "other") == {"a": 1}
    assert await popularity(database, catalog) == {"a": 1}


async def test_nobody_likes_what_was_buried(database: Database) -> None:
    catalog = str(uuid7())
    await index(database, catalog, ["a", "b"])
    await like(database, catalog, ("a", "ada"), ("a", "bob"), ("b", "ada"))
    seen = await last_seq(database, catalog)
    await bury(database, catalog)
    assert await popularity(database, catalog) == {"a": 0, "b": 0}
    assert set(await since(database, catalog, seen)) == {"a", "b"}
    await like(database, catalog, ("a", "ada"))
    assert (await popularity(database, catalog))["a"] == 1


async def test_likes_are_buried_some_at_a_time(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(popularity_repository, "BURIED", 2)
    catalog = str(uuid7())
    await index(database, catalog, ["a", "b"])
    await like(database, catalog, *((item, f"p{n}") for item in "ab" for n in range(3)))
    await like(database, f"{catalog}-2", ("a", "ada"))
    assert await bury(database, catalog) == 4
    assert await popularity(database, catalog) == {"a": 0, "b": 0}
    assert await bury(database, f"{catalog}-2") == 1


async def test_a_late_burial_spares_who_liked_it_since(database: Database) -> None:
    catalog = str(uuid7())
    later = START + dt.timedelta(minutes=5)
    await index(database, catalog, ["a", "b"])
    await like(database, catalog, ("a", "ada"), ("a", "bob"), ("b", "bob"))
    # Ada likes it in the new catalog of that name as well: she still counts once.
    await like(database, catalog, ("a", "ada"), written=later)
    await bury(database, catalog, later)
    assert await popularity(database, catalog) == {"a": 1, "b": 0}
    await like(database, catalog, ("a", "ada"))
    assert await popularity(database, catalog) == {"a": 1, "b": 0}
