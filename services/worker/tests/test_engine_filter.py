"""Filters: what they select, when they are relaxed, and that masks follow the catalog."""

import pytest

from recmesh_jobs.items import IndexedItem
from recmesh_kit.filters.check import read
from recmesh_kit.filters.schema import ITEMS
from recmesh_kit.filters.tree import Condition
from recmesh_worker.engine.memory import CatalogMemory
from recmesh_worker.engine.query import Fallback, SeedKind
from recmesh_worker.engine.rank import Ranker
from recmesh_worker.models.content import ContentModel
from recmesh_worker.models.popularity import PopularityModel
from services.worker.tests.engine_items import CRIME, LOVE, SPACE, D, ask, film, names


def condition(text: str) -> Condition:
    found = read(text, ITEMS)
    assert found is not None
    return found


@pytest.fixture
def memory() -> CatalogMemory:
    memory = CatalogMemory("films", D)
    memory.apply(
        [
            film("alien", 1, SPACE, title="Alien", genres=("Horror",), labels={"studio": "Fox"}),
            film("gravity", 2, SPACE, genres=("Drama", "Space"), average_rating=4.5, language="en"),
            film("solaris", 3, SPACE, hidden=True, genres=("Drama",)),
            film("heat", 4, CRIME, directors=("Mann",), release_year=None, popularity=3.0),
            film("ronin", 5, CRIME, cast=("De Niro",), tags=("Chase",), labels={"studio": ""}),
            film("amelie", 6, LOVE, genres=("drama",), average_rating=4.0, language="fr"),
            film("unembedded", 7, LOVE, vector=None, genres=("Drama",)),
        ]
    )
    return memory


@pytest.fixture
def ranker() -> Ranker:
    return Ranker(ContentModel(), PopularityModel(), ["en"])


def selected(memory: CatalogMemory, text: str) -> set[str]:
    mask = memory.filters.select(condition(text))
    return {memory.row(row).item.item for row in mask.nonzero()[0].tolist()}


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ('genres:"Drama"', {"gravity", "solaris", "amelie", "unembedded"}),
        ("release_year >= 1985", {"ronin", "amelie", "unembedded"}),
        ("release_year < 3000", {"alien", "gravity", "solaris", "ronin", "amelie", "unembedded"}),
        ("average_rating > 4", {"gravity"}),
        ("directors:mann OR cast:*niro", {"heat", "ronin"}),
        ("tags:chase", {"ronin"}),
        ("title:li", {"alien", "amelie"}),
        ("language = fr", {"amelie"}),
        ("hidden = true", {"solaris"}),
        ("labels.studio = fox", {"alien"}),
        ("labels:studio", {"alien", "ronin"}),
        ("labels:*", {"alien", "ronin"}),
        ("NOT labels:* AND hidden = false", {"gravity", "heat", "amelie", "unembedded"}),
        ("horror", {"alien"}),
    ],
)
def test_each_field_selects(memory: CatalogMemory, text: str, items: set[str]) -> None:
    assert selected(memory, text) == items


def test_masks_follow_the_catalog(memory: CatalogMemory) -> None:
    filters = ["genres:drama", "release_year >= 2000", "title:*", "labels:*", "hidden = true"]
    for text in filters:
        selected(memory, text)
    memory.apply(
        [
            film("gravity", 20, SPACE, revision=2, genres=("Space",), labels={"a": "b"}),
            film("new", 21, SPACE, genres=("Drama",), hidden=True),
            IndexedItem(catalog="films", item="amelie", revision=9, seq=22, deleted=True),
            film("reused row", 23, LOVE, genres=("Drama", "Comedy")),
        ]
    )
    assert selected(memory, "genres:drama") == {"solaris", "unembedded", "new", "reused row"}
    assert selected(memory, "release_year >= 2000") == {"gravity", "new", "reused row"}
    assert selected(memory, "title:*") == {
        "alien", "gravity", "solaris", "heat", "ronin", "unembedded", "new", "reused row",
    }  # fmt: skip
    assert selected(memory, "labels:*") == {"alien", "ronin", "gravity"}
    assert selected(memory, "hidden = true") == {"solaris", "new"}


