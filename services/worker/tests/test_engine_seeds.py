"""Baskets and histories as seeds, from the query to the answer."""

from datetime import UTC, datetime

import pytest

from recmesh.catalog.v1.interaction_pb2 import Interaction
from recmesh_jobs.history import Event
from recmesh_worker.engine.memory import CatalogMemory
from recmesh_worker.engine.query import Answer, Diversity, Fallback, Reason, ReasonKind, SeedKind
from recmesh_worker.engine.rank import Ranker
from recmesh_worker.models.content import ContentModel
from recmesh_worker.models.popularity import PopularityModel
from services.worker.tests.engine_items import CRIME, LOVE, SPACE, ask, catalog, film, names

NOW = datetime(2026, 3, 1, tzinfo=UTC).timestamp()
ALL = {
    "alien", "event horizon", "gravity", "heat", "casino", "ronin", "amelie", "before sunrise",
    "unembedded",
}  # fmt: skip


@pytest.fixture
def memory() -> CatalogMemory:
    return catalog()


@pytest.fixture
def ranker() -> Ranker:
    return Ranker(ContentModel(), PopularityModel(), ["en"])


def did(item: str, kind: int = Interaction.TYPE_LIKE, *, days: float = 0) -> Event:
    return Event(item, kind, None, NOW - days * 86_400)


def for_you(ranker: Ranker, memory: CatalogMemory, *events: Event, **fields: object) -> Answer:
    return ask(ranker, memory, SeedKind.HISTORY, history=events, **fields)


def test_a_basket_is_answered_by_what_is_like_its_items(
    ranker: Ranker, memory: CatalogMemory
) -> None:
    answer = ask(ranker, memory, SeedKind.ITEMS, items=("alien", "heat", "heat"), limit=4)
    assert set(names(answer)) == {"event horizon", "gravity", "casino", "ronin"}
    assert (answer.fallback, answer.confidence, answer.model) == (Fallback.NONE, 1.0, "content")
    assert answer.resolved is None


def test_a_basket_says_how_much_of_it_is_known(ranker: Ranker, memory: CatalogMemory) -> None:
    items = ("alien", "nobody", "solaris", "nobody else")
    answer = ask(ranker, memory, SeedKind.ITEMS, items=items, limit=2)
    assert names(answer) == ["event horizon", "gravity"]
    assert answer.confidence == 0.25


@pytest.mark.parametrize("items", [("nobody",), ("solaris",), ()])
def test_a_basket_of_unknown_or_hidden_items_gets_popular_ones(
    ranker: Ranker, memory: CatalogMemory, items: tuple[str, ...]
) -> None:
    answer = ask(ranker, memory, SeedKind.ITEMS, items=items, limit=2)
    assert (names(answer), answer.fallback) == (["casino", "gravity"], Fallback.POPULAR)
    assert (answer.confidence, answer.model) == (0.0, "popularity")


def test_nothing_of_a_basket_nor_its_doubles_is_answered(
    ranker: Ranker, memory: CatalogMemory
) -> None:
    memory.apply([film("double", 11, SPACE, title="ALIEN", release_year=1981)])
    for items in [("alien", "unembedded"), ("unembedded", "alien", "casino")]:
        found = set(names(ask(ranker, memory, SeedKind.ITEMS, items=items, limit=50)))
        assert found == ALL - set(items)


def test_a_reason_names_the_liked_item_that_is_nearest(
    ranker: Ranker, memory: CatalogMemory
) -> None:
    answer = for_you(ranker, memory, did("heat"), did("amelie"), did("alien"), limit=5)
    reasons = {result.item: result.reasons for result in answer.results}
    assert reasons["casino"][0] == Reason(
        kind=ReasonKind.SIMILAR, item="heat", title="Heat", genres=("Crime",), cast=("De Niro",)
    )
    assert reasons["casino"][-1] == Reason(kind=ReasonKind.POPULAR)
    assert reasons["before sunrise"][0].item == "amelie"
    assert reasons["event horizon"][0].genres == ("Horror", "Space")


def test_a_disliked_item_is_no_reason(ranker: Ranker, memory: CatalogMemory) -> None:
    dislike = did("heat", Interaction.TYPE_DISLIKE)
    answer = for_you(ranker, memory, dislike, did("amelie"), limit=50)
    told = {reason.item for result in answer.results for reason in result.reasons}
    assert told <= {"amelie", ""}


def test_a_history_keeps_its_tastes_apart(ranker: Ranker, memory: CatalogMemory) -> None:
    answer = for_you(ranker, memory, did("amelie"), did("alien"), limit=4)
    assert {"before sunrise", "event horizon", "gravity"} <= set(names(answer))
    assert (answer.fallback, answer.model) == (Fallback.NONE, "content")
    scores = [result.score for result in answer.results]
    assert scores == sorted(scores, reverse=True)


