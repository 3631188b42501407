"""What holds for every answer, whatever the catalog, the question, and who asks."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recmesh.catalog.v1.interaction_pb2 import Interaction
from recmesh_jobs.history import SEEN_TYPES, Event
from recmesh_jobs.items import IndexedItem, Vector
from recmesh_kit.filters.check import read
from recmesh_kit.filters.schema import ITEMS
from recmesh_worker.engine.memory import CatalogMemory
from recmesh_worker.engine.query import Answer, Diversity, EngineQuery, SeedKind
from recmesh_worker.engine.rank import Ranker
from recmesh_worker.models.content import ContentModel
from recmesh_worker.models.popularity import PopularityModel

D = 8
NOW = datetime(2026, 3, 1, tzinfo=UTC).timestamp()
MOST = 90
IDS = [f"film {n}" for n in range(MOST)]
RANKER = Ranker(ContentModel(), PopularityModel(), ["en"])
SAME = settings(deadline=None, derandomize=True)
"""The same examples each time: what a run says does not hang on its luck."""
FILTERS = [
    None,
    "genres:a",
    "genres:a AND NOT genres:b",
    "release_year >= 2000",
    "hidden = true",
    "NOT average_rating:*",
    "title:1",
    "labels.k = v OR release_year < 1990",
    "genres:nothing",
]


def vector(seed: int) -> Vector:
    return np.random.default_rng(seed).standard_normal(D).astype(np.float32)


@st.composite
def catalogs(draw: st.DrawFn) -> CatalogMemory:
    """Some films hidden, some without a vector, some deleted again."""
    count = draw(st.integers(0, MOST))
    chance = np.random.default_rng(draw(st.integers(0, 1_000)))
    memory = CatalogMemory("films", D)
    memory.apply(
        [
            IndexedItem(
                catalog="films",
                item=IDS[n],
                revision=1,
                seq=n + 1,
                # A few share title and year.
                title=f"Film {chance.integers(count)}",
                genres=tuple(g for g in ("A", "B", "C") if chance.random() < 0.4),
                release_year=int(chance.integers(1980, 2020)) if chance.random() < 0.8 else None,
                average_rating=float(chance.random()) if chance.random() < 0.5 else None,
                popularity=float(chance.integers(0, 5)),
                labels={"k": "V"} if chance.random() < 0.3 else {},
                hidden=bool(chance.random() < 0.2),
                vector=vector(n) if chance.random() < 0.8 else None,
            )
            for n in range(count)
        ]
    )
    gone = [n for n in range(count) if chance.random() < 0.1]
    memory.apply(
        [
            IndexedItem(catalog="films", item=IDS[n], revision=2, seq=100 + n, deleted=True)
            for n in gone
        ]
    )
    return memory


some_ids = st.lists(st.sampled_from([*IDS, "unknown"]), max_size=30)
events = st.builds(
    Event,
    st.sampled_from([*IDS, "unknown"]),
    st.sampled_from([kind for kind in Interaction.Type.values() if kind]),
    st.none() | st.floats(0, 5),
    st.integers(0, 2_000).map(lambda days: NOW - days * 86_400.0),
)


@st.composite
def queries(draw: st.DrawFn) -> EngineQuery:
    kind = draw(st.sampled_from(SeedKind))
    text = draw(st.sampled_from(FILTERS))
    return EngineQuery(
        kind=kind,
        seed=draw(st.sampled_from([*IDS, "Film 3", "Flim 7", "nothing like it"])),
        items=tuple(draw(some_ids)),
        vector=vector(draw(st.integers(0, 50))) if draw(st.booleans()) else None,
        limit=draw(st.integers(1, 200)),
        exclude=frozenset(draw(some_ids)),
        history=tuple(draw(st.lists(events, max_size=30))),
        include_seen=draw(st.booleans()),
        filter=None if text is None else read(text, ITEMS),
        strict_filter=draw(st.booleans()),
        diversity=draw(st.sampled_from((None, *Diversity))),
    )


def forbidden(query: EngineQuery, answer: Answer, memory: CatalogMemory) -> set[str]:
    """What the question says must not be answered."""
    found = set(query.exclude)
    if query.kind is SeedKind.ITEM:
        found.add(query.seed)
    if query.kind is SeedKind.ITEMS:
        found.update(query.items)
    if answer.resolved is not None:
        found.add(answer.resolved.item)
    if not query.include_seen:
        found.update(event.item for event in query.history if event.type in SEEN_TYPES)
    return found


def doubles(query: EngineQuery, answer: Answer, memory: CatalogMemory) -> set[str]:
    """What may be left out beside: the same film under another id, and what was bookmarked."""
    seeds = set(query.items) if query.kind is SeedKind.ITEMS else set()
    seeds |= {answer.resolved.item} if answer.resolved is not None else set()
    found = set()
    for row in memory.rows_of(seeds):
        item = memory.row(row).item
        found.update(memory.titles.same_film(item.title, item.release_year))
    if query.kind is SeedKind.HISTORY and not query.include_seen:
        found.update(event.item for event in query.history)
    return found


@settings(SAME, max_examples=150)
@given(catalogs(), queries())
def test_an_answer_is_what_may_be_answered_and_all_of_it(
    memory: CatalogMemory, query: EngineQuery
) -> None:
    (answer,) = RANKER.rank([query], memory)
    found = [result.item for result in answer.results]
    rows = memory.rows_of(found)
    assert len(rows) == len(set(rows)) == len(found) <= query.limit
    assert memory.visible[rows].all()
    assert all(0 <= result.score <= 1 for result in answer.results)
    assert 0 <= answer.confidence <= 1

    visible = {memory.row(row).item.item for row in np.flatnonzero(memory.visible).tolist()}
    banned = forbidden(query, answer, memory)
    assert not banned & set(found)
    eligible = visible - banned
    surely = eligible - doubles(query, answer, memory)

    matching = visible
    if query.filter is not None:
        mask = memory.filters.select(query.filter)
        matching = {i for i in visible if mask[memory.rows_of([i])[0]]}
    outside = [item not in matching for item in found]
    assert outside == sorted(outside), "what matches comes first"
    if query.strict_filter:
        assert not any(outside)
        surely &= matching
    assert answer.filter_relaxed == any(outside)
    if any(outside):
        assert (surely & matching) <= set(found)
    assert len(found) >= min(query.limit, len(surely))


@settings(SAME, max_examples=60)
@given(catalogs(), queries())
def test_reasons_are_true(memory: CatalogMemory, query: EngineQuery) -> None:
    (answer,) = RANKER.rank([query], memory)
    liked = {e.item for e in query.history if e.type != Interaction.TYPE_DISLIKE}
    for result in answer.results:
        (row,) = memory.rows_of([result.item])
        assert len(result.reasons) <= 3
        for reason in result.reasons:
            if not reason.item:
                continue
            assert reason.item != result.item
            (seed,) = memory.rows_of([reason.item])
            assert memory.visible[seed]
            assert reason.title == memory.row(seed).item.title
            assert set(reason.genres) == memory.row(seed).genres & memory.row(row).genres
            if query.kind is SeedKind.HISTORY:
                assert reason.item in liked


# A product of matrices rounds otherwise than one of a vector: of many random questions one would have a tie.
@settings(SAME, max_examples=40)
@given(catalogs(), st.lists(queries(), min_size=2, max_size=6))
def test_a_batch_is_answered_as_its_queries_alone(
    memory: CatalogMemory, batch: list[EngineQuery]
) -> None:
    for query, together in zip(batch, RANKER.rank(batch, memory), strict=True):
        (alone,) = RANKER.rank([query], memory)
        assert [r.item for r in together.results] == [r.item for r in alone.results]
        assert together.fallback is alone.fallback
        assert together.filter_relaxed is alone.filter_relaxed
        assert together.confidence == pytest.approx(alone.confidence, abs=1e-5)
        scores = [r.score for r in alone.results]
        assert [r.score for r in together.results] == pytest.approx(scores, abs=1e-5)


@settings(SAME, max_examples=20)
@given(catalogs(), queries())
def test_a_chain_goes_to_the_end_and_repeats_nothing(
    memory: CatalogMemory, query: EngineQuery
) -> None:
    shown: set[str] = set()
    for _ in range(MOST + 1):
        step = EngineQuery(
            kind=query.kind,
            seed=query.seed,
            items=query.items,
            vector=query.vector,
            limit=7,
            exclude=frozenset(shown),
            history=query.history,
            diversity=query.diversity,
        )
        found = {result.item for result in RANKER.rank([step], memory)[0].results}
        assert not found & shown
        shown |= found
        if not found:
            break
    else:
        pytest.fail("it never ends")
    visible = {memory.row(row).item.item for row in np.flatnonzero(memory.visible).tolist()}
    (answer,) = RANKER.rank([step], memory)
    assert visible - forbidden(step, answer, memory) <= doubles(step, answer, memory)
