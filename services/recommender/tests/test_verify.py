"""What a comparison of the read model with a catalog finds, and what it has repaired."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import pytest

from recmesh.catalog.v1.interaction_pb2 import Interaction
from recmesh_jobs.history import Event
from recmesh_jobs.history_repository import MOST, Happened, HistoryRepository
from recmesh_jobs.index_repository import IndexRepository
from recmesh_jobs.items import IndexedItem
from recmesh_jobs.popularity_repository import PopularityRepository
from recmesh_jobs.verify_repository import VerifyRepository
from recmesh_kit.database import Database
from recmesh_kit.errors import Unavailable
from recmesh_kit.ids import uuid7
from recmesh_recommender.verify import patience, service
from recmesh_recommender.verify.errors import AlreadyComparing
from recmesh_recommender.verify.findings import (
    CatalogItem,
    Deed,
    Finding,
    ItemChange,
    ItemPage,
    Progress,
)
from recmesh_recommender.verify.service import Verifier
from services.recommender.tests.conftest import sql

OLD, NEW = "encoder-1", "encoder-2"
LONG_AGO = 1_000_000.0
LIKE, RATING = Interaction.TYPE_LIKE, Interaction.TYPE_RATING


@dataclass
class Source:
    """A catalog that says what it was told to; `then` runs when single items are asked for."""

    living: dict[str, CatalogItem] = field(default_factory=dict)
    exported: dict[str, CatalogItem] | None = None
    deeds: list[Deed] = field(default_factory=list)
    revision: int = 100
    then: Callable[[], object] | None = None
    asked: int = 0

    async def all_items(self, catalog: str) -> AsyncGenerator[ItemPage]:
        items = self.living if self.exported is None else self.exported
        yield ItemPage(list(items.values()), self.revision)

    async def all_interactions(self, catalog: str) -> AsyncGenerator[Sequence[Deed]]:
        yield self.deeds

    async def items(self, catalog: str, ids: Collection[str]) -> Mapping[str, CatalogItem]:
        self.asked += 1
        if self.then is not None:
            await self.then()  # type: ignore[misc]
        return {item: self.living[item] for item in ids if item in self.living}


@dataclass
class Told:
    """Hears what is told once more."""

    changes: list[ItemChange] = field(default_factory=list)
    deeds: list[Deed] = field(default_factory=list)
    away: bool = False

    def check(self) -> None:
        if self.away:
            raise Unavailable("The broker is away.")

    async def items(self, catalog: str, changes: Collection[ItemChange]) -> None:
        self.changes += changes

    async def interactions(self, catalog: str, deeds: Sequence[Deed]) -> None:
        self.deeds += deeds


@dataclass
class Case:
    """A catalog, what the read model has of it, and ways to compare the two."""

    database: Database
    catalog: str = field(default_factory=lambda: str(uuid7()))
    source: Source = field(default_factory=Source)
    told: Told = field(default_factory=Told)

    def in_catalog(self, **revisions: int) -> None:
        self.source.living = {
            item: CatalogItem(item, revision, LONG_AGO) for item, revision in revisions.items()
        }

    async def indexed(self, encoder: str = OLD, **revisions: int) -> None:
        vector = np.ones(4, np.float32)
        rows = [
            IndexedItem(catalog=self.catalog, item=item, revision=revision, seq=0, vector=vector)
            for item, revision in revisions.items()
        ]
        async with self.database.transaction() as session:
            await IndexRepository(session, encoder).upsert(self.catalog, rows)

    async def change(self, assignment: str, item: str) -> None:
        """Damages a row."""
        await sql(
            self.database,
            f"UPDATE recommender.item_index SET {assignment} WHERE catalog = :c AND item = :i",  # noqa: S608
            c=self.catalog,
            i=item,
        )

    async def known(self, *deeds: Deed) -> None:
        """Has the read model know of deeds."""
        async with self.database.transaction() as session:
            happened = [deed.happened for deed in deeds]
            await HistoryRepository(session).add(self.catalog, happened)
            likes = {
                (h.event.item, h.person): h.write_time for h in happened if h.event.type == LIKE
            }
            await PopularityRepository(session, OLD).add(self.catalog, likes)

    def verifier(self, settle_seconds: float = 0.0) -> Verifier:
        return Verifier(self.database, self.source, self.told, settle_seconds=settle_seconds)

    async def found(self, *, repair: bool = False, settle_seconds: float = 0.0) -> Progress:
        verifying = self.verifier(settle_seconds).verify(self.catalog, repair=repair)
        *_, last = [progress async for progress in verifying]
        assert last.done
        return last


def deed(person: str, item: str, at: float = 1.0, kind: int = LIKE, name: str = "") -> Deed:
    event = Event(item, kind, None, at)
    happened = Happened(person, event, datetime.fromtimestamp(LONG_AGO, UTC))
    return Deed(name or f"{person}-{item}-{at}", happened, b"")


def counts(finding: Finding) -> tuple[int, int, int, int]:
    return finding.checked, finding.missing, finding.stale, finding.surplus


@pytest.fixture
def case(database: Database) -> Case:
    return Case(database)


@pytest.fixture
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is on its way is looked for again at once."""
    monkeypatch.setattr(patience, "LOOK_SECONDS", 0.01)


