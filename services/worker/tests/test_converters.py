import datetime as dt

import pytest

from recmesh.recommender.v1.query_pb2 import HistorySeed, ItemsSeed, Query
from recmesh.recommender.v1.recommendation_pb2 import Reason as ReasonMessage
from recmesh.recommender.v1.recommendation_pb2 import Recommendation
from recmesh_jobs.messages import Dispatched
from recmesh_kit.errors import InvalidArgument
from recmesh_kit.ids import uuid7
from recmesh_worker import converters
from recmesh_worker.engine.query import (
    Answer,
    Diversity,
    EngineQuery,
    Fallback,
    Reason,
    ReasonKind,
    Result,
    SeedKind,
)

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def asked(query: Query, *shown: str) -> EngineQuery:
    job = Dispatched(uuid7(), "films", "ada", query, NOW, NOW, shown)
    return converters.engine_query(job)


def names(*items: str) -> list[str]:
    return [f"catalogs/films/items/{item}" for item in items]


@pytest.mark.parametrize(
    ("query", "kind", "seed", "items"),
    [
        (Query(title="alien"), SeedKind.TITLE, "alien", ()),
        (Query(item=names("alien")[0]), SeedKind.ITEM, "alien", ()),
        (Query(text="a heist"), SeedKind.TEXT, "a heist", ()),
        (Query(history=HistorySeed()), SeedKind.HISTORY, "", ()),
        (Query(items=ItemsSeed(items=names("b", "a"))), SeedKind.ITEMS, "", ("b", "a")),
    ],
)
def test_every_seed_is_understood(
    query: Query, kind: SeedKind, seed: str, items: tuple[str, ...]
) -> None:
    found = asked(query)
    assert (found.kind, found.seed, found.items) == (kind, seed, items)
    assert (found.diversity, found.filter, found.include_seen) == (None, None, False)


def test_the_conditions_go_along() -> None:
    query = Query(
        title="alien",
        limit=7,
        filter="release_year >= 1980",
        strict_filter=True,
        include_seen=True,
        diversity=Query.DIVERSITY_HIGH,
        exclude_items=names("a", "b"),
    )
    found = asked(query, "b", "c")
    assert found.filter == converters.read_filter("release_year >= 1980")
    assert found.filter is not None
    assert (found.limit, found.strict_filter, found.include_seen) == (7, True, True)
    assert found.diversity is Diversity.HIGH
    assert found.exclude == {"a", "b", "c"}


def test_a_seed_or_a_diversity_of_a_newer_version_is_refused() -> None:
    newer = Query(title="alien")
    newer.diversity = 99  # type: ignore[assignment]
    for query in (Query(), newer):
        with pytest.raises(converters.UnsupportedQuery):
            asked(query)


def test_a_filter_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(InvalidArgument):
        asked(Query(title="alien", filter="no_such_field = 1"))


@pytest.mark.parametrize("kind", list(ReasonKind))
def test_every_reason_has_its_name_in_the_contract(kind: ReasonKind) -> None:
    reason = Reason(kind=kind, item="heat", title="Heat", genres=("Crime",))
    answer = Answer((Result("ronin", "Ronin", 0.5, (reason,)),), None, 0.5, Fallback.NONE, "m")
    message = converters.answer_message(
        answer, "films", queued=dt.timedelta(), ranked=dt.timedelta()
    )
    (told,) = message.results[0].reasons
    assert told.type != ReasonMessage.TYPE_UNSPECIFIED
    assert (told.item, told.title, list(told.genres)) == (*names("heat"), "Heat", ["Crime"])


@pytest.mark.parametrize("fallback", list(Fallback))
def test_an_answer_says_what_was_answered_instead(fallback: Fallback) -> None:
    answer = Answer((), None, 0.0, fallback, "popularity", filter_relaxed=True)
    message = converters.answer_message(
        answer, "films", queued=dt.timedelta(), ranked=dt.timedelta()
    )
    assert message.filter_relaxed
    assert message.model == "catalogs/films/models/popularity"
    is_none = message.fallback == Recommendation.FALLBACK_UNSPECIFIED
    assert is_none == (fallback is Fallback.NONE)
