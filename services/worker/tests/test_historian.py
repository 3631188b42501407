import asyncio
import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass

import pytest
from sqlalchemy import text

from recmesh.catalog.v1.interaction_pb2 import Interaction
from recmesh.events.v1 import catalog_events_pb2 as events
from recmesh_jobs.history import Event
from recmesh_jobs.history_repository import Happened, HistoryRepository
from recmesh_jobs.index_repository import since
from recmesh_jobs.messages import timestamp
from recmesh_kit.database import Database
from recmesh_kit.errors import Unavailable
from recmesh_worker.historian import Historian
from services.worker.tests.conftest import (
    Shelf,
    Telling,
    Told,
    WordEncoder,
    come,
    eventually,
    gone,
    history_of,
    indexed,
    put,
    written,
)

VIEW, LIKE = Interaction.TYPE_VIEW, Interaction.TYPE_LIKE
RATING = Interaction.TYPE_RATING
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def at(minutes: int) -> dt.datetime:
    return START + dt.timedelta(minutes=minutes)


@dataclass
class Histories:
    """A historian on a queue of its own."""

    historian: Historian
    shelf: Shelf
    encoder: WordEncoder
    telling: Telling
    database: Database
    catalog: str

    def did(
        self,
        user: str,
        item: str,
        kind: Interaction.Type.ValueType = VIEW,
        *,
        time: int = 0,
        written: int = 0,
        value: float | None = None,
    ) -> Interaction:
        return Interaction(
            user=user,
            item=f"catalogs/{self.catalog}/items/{item}",
            type=kind,
            value=value,
            event_time=timestamp(at(time)),
            create_time=timestamp(at(written)),
        )

    def told(self, *interactions: Interaction) -> Told:
        return written(self.catalog, *interactions)

    async def tell(self, *told: Told) -> None:
        await self.telling.tell(self.historian.handle, *told)

    async def of(self, user: str) -> tuple[Event, ...]:
        async with self.database.transaction() as session:
            return await history_of(session, self.catalog, user)

    async def items_of(self, user: str) -> list[str]:
        return [event.item for event in await self.of(user)]

    async def popularity(self) -> dict[str, float]:
        async with self.database.driver() as connection:
            found = await since(connection, self.encoder.id, self.catalog, 0, 100)
        return {item.item: item.popularity for item in found}


@pytest.fixture
async def histories(database: Database, telling: Telling, catalog: str) -> Histories:
    encoder, shelf = WordEncoder(), Shelf()
    historian = Historian(database, shelf, encoder.id)
    return Histories(historian, shelf, encoder, telling, database, catalog)


async def test_what_people_did_is_known_without_an_encoder(histories: Histories) -> None:
    did = histories.did
    await histories.tell(
        histories.told(did("ada", "alien", RATING, time=1, value=4.5), did("bob", "heat")),
        histories.told(did("ada", "heat", LIKE, time=2)),
    )
    assert await histories.of("ada") == (
        Event("heat", LIKE, None, at(2).timestamp()),
        Event("alien", RATING, 4.5, at(1).timestamp()),
    )
    assert await histories.items_of("bob") == ["heat"]
    assert not histories.encoder.loaded


async def test_a_message_that_comes_twice_or_late_changes_nothing(histories: Histories) -> None:
    old = histories.told(histories.did("ada", "alien", RATING, time=1, value=1))
    new = histories.told(histories.did("ada", "alien", RATING, time=2, value=5))
    await histories.tell(new, new)
    await histories.tell(old)
    assert await histories.of("ada") == (Event("alien", RATING, 5, at(2).timestamp()),)


async def test_people_who_like_something_are_counted_once(histories: Histories) -> None:
    catalog, did = histories.catalog, histories.did
    await put(
        histories.database,
        histories.encoder,
        *(indexed(catalog, name) for name in ("alien", "heat")),
    )
    first = histories.told(did("ada", "alien", LIKE), did("bob", "alien", VIEW))
    await histories.tell(first)
    again = histories.told(
        did("ada", "alien", Interaction.TYPE_PURCHASE),
        did("ada", "heat", Interaction.TYPE_BOOKMARK),
    )
    await histories.tell(first, again)
    assert await histories.popularity() == {"alien": 2, "heat": 1}


@pytest.mark.parametrize("kind", [Interaction.TYPE_DISLIKE, Interaction.TYPE_CLICK, RATING])
async def test_what_says_no_liking_does_not_count(
    histories: Histories, kind: Interaction.Type.ValueType
) -> None:
    await put(histories.database, histories.encoder, indexed(histories.catalog, "alien"))
    await histories.tell(histories.told(histories.did("ada", "alien", kind)))
    assert await histories.popularity() == {"alien": 0}


