import asyncio
import datetime as dt
import random
from collections.abc import Sequence

import pytest
from sqlalchemy import text

from recmesh.catalog.v1.interaction_pb2 import Interaction
from recmesh_jobs import history_repository
from recmesh_jobs.history import Event
from recmesh_jobs.history_repository import Happened, HistoryRepository, events_of
from recmesh_kit.database import Database
from recmesh_kit.ids import uuid7

VIEW, LIKE, RATING = Interaction.TYPE_VIEW, Interaction.TYPE_LIKE, Interaction.TYPE_RATING
CLICK = Interaction.TYPE_CLICK
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def at(minutes: int) -> dt.datetime:
    return START + dt.timedelta(minutes=minutes)


def did(
    item: str,
    kind: int = VIEW,
    time: int = 0,
    value: float | None = None,
    person: str = "ada",
    written: int = 0,
) -> Happened:
    return Happened(person, Event(item, kind, value, at(time).timestamp()), at(written))


async def add(database: Database, catalog: str, *happened: Happened) -> None:
    async with database.transaction() as session:
        await HistoryRepository(session).add(catalog, happened)


async def read(database: Database, catalog: str, person: str = "ada") -> Sequence[Event]:
    async with database.transaction() as session:
        found = await session.execute(
            text(
                "SELECT items, types, event_values, event_times FROM recommender.user_history"
                " WHERE catalog = :catalog AND user_id = :person"
            ),
            {"catalog": catalog, "person": person},
        )
        row = found.first()
    return () if row is None else events_of(row)


@pytest.fixture
def catalog() -> str:
    return str(uuid7())


async def test_the_newest_comes_first_with_all_that_was_told(
    database: Database, catalog: str
) -> None:
    events = [did("a", VIEW, 1), did("b", RATING, 3, 4.5), did("a", LIKE, 2)]
    await add(database, catalog, *events)
    assert await read(database, catalog) == tuple(events[n].event for n in (1, 2, 0))


async def test_the_latest_of_an_item_and_type_counts_in_whichever_order_they_come(
    database: Database, catalog: str
) -> None:
    events = [did("a", RATING, n, float(n)) for n in range(5)]
    await add(database, catalog, events[2], events[4], events[4])
    await add(database, catalog, events[3])
    await add(database, catalog, events[4], events[0])
    assert await read(database, catalog) == (events[4].event,)


async def test_at_the_same_time_what_was_written_last_counts(
    database: Database, catalog: str
) -> None:
    first, second = did("a", RATING, 1, 5, written=1), did("a", RATING, 1, 2, written=2)
    for order in ([first, second], [second, first]):
        for one in order:
            await add(database, catalog, one)
        assert await read(database, catalog) == (second.event,)


async def test_people_and_catalogs_do_not_mix(database: Database, catalog: str) -> None:
    other = f"{catalog}-2"
    await add(database, catalog, did("a"), did("b", person="bob"))
    await add(database, other, did("c"))
    people = [(catalog, "ada"), (catalog, "bob"), (other, "ada"), (other, "bob")]
    found = [[event.item for event in await read(database, *person)] for person in people]
    assert found == [["a"], ["b"], ["c"], []]


async def test_the_latest_stay_and_the_order_of_arrival_does_not_matter(
    database: Database, catalog: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_repository, "MOST", 5)
    chance = random.Random(7)  # noqa: S311 - an order, the same each time
    events = [
        did(f"i{chance.randrange(12)}", chance.choice((VIEW, LIKE)), time, float(time))
        for time in range(60)
    ]
    histories = []
    for turn in range(4):
        here = f"{catalog}-{turn}"
        chance.shuffle(events)
        # Some come twice.
        told = events + chance.sample(events, 20)
        for start in range(0, len(told), 7):
            await add(database, here, *told[start : start + 7])
        histories.append(await read(database, here))
    latest: dict[tuple[str, int], Event] = {}
    for one in sorted(events, key=lambda one: one.event.time):
        latest[one.event.item, one.event.type] = one.event
    expected = sorted(latest.values(), key=lambda event: event.time, reverse=True)[:5]
    assert [list(history) for history in histories] == [expected] * 4


async def test_what_makes_no_item_seen_does_not_push_out_what_does(
    database: Database, catalog: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_repository, "MOST", 3)
    await add(database, catalog, *(did(f"seen-{n}", VIEW, n) for n in range(5)))
    await add(database, catalog, *(did(f"clicked-{n}", CLICK, 10 + n) for n in range(5)))
    kept = [event.item for event in await read(database, catalog)]
    assert kept == ["clicked-4", "clicked-3", "clicked-2", "seen-4", "seen-3", "seen-2"]


async def test_writers_at_the_same_time_lose_nothing(database: Database, catalog: str) -> None:
    people = [f"p{n}" for n in range(10)]
    await asyncio.gather(
        *(
            add(database, catalog, *(did(f"i{n}", time=n, person=one) for one in order))
            for n in range(10)
            for order in (people if n % 2 else people[::-1],)
        )
    )
    for person in people:
        assert len(await read(database, catalog, person)) == 10


async def bury(
    database: Database, catalog: str, before: dt.datetime | None = None
) -> list[str | None]:
    """Buries a catalog. Answers the last person of each statement."""
    lasts: list[str | None] = [""]
    while lasts[-1] is not None:
        async with database.transaction() as session:
            histories = HistoryRepository(session)
            lasts.append(await histories.bury(catalog, before, after=lasts[-1]))
    return lasts[1:]


@pytest.mark.parametrize("before", [None, at(1)])
async def test_a_burial_forgets_all_of_one_catalog_some_people_at_a_time(
    database: Database, catalog: str, before: dt.datetime | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_repository, "BURIED", 2)
    other = f"{catalog}-2"
    people = ["ada", "bob", "cid", "dan", "eve"]
    for one in (catalog, other):
        await add(database, one, *(did("a", person=person) for person in people))
    assert await bury(database, catalog, before) == ["bob", "dan", "eve", None]
    for person in people:
        assert await read(database, catalog, person) == ()
        assert len(await read(database, other, person)) == 1


async def test_a_late_burial_spares_what_was_written_since(
    database: Database, catalog: str
) -> None:
    # What happened long ago may be written late.
    await add(database, catalog, did("old", time=9, written=1), did("new", time=0, written=6))
    await add(database, catalog, did("old", person="bob", written=2))
    await bury(database, catalog, at(5))
    assert [event.item for event in await read(database, catalog)] == ["new"]
    assert await read(database, catalog, "bob") == ()
