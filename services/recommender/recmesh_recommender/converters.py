"""Between the contract's messages and the service's own types."""

from __future__ import annotations

import datetime as dt
import hashlib

from recmesh.common.v1.error_reason_pb2 import ErrorReason
from recmesh.events.v1.job_events_pb2 import Answer
from recmesh.recommender.v1.query_pb2 import Query
from recmesh.recommender.v1.recommendation_pb2 import Recommendation
from recmesh.recommender.v1.recommender_service_pb2 import (
    ContinueRecommendationRequest,
    CreateRecommendationRequest,
    RecommendRequest,
)
from recmesh_jobs.job import Job
from recmesh_kit import names
from recmesh_kit.errors import InvalidArgument, NotFound, Violation
from recmesh_kit.filters import check
from recmesh_kit.filters.schema import ITEMS
from recmesh_kit.times import put_time
from recmesh_recommender.orders import Continuation, Order, job_name

DEFAULT_LIMIT = 10
_QUERY = "recommendation.query"


def order(request: CreateRecommendationRequest | RecommendRequest) -> Order:
    """What a caller asks for.

    Raises:
        InvalidArgument: The query names items of another catalog, or its filter is none.
        NotFound: The query names a serving config that is not there.
    """
    (catalog,) = names.ids(request.parent)
    asked = request.recommendation
    # The request is this call's own, and nobody reads it again: no copy is needed.
    query = asked.query
    query.limit = query.limit or DEFAULT_LIMIT
    _check_names(query, catalog)
    if query.filter:
        _check_filter(query.filter)
    serialised = query.SerializeToString(deterministic=True)
    return Order(
        catalog=catalog,
        user=asked.user,
        session=asked.session,
        query=serialised,
        deadline=asked.deadline.ToDatetime(dt.UTC) if asked.HasField("deadline") else None,
        request_id=request.request_id,
        fingerprint=_fingerprint(asked, serialised),
    )


def continuation(request: ContinueRecommendationRequest) -> Continuation:
    """Which job a caller wants continued."""
    catalog, id_ = names.ids(request.name)
    return Continuation(catalog, id_, request.limit, request.request_id)


def _check_names(query: Query, catalog: str) -> None:
    named = [("item", query.item)] if query.WhichOneof("seed") == "item" else []
    named += [(f"items.items[{n}]", name) for n, name in enumerate(query.items.items)]
    named += [(f"exclude_items[{n}]", name) for n, name in enumerate(query.exclude_items)]
    found = [
        Violation(f"{_QUERY}.{field}", f"must be an item of catalogs/{catalog}")
        for field, name in named
        if names.catalog_of(name) != catalog
    ]
    if found:
        raise InvalidArgument(found)
    default = names.join("catalogs", catalog, "servingConfigs", "default")
    if query.serving_config and query.serving_config != default:
        raise NotFound(query.serving_config)


def _check_filter(text: str) -> None:
    """Reads a filter as the worker will, so that a mistake is told at once."""
    try:
        check.read(text, ITEMS)
    except InvalidArgument as error:
        placed = [Violation(f"{_QUERY}.{v.field}", v.message) for v in error.violations]
        raise InvalidArgument(placed, reason=error.reason, metadata=error.metadata) from None


def _fingerprint(asked: Recommendation, query: bytes) -> bytes:
    parts = (asked.user.encode(), asked.session.encode(), query)
    return hashlib.sha256(b"\x00".join(parts)).digest()


def recommendation(job: Job) -> Recommendation:
    """A job as callers see it."""
    id_ = str(job.id)
    message = Recommendation(
        name=names.join("catalogs", job.catalog, "recommendations", id_),
        user=job.user,
        session=job.session,
        state=Recommendation.State.ValueType(job.state),
        attempt_count=job.attempts,
        attribution_token=id_,
    )
    # Each written where it belongs: a message that is made first and then passed is copied.
    message.query.MergeFromString(job.query)
    put_time(message.deadline, job.deadline)
    put_time(message.create_time, job.create_time)
    put_time(message.expire_time, job.expire_time)
    if job.continues is not None:
        message.continues = job_name(job.catalog, job.continues)
    if job.start_time is not None:
        put_time(message.start_time, job.start_time)
    if job.end_time is not None:
        put_time(message.end_time, job.end_time)
    if job.failure is not None:
        message.error.reason = ErrorReason.ValueType(job.failure.reason)
        message.error.message = job.failure.message
    if job.answer is not None:
        _add_answer(message, Answer.FromString(job.answer))
        if job.end_time is not None:
            # By two clocks, one of which may be ahead.
            total = max(job.end_time - job.create_time, dt.timedelta())
            message.timings.total.FromTimedelta(total)
    return message


def _add_answer(message: Recommendation, answer: Answer) -> None:
    message.results.MergeFrom(answer.results)
    message.resolved_item = answer.resolved_item
    message.resolved_title = answer.resolved_title
    message.resolve_confidence = answer.resolve_confidence
    message.fallback = answer.fallback
    message.filter_relaxed = answer.filter_relaxed
    message.model = answer.model
    message.variant = answer.variant
    message.timings.CopyFrom(answer.timings)