async def test_few_people_are_merged_at_once(
    histories: Histories, monkeypatch: pytest.MonkeyPatch
) -> None:
    merged: list[set[str]] = []
    add = HistoryRepository.add

    async def noted(self: HistoryRepository, catalog: str, happened: Collection[Happened]) -> None:
        merged.append({one.person for one in happened})
        await add(self, catalog, happened)

    monkeypatch.setattr(HistoryRepository, "add", noted)
    monkeypatch.setattr("recmesh_worker.historian.PEOPLE", 2)
    people = [f"p{n}" for n in range(5)]
    await histories.tell(
        *(histories.told(*(histories.did(one, item) for one in people)) for item in ("a", "b"))
    )
    assert merged == [{"p0", "p1"}, {"p2", "p3"}, {"p4"}]
    for one in people:
        assert sorted(await histories.items_of(one)) == ["a", "b"]


async def test_a_deleted_catalog_leaves_no_history_and_no_likes(histories: Histories) -> None:
    await put(histories.database, histories.encoder, indexed(histories.catalog, "alien"))
    await histories.tell(histories.told(histories.did("ada", "alien", LIKE)))
    # What was told before the deletion goes with it, in the same batch too.
    await histories.tell(
        histories.told(histories.did("bob", "alien", LIKE)), gone(histories.catalog)
    )
    assert await histories.of("ada") == await histories.of("bob") == ()
    assert await histories.popularity() == {"alien": 0}


async def test_a_late_burial_spares_what_was_written_in_the_next_catalog_of_that_name(
    histories: Histories,
) -> None:
    await put(histories.database, histories.encoder, indexed(histories.catalog, "alien"))
    did = histories.did
    await histories.tell(histories.told(did("ada", "alien", LIKE, time=9, written=1)))
    histories.shelf.created[histories.catalog] = at(5)
    # Long ago, but told to the new catalog.
    await histories.tell(histories.told(did("bob", "alien", LIKE, time=0, written=6)))
    await histories.tell(gone(histories.catalog))
    assert await histories.of("ada") == ()
    assert await histories.items_of("bob") == ["alien"]
    assert await histories.popularity() == {"alien": 1}


async def test_a_burial_is_kept_until_the_catalog_service_answers(histories: Histories) -> None:
    await histories.tell(histories.told(histories.did("ada", "alien")))
    histories.shelf.errors = [Unavailable("away")]
    await histories.tell(gone(histories.catalog))
    assert await histories.of("ada") == ()


async def test_messages_that_are_none_are_dropped_and_newer_ones_stay(
    histories: Histories,
) -> None:
    newer = events.InteractionsWritten(version=2, catalog=histories.catalog).SerializeToString()
    await histories.telling.send(
        ("interaction.x", b"\xff\xff"),
        histories.told(Interaction(user="ada", item="nothing", type=LIKE)),
        ("weather.x", b"unknown"),
        ("interaction.x", newer),
        histories.told(histories.did("ada", "alien")),
    )
    asking = histories.telling.asking
    async with asking.taken(5) as deliveries:
        task = asyncio.create_task(histories.historian.handle(deliveries))

        async def again() -> bool:
            return len(deliveries) > 5

        await eventually(again)
        await task
    await asking.waits(1)
    assert await histories.items_of("ada") == ["alien"]


async def test_a_message_that_breaks_something_takes_no_neighbour_along(
    histories: Histories,
) -> None:
    # PostgreSQL stores no NUL in a text.
    broken = histories.told(histories.did("ann", "a\x00b"))
    good = [histories.told(histories.did(user, "alien")) for user in ("bob", "eve")]
    await histories.tell(good[0], broken, good[1])
    assert [await histories.items_of(user) for user in ("ann", "bob", "eve")] == [
        [],
        ["alien"],
        ["alien"],
    ]


async def test_what_comes_again_after_the_burial_of_its_catalog_is_left_out(
    histories: Histories,
) -> None:
    did = histories.did
    for created, kept in ((None, []), (at(5), ["heat"])):
        if created is not None:
            histories.shelf.created[histories.catalog] = created
        await histories.telling.send(
            histories.told(did("ada", "alien", LIKE, written=1), did("ada", "heat", written=9))
        )
        # A worker has died that had them in hand.
        async with histories.telling.asking.taken(1) as deliveries:
            await deliveries[0].nack(requeue=True)
            await come(deliveries, 2)
            assert deliveries[1].redelivered
            await histories.historian.handle(deliveries[1:])
        assert await histories.items_of("ada") == kept
        async with histories.database.transaction() as session:
            likes = text("SELECT count(*) FROM recommender.item_likes WHERE catalog = :catalog")
            assert await session.scalar(likes, {"catalog": histories.catalog}) == len(kept)
