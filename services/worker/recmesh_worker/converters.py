"""Between messages and the engine's own types."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import lru_cache

from recmesh.catalog.v1.item_pb2 import Item
from recmesh.events.v1.job_events_pb2 import Answer as AnswerMessage
from recmesh.recommender.v1 import recommendation_pb2 as pb
from recmesh.recommender.v1.query_pb2 import Query
from recmesh_jobs.items import IndexedItem, Vector
from recmesh_jobs.job import VERSION
from recmesh_jobs.messages import Dispatched
from recmesh_kit import names
from recmesh_kit.filters.check import read
from recmesh_kit.filters.schema import ITEMS
from recmesh_kit.filters.tree import Condition
from recmesh_worker.engine.item_text import item_text
from recmesh_worker.engine.query import (
    Answer,
    Diversity,
    EngineQuery,
    Fallback,
    Reason,
    ReasonKind,
    SeedKind,
)

FILTERS = 1_000
"""Filters that are remembered as they were read: callers repeat theirs."""

_FALLBACKS = {
    Fallback.NONE: pb.Recommendation.FALLBACK_UNSPECIFIED,
    Fallback.TEXT: pb.Recommendation.FALLBACK_TEXT,
    Fallback.POPULAR: pb.Recommendation.FALLBACK_POPULAR,
}
_REASONS = {
    ReasonKind.SIMILAR: pb.Reason.TYPE_SIMILAR_TO,
    ReasonKind.MATCHES_TEXT: pb.Reason.TYPE_MATCHES_TEXT,
    ReasonKind.POPULAR: pb.Reason.TYPE_POPULAR,
}


_DIVERSITIES: Mapping[int, Diversity | None] = {
    Query.DIVERSITY_UNSPECIFIED: None,
    Query.DIVERSITY_NONE: Diversity.NONE,
    Query.DIVERSITY_LOW: Diversity.LOW,
    Query.DIVERSITY_MEDIUM: Diversity.MEDIUM,
    Query.DIVERSITY_HIGH: Diversity.HIGH,
}


class UnsupportedQuery(Exception):
    """A seed or a diversity that this worker does not know: a newer recommender admitted it."""


def engine_query(job: Dispatched) -> EngineQuery:
    """What the engine is asked; the history is still to be put in.

    Raises:
        UnsupportedQuery: The seed or the diversity is of no kind that is known here.
        InvalidArgument: The filter cannot be read.
    """
    query = job.query
    seed = ""
    items: tuple[str, ...] = ()
    match query.WhichOneof("seed"):
        case "title":
            kind, seed = SeedKind.TITLE, query.title
        case "item":
            kind, seed = SeedKind.ITEM, _last_id(query.item)
        case "text":
            kind, seed = SeedKind.TEXT, query.text
        case "history":
            kind = SeedKind.HISTORY
        case "items":
            kind, items = SeedKind.ITEMS, tuple(map(_last_id, query.items.items))
        case other:
            raise UnsupportedQuery(f"seed {other!r}")
    if query.diversity not in _DIVERSITIES:
        raise UnsupportedQuery(f"diversity {query.diversity}")
    return EngineQuery(
        kind=kind,
        seed=seed,
        items=items,
        limit=query.limit,
        exclude=frozenset((*map(_last_id, query.exclude_items), *job.shown)),
        include_seen=query.include_seen,
        filter=read_filter(query.filter),
        strict_filter=query.strict_filter,
        diversity=_DIVERSITIES[query.diversity],
    )


@lru_cache(FILTERS)
def read_filter(text: str) -> Condition | None:
    """What a filter on items means; None when it is blank. The first call builds the parser, which takes a while.

    Raises:
        InvalidArgument: It cannot be read.
    """
    return read(text, ITEMS)


def _last_id(name: str) -> str:
    return names.ids(name)[-1]


def answer_message(
    answer: Answer, catalog: str, *, queued: timedelta, ranked: timedelta
) -> AnswerMessage:
    """An answer, as it is stored."""
    items = _item_name(catalog, "")
    message = AnswerMessage(
        version=VERSION,
        resolve_confidence=answer.confidence,
        fallback=_FALLBACKS[answer.fallback],
        filter_relaxed=answer.filter_relaxed,
        model=names.join("catalogs", catalog, "models", answer.model),
    )
    for item, title, score, reasons in answer.results:
        result = message.results.add(item=items + item, title=title, score=score)
        for reason in reasons:
            _add_reason(result, reason, items)
    if answer.resolved is not None:
        message.resolved_item = items + answer.resolved.item
        message.resolved_title = answer.resolved.title
    message.timings.queue.FromTimedelta(queued)
    message.timings.rank.FromTimedelta(ranked)
    return message


def _add_reason(result: pb.Result, reason: Reason, items: str) -> None:
    """Puts a reason to a result. Made in their place and given only what there is, results take half the time."""
    kind, item, title, genres, directors, cast = reason
    if not item:
        result.reasons.add(type=_REASONS[kind])
        return
    message = result.reasons.add(type=_REASONS[kind], item=items + item, title=title)
    if genres:
        message.genres.extend(genres)
    if directors:
        message.directors.extend(directors)
    if cast:
        message.cast.extend(cast)


def _item_name(catalog: str, item: str) -> str:
    return names.join("catalogs", catalog, "items", item)


def text_of(item: Item) -> str:
    """What of an item is embedded."""
    return item_text(
        title=item.title,
        description=item.description,
        genres=list(item.genres),
        tags=list(item.tags),
        release_year=item.release_year or None,
    )


def item_id(item: Item) -> str:
    """The caller's own id of an item."""
    return _last_id(item.name)


def indexed_item(item: Item, vector: Vector) -> IndexedItem:
    """An item as the read model has it. Its `seq` and popularity are given when it is written."""
    catalog, item_id = names.ids(item.name)
    return IndexedItem(
        catalog=catalog,
        item=item_id,
        revision=item.revision,
        seq=0,
        title=item.title,
        original_title=item.original_title,
        alternate_titles=tuple(item.alternate_titles),
        genres=tuple(item.genres),
        tags=tuple(item.tags),
        directors=tuple(item.directors),
        cast=tuple(item.cast),
        release_year=item.release_year or None,
        language=item.language,
        labels=dict(item.labels),
        hidden=item.hidden,
        average_rating=item.average_rating if item.HasField("average_rating") else None,
        vector=vector,
    )


def tombstone(catalog: str, item: str, revision: int) -> IndexedItem:
    """A deleted item, as the read model has it."""
    return IndexedItem(catalog=catalog, item=item, revision=revision, seq=0, deleted=True)
