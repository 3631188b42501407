"""Jobs and their answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from recmesh.recommender.v1 import recommendation_pb2 as pb
from recmesh.recommender.v1 import recommender_service_pb2
from recmesh_client.convert.basics import (
    first_id,
    job_error,
    last_id,
    length,
    row_errors,
    time,
    timestamp,
)
from recmesh_client.convert.enums import EnumTable
from recmesh_client.convert.query import from_query, to_query
from recmesh_client.data.query import Order
from recmesh_client.data.recommendation import (
    Batch,
    Fallback,
    Job,
    Reason,
    ReasonType,
    Recommendation,
    Result,
    State,
    Timings,
)

STATES = EnumTable(State, pb.Recommendation.State.items(), "STATE_", State.UNKNOWN)
FALLBACKS = EnumTable(Fallback, pb.Recommendation.Fallback.items(), "FALLBACK_", Fallback.NONE)
REASON_TYPES = EnumTable(ReasonType, pb.Reason.Type.items(), "TYPE_", ReasonType.UNKNOWN)


def job_name(job: Job) -> str:
    """The name of a job."""
    return job if isinstance(job, str) else job.name


def to_recommendation(order: Order, catalog: str) -> pb.Recommendation:
    """A job to store. Raises ValueError for a query without exactly one seed and for a time without a time zone."""
    deadline = order.deadline
    if isinstance(deadline, timedelta):
        deadline = datetime.now(UTC) + deadline
    return pb.Recommendation(
        user=order.user,
        session=order.session,
        query=to_query(order.query, catalog),
        deadline=timestamp(deadline),
    )


def from_recommendation(message: pb.Recommendation) -> Recommendation:
    """A job out of an answer."""
    timings = message.timings
    return Recommendation(
        catalog=first_id(message.name),
        id=last_id(message.name),
        state=STATES.member(message.state),
        query=from_query(message.query),
        results=tuple(map(_result, message.results)),
        user=message.user,
        session=message.session,
        resolved_item=last_id(message.resolved_item),
        resolved_title=message.resolved_title,
        resolve_confidence=message.resolve_confidence,
        fallback=FALLBACKS.member(message.fallback),
        filter_relaxed=message.filter_relaxed,
        error=(
            job_error(message.error.reason, message.error.message)
            if message.HasField("error")
            else None
        ),
        model=last_id(message.model),
        variant=message.variant,
        attribution_token=message.attribution_token,
        attempt_count=message.attempt_count,
        continues=message.continues,
        deadline=time(message, "deadline"),
        create_time=time(message, "create_time"),
        start_time=time(message, "start_time"),
        end_time=time(message, "end_time"),
        expire_time=time(message, "expire_time"),
        timings=(
            Timings(length(timings.queue), length(timings.rank), length(timings.total))
            if message.HasField("timings")
            else None
        ),
    )


def _result(message: pb.Result) -> Result:
    return Result(
        last_id(message.item), message.title, message.score, tuple(map(_reason, message.reasons))
    )


def _reason(message: pb.Reason) -> Reason:
    return Reason(
        REASON_TYPES.member(message.type),
        last_id(message.item),
        message.title,
        tuple(message.genres),
        tuple(message.directors),
        tuple(message.cast),
    )


def from_batch(message: recommender_service_pb2.BatchCreateRecommendationsResponse) -> Batch:
    """What became of the rows of a batch."""
    return Batch(
        tuple(map(from_recommendation, message.recommendations)), row_errors(message.errors)
    )