def test_dislikes_push_away(ranker: Ranker, memory: CatalogMemory) -> None:
    liked = [did("amelie"), did("alien")]
    before = for_you(ranker, memory, *liked, limit=50)
    dislike = did("gravity", Interaction.TYPE_DISLIKE)
    after = for_you(ranker, memory, *liked, dislike, limit=50)
    scores = [
        next(result.score for result in answer.results if result.item == "event horizon")
        for answer in (before, after)
    ]
    assert scores[0] > scores[1]


def test_newer_likes_count_more(ranker: Ranker, memory: CatalogMemory) -> None:
    romance, space = {"before sunrise"}, {"event horizon", "gravity"}
    for newer, older, first in [("amelie", "alien", romance), ("alien", "amelie", space)]:
        answer = for_you(ranker, memory, did(newer), did(older, days=900), limit=1)
        assert set(names(answer)) <= first


def test_what_many_like_comes_nearer(ranker: Ranker, memory: CatalogMemory) -> None:
    vector = film("any", 60, LOVE).vector
    memory.apply(
        [
            film("obscure", 11, LOVE, vector=vector, release_year=None),
            film("famous", 12, LOVE, vector=vector, release_year=None, popularity=50.0),
        ]
    )
    found = names(for_you(ranker, memory, did("amelie")))
    assert found.index("famous") < found.index("obscure")


def test_the_more_is_known_the_surer_it_is(ranker: Ranker, memory: CatalogMemory) -> None:
    likes = [did(name) for name in ("amelie", "alien", "heat")]
    sure = [for_you(ranker, memory, *likes[:n]).confidence for n in (1, 2, 3)]
    assert sure == pytest.approx([0.25, 0.4, 0.5])


@pytest.mark.parametrize(
    "events",
    [
        (),
        (did("of another shelf"),),
        (did("solaris"),),
        (did("alien", Interaction.TYPE_DISLIKE),),
        (did("alien", Interaction.TYPE_CLICK),),
    ],
)
def test_someone_new_gets_popular_items(
    ranker: Ranker, memory: CatalogMemory, events: tuple[Event, ...]
) -> None:
    answer = for_you(ranker, memory, *events, limit=3)
    assert names(answer)[0] == "casino"
    assert (answer.fallback, answer.confidence) == (Fallback.POPULAR, 0.0)
    assert answer.model == "popularity"


def test_what_someone_new_gets_is_varied(ranker: Ranker, memory: CatalogMemory) -> None:
    memory.apply([film(f"crime {n}", 20 + n, CRIME, popularity=8.0 - n / 10) for n in range(5)])
    answer = for_you(ranker, memory, limit=3)
    assert names(answer)[0] == "casino"
    assert "gravity" in names(answer)
    assert len({name for name in names(answer) if name.startswith("crime")}) <= 1


def test_someone_new_who_asks_for_no_diversity_gets_none(
    ranker: Ranker, memory: CatalogMemory
) -> None:
    memory.apply([film(f"crime {n}", 20 + n, CRIME, popularity=8.0 - n / 10) for n in range(5)])
    answer = for_you(ranker, memory, limit=3, diversity=Diversity.NONE)
    assert names(answer) == ["casino", "crime 0", "crime 1"]


def test_what_was_seen_is_not_answered_whatever_the_seed(
    ranker: Ranker, memory: CatalogMemory
) -> None:
    seen = (
        did("gravity", Interaction.TYPE_VIEW),
        did("ronin", Interaction.TYPE_DISLIKE),
        did("amelie", Interaction.TYPE_PURCHASE),
        did("heat", Interaction.TYPE_CLICK),
    )
    questions: list[tuple[SeedKind, dict[str, object], set[str]]] = [
        (SeedKind.HISTORY, {}, set()),
        (SeedKind.ITEM, {"seed": "alien"}, {"alien"}),
        (SeedKind.TITLE, {"seed": "nobody knows it"}, set()),
        (SeedKind.ITEMS, {"items": ("alien",)}, {"alien"}),
    ]
    for kind, fields, seeds in questions:
        answer = ask(ranker, memory, kind, history=seen, limit=50, **fields)
        assert set(names(answer)) == ALL - {"gravity", "ronin", "amelie"} - seeds


def test_what_was_seen_may_be_answered_when_asked_for(
    ranker: Ranker, memory: CatalogMemory
) -> None:
    events = (did("alien"), did("heat", Interaction.TYPE_BOOKMARK))
    with_seen = for_you(ranker, memory, *events, include_seen=True, limit=50)
    assert set(names(with_seen)) == ALL
    reasons = {result.item: result.reasons for result in with_seen.results}
    assert all(reason.item != "alien" for reason in reasons["alien"])
    assert set(names(for_you(ranker, memory, *events, limit=50))) == ALL - {"alien", "heat"}
