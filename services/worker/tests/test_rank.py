from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from recmesh_jobs.items import IndexedItem, Vector
from recmesh_worker.engine.memory import CatalogMemory
from recmesh_worker.engine.query import (
    EngineQuery,
    Fallback,
    Reason,
    ReasonKind,
    SeedKind,
)
from recmesh_worker.engine.rank import Ranker
from recmesh_worker.engine.seeds import titles_to_encode, words_at_a_glance
from recmesh_worker.models.content import ContentModel
from recmesh_worker.models.popularity import PopularityModel
from services.worker.tests.engine_items import (
    CRIME,
    SPACE,
    D,
    ask,
    catalog,
    film,
    names,
    toward,
)


@pytest.fixture
def memory() -> CatalogMemory:
    return catalog()


@pytest.fixture
def ranker() -> Ranker:
    return Ranker(ContentModel(), PopularityModel(), ["en"])


def test_neighbours_of_an_item(ranker: Ranker, memory: CatalogMemory) -> None:
    answer = ask(ranker, memory, SeedKind.ITEM, "alien", limit=2)
    assert names(answer) == ["event horizon", "gravity"]
    assert answer.resolved is not None
    assert (answer.resolved.item, answer.confidence) == ("alien", 1.0)
    assert (answer.fallback, answer.model) == (Fallback.NONE, "content")
    scores = [result.score for result in answer.results]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)


def test_a_misspelt_title_says_what_it_took_and_how_sure_it_is(
    ranker: Ranker, memory: CatalogMemory
) -> None:
    answer = ask(ranker, memory, SeedKind.TITLE, "Event Horizn", limit=1)
    assert answer.resolved is not None
    assert answer.resolved.title == "Event Horizon"
    assert 0.72 <= answer.confidence < 1
    assert names(answer) == ["alien"]


def test_reasons_name_only_what_is_shared(ranker: Ranker, memory: CatalogMemory) -> None:
    answer = ask(ranker, memory, SeedKind.ITEM, "heat", limit=2)
    reasons = {result.item: result.reasons for result in answer.results}
    assert reasons["casino"] == (
        Reason(
            kind=ReasonKind.SIMILAR,
            item="heat",
            title="Heat",
            genres=("Crime",),
            cast=("De Niro",),
        ),
    )
    assert reasons["ronin"][0].cast == ()


def test_nothing_far_away_is_called_similar(ranker: Ranker, memory: CatalogMemory) -> None:
    answer = ask(ranker, memory, SeedKind.ITEM, "heat", limit=9)
    reasons = {result.item: result.reasons for result in answer.results}
    assert reasons["amelie"] == reasons["alien"] == ()


def test_what_is_shared_brings_a_neighbour_nearer(ranker: Ranker, memory: CatalogMemory) -> None:
    same = toward(CRIME, noise=50)
    memory.apply(
        [
            film("plain", 11, CRIME, vector=same, release_year=None),
            film("kin", 12, CRIME, vector=same, release_year=None, cast=("Pacino",)),
        ]
    )
    found = names(ask(ranker, memory, SeedKind.ITEM, "heat"))
    assert found.index("kin") < found.index("plain")


def test_the_film_asked_about_and_its_doubles_are_never_answered(
    ranker: Ranker, memory: CatalogMemory
) -> None:
    memory.apply(
        [
            film("double", 11, SPACE, title="ALIEN", release_year=1981),
            film("remake", 12, SPACE, title="Alien", release_year=2030),
        ]
    )
    found = names(ask(ranker, memory, SeedKind.ITEM, "alien", limit=20))
    assert "alien" not in found
    assert "double" not in found
    assert "remake" in found


def test_hidden_deleted_and_excluded_items_are_never_answered(
    ranker: Ranker, memory: CatalogMemory
) -> None:
    memory.apply([IndexedItem(catalog="films", item="ronin", revision=2, seq=11, deleted=True)])
    for kind, seed in [(SeedKind.ITEM, "alien"), (SeedKind.ITEM, "nobody")]:
        found = names(
            ask(ranker, memory, kind, seed, limit=20, exclude=frozenset({"gravity", "unknown"}))
        )
        assert not {"solaris", "ronin", "gravity"} & set(found)
        assert len(found) == len(set(found))


