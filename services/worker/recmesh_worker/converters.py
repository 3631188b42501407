"""Between messages and the engine's own types."""

from __future__ import annotations

from datetime import timedelta

from recmesh.catalog.v1.item_pb2 import Item
from recmesh.events.v1.job_events_pb2 import Answer as AnswerMessage
from recmesh.recommender.v1 import recommendation_pb2 as pb
from recmesh_jobs.items import IndexedItem, Vector
from recmesh_jobs.job import VERSION
from recmesh_jobs.messages import Dispatched
from recmesh_kit import names
from recmesh_worker.engine.item_text import item_text
from recmesh_worker.engine.query import (
    Answer,
    EngineQuery,
    Fallback,
    Reason,
    ReasonKind,
    Result,
    SeedKind,
)

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


class UnsupportedQuery(Exception):
    """A seed that this worker does not know: a newer recommender admitted it."""


def engine_query(job: Dispatched) -> EngineQuery:
    """What the engine is asked.

    Raises:
        UnsupportedQuery: The seed is of no kind that is known here.
    """
    query = job.query
    match query.WhichOneof("seed"):
        case "title":
            kind, seed = SeedKind.TITLE, query.title
        case "item":
            kind, seed = SeedKind.ITEM, names.ids(query.item)[-1]
        case "text":
            kind, seed = SeedKind.TEXT, query.text
        case other:
            raise UnsupportedQuery(f"seed {other!r}")
    return EngineQuery(
        kind=kind,
        seed=seed,
        limit=query.limit,
        exclude=frozenset(names.ids(name)[-1] for name in query.exclude_items),
    )


def answer_message(
    answer: Answer, catalog: str, *, queued: timedelta, ranked: timedelta
) -> AnswerMessage:
    """An answer, as it is stored."""
    message = AnswerMessage(
        version=VERSION,
        results=[_result(result, catalog) for result in answer.results],
        resolve_confidence=answer.confidence,
        fallback=_FALLBACKS[answer.fallback],
        model=names.join("catalogs", catalog, "models", answer.model),
    )
    if answer.resolved is not None:
        message.resolved_item = _item_name(catalog, answer.resolved.item)
        message.resolved_title = answer.resolved.title
    message.timings.queue.FromTimedelta(queued)
    message.timings.rank.FromTimedelta(ranked)
    return message


def _result(result: Result, catalog: str) -> pb.Result:
    return pb.Result(
        item=_item_name(catalog, result.item),
        title=result.title,
        score=result.score,
        reasons=[_reason(reason, catalog) for reason in result.reasons],
    )


def _reason(reason: Reason, catalog: str) -> pb.Reason:
    return pb.Reason(
        type=_REASONS[reason.kind],
        item=_item_name(catalog, reason.item) if reason.item else "",
        title=reason.title,
        genres=reason.genres,
        directors=reason.directors,
        cast=reason.cast,
    )


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
    return names.ids(item.name)[-1]


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