def test_many_changes_are_followed_too(memory: CatalogMemory) -> None:
    assert selected(memory, "tags:late") == set()
    memory.apply([film(f"i{n}", 100 + n, LOVE, tags=(f"tag {n}", "late")) for n in range(2_500)])
    assert len(selected(memory, "tags:late")) == 2_500
    memory.apply([film(f"i{n}", 9_000 + n, LOVE, revision=2, tags=()) for n in range(1_500)])
    assert len(selected(memory, "tags:late")) == 1_000
    assert selected(memory, 'tags:"tag 7"') == set()


def test_a_mask_stays_while_only_popularity_changes(memory: CatalogMemory) -> None:
    drama = condition("genres:drama")
    mask = memory.filters.select(drama)
    gravity = film("gravity", 30, SPACE, genres=("Drama", "Space"), average_rating=4.5)
    memory.apply([film("heat", 30, CRIME, directors=("Mann",), release_year=None, popularity=9.0)])
    assert memory.filters.select(drama) is mask
    memory.apply([gravity])
    assert memory.filters.select(drama) is not mask


def test_what_matches_comes_first_and_the_answer_says_that_there_is_more(
    ranker: Ranker, memory: CatalogMemory
) -> None:
    drama = condition("genres:drama")
    answer = ask(ranker, memory, SeedKind.ITEM, "alien", filter=drama, limit=5)
    assert set(names(answer)[:3]) == {"gravity", "amelie", "unembedded"}
    assert len(answer.results) == 5
    assert answer.filter_relaxed
    assert answer.fallback is Fallback.NONE


def test_a_strict_filter_rather_leaves_too_few(ranker: Ranker, memory: CatalogMemory) -> None:
    for text, expected in [("genres:drama", ["gravity", "amelie", "unembedded"]), ("tags:x", [])]:
        for kind, seed in [(SeedKind.ITEM, "alien"), (SeedKind.ITEM, "nobody")]:
            answer = ask(
                ranker, memory, kind, seed, filter=condition(text), strict_filter=True, limit=5
            )
            assert set(names(answer)) == set(expected)
            assert not answer.filter_relaxed


def test_hidden_items_are_not_answered_when_they_are_asked_for(
    ranker: Ranker, memory: CatalogMemory
) -> None:
    hidden = condition("hidden = true")
    strict = ask(ranker, memory, SeedKind.ITEM, "alien", filter=hidden, strict_filter=True)
    assert strict.results == ()
    relaxed = ask(ranker, memory, SeedKind.ITEM, "alien", filter=hidden)
    assert "solaris" not in names(relaxed)
    assert relaxed.filter_relaxed


def test_a_filter_that_leaves_enough_or_all_there_is_was_not_relaxed(
    ranker: Ranker, memory: CatalogMemory
) -> None:
    drama = condition("genres:drama")
    assert not ask(ranker, memory, SeedKind.ITEM, "alien", filter=drama, limit=3).filter_relaxed
    everything = ask(ranker, memory, SeedKind.ITEM, "alien", filter=condition("hidden = false"))
    assert len(everything.results) == 5
    assert not everything.filter_relaxed


def test_a_filter_does_not_make_a_text_less_understood(
    ranker: Ranker, memory: CatalogMemory
) -> None:
    crime = film("any", 1, CRIME).vector
    plain = ask(ranker, memory, SeedKind.TEXT, "a robbery", vector=crime)
    fields = {"vector": crime, "filter": condition("genres:drama"), "strict_filter": True}
    filtered = ask(ranker, memory, SeedKind.TEXT, "a robbery", **fields)
    assert filtered.confidence == pytest.approx(plain.confidence)
    assert plain.confidence > 0.5
