"""The read model as those see it who hold it against the catalog."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from libs.jobs.tests.test_index_repository import ENCODER, item, upsert
from libs.jobs.tests.test_seq_order import until_someone_waits
from recmesh.catalog.v1.interaction_pb2 import Interaction
from recmesh_jobs.history import Event
from recmesh_jobs.history_repository import Happened, HistoryRepository
from recmesh_jobs.index_repository import IndexRepository
from recmesh_jobs.verify_repository import Standing, VerifyRepository
from recmesh_kit.database import Database
from recmesh_kit.ids import uuid7

NOW = datetime(2026, 1, 2, tzinfo=UTC)
RATING, CLICK = Interaction.TYPE_RATING, Interaction.TYPE_CLICK


@pytest.fixture
def catalog() -> str:
    return str(uuid7())


def rated(person: str, film: str, at: float, kind: int = RATING) -> Happened:
    return Happened(person, Event(film, kind, 3.0, at), NOW)


async def lacking(database: Database, catalog: str, *happened: Happened) -> dict[int, bool]:
    async with database.transaction() as session:
        return dict(await VerifyRepository(session, catalog).lacking(happened))


async def test_how_items_stand(database: Database, catalog: str) -> None:
    rows = (
        item(catalog, "alien", 3),
        item(catalog, "gone", 4, deleted=True, vector=None),
        item(catalog, "blank", 5, vector=None),
    )
    await upsert(database, catalog, *rows)
    async with database.transaction() as session:
        repository = VerifyRepository(session, catalog)
        assert await repository.encoders() == [ENCODER]
        assert await repository.standings(ENCODER, ["alien", "gone", "blank", "nobody"]) == {
            "alien": Standing(3, living=True, embedded=True),
            "gone": Standing(4, living=False, embedded=False),
            "blank": Standing(5, living=True, embedded=False),
        }
        assert await repository.standings("another", ["alien"]) == {}
        assert await VerifyRepository(session, "nowhere").encoders() == []


async def test_living_items_page_by_page(database: Database, catalog: str) -> None:
    names = ["B", "a", "Ä", "z-1", "10", "9", "амели", "a b"]
    gone = item(catalog, "gone", 99, deleted=True, vector=None)
    await upsert(database, catalog, gone, *(item(catalog, name, 1) for name in names))
    found: list[str] = []
    while True:
        async with database.transaction() as session:
            repository = VerifyRepository(session, catalog)
            page = await repository.living_after(ENCODER, found[-1] if found else "", 3)
        if not page:
            break
        found += page
    assert sorted(found) == sorted(names)


async def test_a_forgotten_revision_may_be_written_anew(database: Database, catalog: str) -> None:
    await upsert(database, catalog, *(item(catalog, name, 5) for name in ("same", "lower")))
    async with database.transaction() as session:
        repository = VerifyRepository(session, catalog)
        await repository.forget_revisions(ENCODER, {"same": 5, "lower": 6, "nobody": 1})
    async with database.transaction() as session:
        index = IndexRepository(session, ENCODER)
        assert await index.revisions(catalog, ["same", "lower"]) == {"same": 0, "lower": 5}


async def test_whoever_writes_items_is_waited_for(database: Database, catalog: str) -> None:
    """Both lock several items, each in an order of its own."""
    await upsert(database, catalog, item(catalog, "a", 1))
    async with database.transaction() as writing:
        await IndexRepository(writing, ENCODER).upsert(catalog, [item(catalog, "a", 2)])
        async with database.transaction() as session:
            repository = VerifyRepository(session, catalog)
            forgetting = asyncio.create_task(repository.forget_revisions(ENCODER, {"a": 2}))
            await until_someone_waits(database)
            assert not forgetting.done()
            await writing.commit()
            await forgetting


async def test_what_a_history_lacks(database: Database, catalog: str) -> None:
    async with database.transaction() as session:
        known = [rated("ann", "alien", 5.0), rated("ann", "heat", 5.0), rated("bob", "alien", 5.0)]
        await HistoryRepository(session).add(catalog, known)
    found = await lacking(
        database,
        catalog,
        rated("ann", "alien", 5.0),
        rated("ann", "heat", 6.0),
        rated("ann", "ran", 1.0),
        rated("bob", "heat", 1.0),
        rated("bob", "alien", 4.0),
        rated("bob", "alien", 5.0, CLICK),
        rated("cid", "alien", 5.0),
    )
    assert found == {1: True, 2: False, 3: False, 5: False, 6: False}
    assert await lacking(database, catalog) == {}


async def test_what_is_cut_off_is_cut_off_among_its_like(
    database: Database, catalog: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("history_repository", "verify_repository"):
        monkeypatch.setattr(f"recmesh_jobs.{module}.MOST", 3)
    ratings = [rated("ann", f"film-{n}", float(n)) for n in range(5)]
    clicks = [rated("ann", f"film-{n}", float(n), CLICK) for n in range(2)]
    async with database.transaction() as session:
        await HistoryRepository(session).add(catalog, ratings + clicks)
    assert await lacking(database, catalog, *ratings, *clicks) == {}
    # A click older than all those ratings has room among the clicks.
    assert await lacking(database, catalog, rated("ann", "x", -1.0, CLICK)) == {0: False}
    assert await lacking(database, catalog, rated("ann", "x", -1.0)) == {}
    assert await lacking(database, catalog, rated("ann", "x", 2.5)) == {0: False}