def test_a_list_goes_on_to_the_end_of_the_catalog(ranker: Ranker, memory: CatalogMemory) -> None:
    answer = ask(ranker, memory, SeedKind.ITEM, "alien", limit=200)
    assert len(answer.results) == 8
    assert names(answer)[-1] == "unembedded"
    assert answer.results[-1].score == 0


@pytest.mark.parametrize("seed", ["nobody", "solaris"])
def test_an_unknown_or_hidden_item_is_answered_by_popular_ones(
    ranker: Ranker, memory: CatalogMemory, seed: str
) -> None:
    answer = ask(ranker, memory, SeedKind.ITEM, seed, limit=4)
    assert names(answer)[:3] == ["casino", "gravity", "unembedded"]
    assert (answer.fallback, answer.model) == (Fallback.POPULAR, "popularity")
    assert (answer.resolved, answer.confidence) == (None, 0.0)
    assert answer.results[0].score == 1.0
    assert answer.results[0].reasons == (Reason(kind=ReasonKind.POPULAR),)
    assert answer.results[3].reasons == ()  # nobody liked it yet


def test_an_item_without_a_vector_is_resolved_but_answered_by_popular_ones(
    ranker: Ranker, memory: CatalogMemory
) -> None:
    answer = ask(ranker, memory, SeedKind.TITLE, "Unembedded", limit=1)
    assert answer.resolved is not None
    assert (names(answer), answer.fallback) == (["casino"], Fallback.POPULAR)


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_a_vector_that_is_no_direction_counts_as_none(
    ranker: Ranker, memory: CatalogMemory, number: float
) -> None:
    before = names(ask(ranker, memory, SeedKind.ITEM, "alien", limit=3))
    broken = np.full(D, number, np.float32)
    memory.apply([film("broken", 20, SPACE, vector=broken, hidden=True)])
    assert names(ask(ranker, memory, SeedKind.ITEM, "alien", limit=3)) == before
    assert np.isfinite(memory.vectors).all()


def test_a_text_is_answered_by_what_matches_it(ranker: Ranker, memory: CatalogMemory) -> None:
    words = np.zeros(D, np.float32)
    words[CRIME] = 1
    answer = ask(ranker, memory, SeedKind.TEXT, "a bank robbery", vector=words, limit=4)
    assert set(names(answer)[:3]) == {"heat", "casino", "ronin"}
    assert answer.results[0].reasons == (Reason(kind=ReasonKind.MATCHES_TEXT),)
    assert answer.results[3].reasons == ()
    assert answer.confidence > 0.5


def test_a_text_in_letters_that_the_encoder_does_not_know_is_unsure(
    ranker: Ranker, memory: CatalogMemory
) -> None:
    words = np.zeros(D, np.float32)
    words[CRIME] = 1
    english = ask(ranker, memory, SeedKind.TEXT, "a bank robbery", vector=words)
    russian = ask(ranker, memory, SeedKind.TEXT, "ограбление банка", vector=words)
    assert russian.confidence == pytest.approx(0.3 * english.confidence)


def test_an_unknown_title_is_answered_by_its_words_when_they_match(
    ranker: Ranker, memory: CatalogMemory
) -> None:
    query = EngineQuery(kind=SeedKind.TITLE, seed="The Bank Robbers")
    known = EngineQuery(kind=SeedKind.TITLE, seed="alien")
    assert titles_to_encode([known, query], memory) == [1]
    words = np.zeros(D, np.float32)
    words[CRIME] = 1
    answer = ask(ranker, memory, SeedKind.TITLE, query.seed, vector=words, limit=1)
    assert (answer.fallback, answer.resolved) == (Fallback.TEXT, None)
    assert 0 < answer.confidence <= 0.5
    assert names(answer)[0] in {"heat", "casino", "ronin"}