async def test_what_is_the_same_differs_in_nothing(case: Case) -> None:
    case.in_catalog(alien=3, heat=4)
    await case.indexed(alien=3, heat=4)
    liked = deed("ann", "alien")
    case.source.deeds = [liked]
    await case.known(liked)
    found = await case.found(repair=True)
    assert counts(found.items) == (2, 0, 0, 0)
    assert counts(found.interactions) == (1, 0, 0, 0)
    assert not case.told.changes
    assert not case.told.deeds


async def test_items_that_differ_are_told_once_more(case: Case) -> None:
    case.in_catalog(lost=3, old=4, blank=5, fine=6)
    await case.indexed(old=2, blank=5, fine=6, gone=7)
    await case.change("vector = NULL", "blank")
    found = (await case.found()).items
    assert counts(found) == (4, 1, 2, 1)
    assert sorted(found.samples) == ["blank", "gone", "lost", "old"]
    assert found.repaired == 0
    assert not case.told.changes
    assert (await case.found(repair=True)).items.repaired == 4
    assert sorted((c.item, c.revision, c.deleted) for c in case.told.changes) == [
        ("blank", 5, False),
        ("gone", 100, True),
        ("lost", 3, False),
        ("old", 4, False),
    ]


async def test_without_an_index_everything_is_missing(case: Case) -> None:
    case.in_catalog(alien=3, heat=4)
    found = (await case.found(repair=True)).items
    assert counts(found) == (2, 2, 0, 0)
    assert len(case.told.changes) == 2


async def test_an_item_is_wrong_when_it_is_for_one_encoder(case: Case) -> None:
    case.in_catalog(alien=3, heat=4)
    await case.indexed(OLD, alien=3, heat=4)
    await case.indexed(NEW, alien=3)
    assert counts((await case.found()).items) == (2, 1, 0, 0)


@pytest.mark.parametrize(
    "wrong",
    ["deleted = true, vector = NULL", "revision = 999"],
    ids=["a tombstone at the same revision", "ahead of a catalog that was restored"],
)
async def test_what_counts_as_known_can_be_written_anew(case: Case, wrong: str) -> None:
    case.in_catalog(alien=3)
    await case.indexed(alien=3)
    await case.change(wrong, "alien")
    found = (await case.found(repair=True)).items
    assert found.missing + found.stale == 1
    (change,) = case.told.changes
    # As the indexer does: it passes over what it knows at this revision or a later one.
    async with case.database.transaction() as session:
        known = await IndexRepository(session, OLD).revisions(case.catalog, ["alien"])
    assert known["alien"] < change.revision
    await case.indexed(alien=change.revision)
    assert counts((await case.found()).items) == (1, 0, 0, 0)


async def test_what_the_catalog_does_not_have_can_be_buried_at_any_revision(case: Case) -> None:
    await case.indexed(gone=999)
    await case.found(repair=True)
    (change,) = case.told.changes
    tombstone = IndexedItem(
        catalog=case.catalog, item="gone", revision=change.revision, seq=0, deleted=True
    )
    async with case.database.transaction() as session:
        await IndexRepository(session, OLD).upsert(case.catalog, [tombstone])
    assert counts((await case.found()).items) == (0, 0, 0, 0)


async def test_an_item_that_changes_meanwhile_is_compared_as_it_is_then(case: Case) -> None:
    case.in_catalog(alien=9, heat=5)
    case.source.exported = {
        "alien": CatalogItem("alien", 3, LONG_AGO),
        "heat": CatalogItem("heat", 5, LONG_AGO),
        "ran": CatalogItem("ran", 4, LONG_AGO),
    }
    await case.indexed(alien=9, heat=5, ran=4)
    await case.change("deleted = true, vector = NULL", "ran")
    assert counts((await case.found()).items) == (3, 0, 0, 0)


@pytest.mark.usefixtures("looks_often")
async def test_what_is_on_its_way_has_time_to_arrive(case: Case) -> None:
    case.source.living = {"alien": CatalogItem("alien", 3, time.time())}
    await case.indexed(gone=2)

    async def arrives() -> None:
        # The first look finds it lacking.
        if case.source.asked == 3:
            await case.indexed(alien=3)
            await case.change("deleted = true", "gone")

    case.source.then = arrives
    assert counts((await case.found(settle_seconds=60)).items) == (1, 0, 0, 0)