def test_what_needs_words_is_seen_at_a_glance_unless_a_title_has_to_be_looked_for(
    memory: CatalogMemory,
) -> None:
    batch = [
        EngineQuery(kind=kind, seed=seed)
        for kind, seed in [
            (SeedKind.ITEM, "nobody"),
            (SeedKind.TEXT, "a heist"),
            (SeedKind.TITLE, "The Alien (1981)"),
        ]
    ]
    typed = [EngineQuery(kind=SeedKind.TITLE, seed=title) for title in ("Event Horizn", "qwrtzx")]
    assert words_at_a_glance(batch, memory) == {1}
    assert words_at_a_glance([*batch, typed[0]], memory) is None
    assert words_at_a_glance([*batch, typed[1]], memory) is None
    assert titles_to_encode(typed, memory) == [1]
    assert words_at_a_glance([*batch, *typed], memory) == {1, 4}


def test_a_glance_waits_for_nobody(memory: CatalogMemory) -> None:
    known = [EngineQuery(kind=SeedKind.TITLE, seed="alien")]
    with ThreadPoolExecutor(1) as other, memory.lock:
        assert other.submit(words_at_a_glance, known, memory).result(30) is None
    assert words_at_a_glance(known, memory) == set()


def test_an_unknown_title_whose_words_match_nothing_gets_popular_items(
    ranker: Ranker, memory: CatalogMemory
) -> None:
    words = np.zeros(D, np.float32)
    words[D - 1] = -1  # the opposite of what all items have in common
    for vector in (words, None):
        answer = ask(ranker, memory, SeedKind.TITLE, "qwrtzx plmk", vector=vector, limit=1)
        assert (names(answer), answer.fallback) == (["casino"], Fallback.POPULAR)
        assert answer.results[0].score == 1.0


def test_a_batch_is_answered_in_its_order(ranker: Ranker, memory: CatalogMemory) -> None:
    batch = [
        EngineQuery(kind=SeedKind.ITEM, seed=seed, limit=limit)
        for seed, limit in [("alien", 1), ("nobody", 2), ("heat", 3)]
    ]
    together = ranker.rank(batch, memory)
    assert [names(a) for a in together] == [names(ranker.rank([q], memory)[0]) for q in batch]


def test_an_empty_catalog_and_an_empty_batch(ranker: Ranker) -> None:
    empty = CatalogMemory("films", D)
    assert ask(ranker, empty, SeedKind.TITLE, "alien").results == ()
    text = ask(ranker, empty, SeedKind.TEXT, "space", vector=toward(SPACE, noise=1))
    assert (text.results, text.confidence) == ((), 0.0)
    assert ranker.rank([], empty) == []


def test_an_answer_does_not_depend_on_what_else_is_in_the_batch(ranker: Ranker) -> None:
    def turned(angle: float) -> Vector:
        v = np.zeros(D, np.float32)
        v[SPACE], v[CRIME] = np.cos(angle), np.sin(angle)
        return v

    memory = CatalogMemory("films", D)
    shared: dict[str, object] = {"directors": ("Scott",), "cast": ("Weaver", "Hurt")}
    memory.apply(
        [film(f"f{n}", n + 1, SPACE, vector=turned(0.2 + 0.002 * n)) for n in range(80)]
        # So that the mean is nowhere near.
        + [film(f"g{n}", n + 101, SPACE, vector=-turned(0.2 + 0.002 * n)) for n in range(80)]
        # Its bonus would bring it to the top, were it among those that are looked at.
        + [film("kin", 400, SPACE, vector=turned(0.2 + 0.002 * 75), **shared)]
        + [film("seed", 401, SPACE, vector=turned(0), **shared)]
    )
    query = EngineQuery(kind=SeedKind.ITEM, seed="seed", limit=10)
    longer = EngineQuery(kind=SeedKind.ITEM, seed="f1", limit=200)
    (alone,) = ranker.rank([query], memory)
    together, _ = ranker.rank([query, longer], memory)
    assert names(together) == names(alone)
    assert "kin" not in names(alone)