async def test_what_should_have_arrived_long_ago_is_not_waited_for(case: Case) -> None:
    case.in_catalog(alien=3)
    begun = time.monotonic()
    assert (await case.found(settle_seconds=3600)).items.missing == 1
    assert time.monotonic() - begun < 60


async def test_interactions_that_are_lacking_are_told_once_more(case: Case) -> None:
    lost, late, fine = deed("ann", "lost"), deed("ann", "late", 5.0), deed("bob", "fine")
    rated = deed("cid", "lost", kind=RATING)
    case.source.deeds = [lost, late, fine, rated]
    await case.known(deed("ann", "late", 2.0), fine)
    found = (await case.found(repair=True)).interactions
    assert counts(found) == (4, 2, 1, 0)
    assert found.repaired == 3
    assert set(found.samples) == {lost.id, late.id, rated.id}
    assert sorted(deed.id for deed in case.told.deeds) == sorted([lost.id, late.id, rated.id])
    await case.known(*case.told.deeds)
    assert counts((await case.found()).interactions) == (4, 0, 0, 0)


async def test_an_earlier_event_of_the_same_kind_is_not_lacking(case: Case) -> None:
    first, last = deed("ann", "alien", 1.0), deed("ann", "alien", 2.0)
    case.source.deeds = [first, last]
    await case.known(first, last)
    assert counts((await case.found()).interactions) == (2, 0, 0, 0)


async def test_a_like_that_is_not_counted_is_lacking(case: Case) -> None:
    liked = deed("ann", "alien")
    case.source.deeds = [liked]
    await case.known(liked)
    await sql(
        case.database, "DELETE FROM recommender.item_likes WHERE catalog = :c", c=case.catalog
    )
    assert counts((await case.found()).interactions) == (1, 1, 0, 0)


async def test_what_was_cut_off_a_long_history_is_not_lacking(case: Case) -> None:
    ratings = [deed("ann", f"film-{n}", float(n), RATING) for n in range(MOST + 20)]
    case.source.deeds = ratings
    await case.known(*ratings)
    assert counts((await case.found()).interactions) == (MOST + 20, 0, 0, 0)
    newest = deed("ann", "new", 1e6, RATING)
    case.source.deeds = [*ratings, newest]
    found = (await case.found()).interactions
    assert (found.missing, found.samples) == (1, [newest.id])


@pytest.mark.usefixtures("looks_often")
async def test_interactions_on_their_way_have_time_to_arrive(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = Deed("1", Happened("ann", deed("ann", "alien").happened.event, datetime.now(UTC)), b"")
    case.source.deeds = [fresh]
    looks: list[int] = []
    lacking = VerifyRepository.lacking

    async def look(self: VerifyRepository, happened: Sequence[Happened]) -> Mapping[int, bool]:
        found = await lacking(self, happened)
        looks.append(len(found))
        # After the first look and its repetition.
        if len(looks) == 2:
            await case.known(fresh)
        return found

    monkeypatch.setattr(VerifyRepository, "lacking", look)
    assert counts((await case.found(settle_seconds=60)).interactions) == (1, 0, 0, 0)
    assert looks == [1, 1, 0]


async def test_many_of_everything_in_small_groups(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recmesh_recommender.verify.items.MOST_SUSPECTS", 3)
    monkeypatch.setattr("recmesh_recommender.verify.items.PAGE", 2)
    monkeypatch.setattr("recmesh_recommender.verify.interactions.MOST_SUSPECTS", 3)
    monkeypatch.setattr("recmesh_recommender.verify.interactions.PEOPLE", 2)
    monkeypatch.setattr(service, "TELL_EVERY", 1)
    case.in_catalog(**{f"lost-{n}": n + 1 for n in range(7)})
    await case.indexed(OLD, **{f"gone-{n}": n + 1 for n in range(7)})
    case.source.deeds = [deed(f"p{n}", f"film-{m}") for n in range(5) for m in range(3)]
    seen = [
        (progress.items.checked, progress.interactions.checked, progress.done)
        async for progress in case.verifier().verify(case.catalog, repair=True)
    ]
    assert seen == [(7, 0, False), (7, 15, False), (7, 15, True)]
    assert len(case.told.changes) == 14
    assert len(case.told.deeds) == 15


async def test_one_comparison_at_a_time(case: Case) -> None:
    case.in_catalog(alien=3)
    verifier = case.verifier()
    first = verifier.verify(case.catalog, repair=False)
    await anext(first)
    with pytest.raises(AlreadyComparing):
        await anext(verifier.verify(case.catalog, repair=False))
    # Whoever goes away makes room.
    await first.aclose()
    await anext(verifier.verify(case.catalog, repair=False))


async def test_without_the_broker_nothing_is_begun_that_is_to_be_repaired(case: Case) -> None:
    case.told.away = True
    case.in_catalog(alien=3)
    with pytest.raises(Unavailable):
        await case.found(repair=True)
    assert case.source.asked == 0
    assert (await case.found()).items.missing == 1
