"""What travels between recommender and worker, to bytes and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp

from recmesh.common.v1.error_reason_pb2 import ErrorReason
from recmesh.events.v1 import job_events_pb2 as events
from recmesh.recommender.v1.query_pb2 import Query
from recmesh.recommender.v1.recommendation_pb2 import Recommendation
from recmesh_jobs.job import VERSION, Ended, Failure, Job
from recmesh_jobs.shown import unpack
from recmesh_jobs.states import State
from recmesh_kit import names
from recmesh_kit.times import put_time

VERSION_HEADER = "recmesh-version"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class UnsupportedVersion(Exception):
    """The message was written by a newer version: leave it to a newer reader.

    Attributes:
        deadline: Until when somebody wants it, where that is known: what is in a message today keeps its place in later
            versions.
    """

    deadline: datetime | None = None


@dataclass(frozen=True, slots=True)
class Dispatched:
    """A job as its message tells it."""

    id: UUID
    catalog: str
    user: str
    query: Query
    deadline: datetime
    create_time: datetime
    shown: tuple[str, ...] = ()
    """Ids of items that the chain which it continues has shown."""


def encode_job(job: Job) -> bytes:
    """The message that dispatches a job."""
    message = events.JobDispatched(
        version=job.version,
        id=job.id.bytes,
        catalog=job.catalog,
        user=job.user,
        shown_items=unpack(job.shown),
    )
    put_time(message.deadline, job.deadline)
    put_time(message.create_time, job.create_time)
    message.query.MergeFromString(job.query)
    return message.SerializeToString()


def decode_job(body: bytes) -> Dispatched:
    """The job that a message dispatches.

    Raises:
        UnsupportedVersion: The message is of a later version; with the job's deadline.
        ValueError: The bytes are no such message.
    """
    with _reading("JobDispatched"):
        message = events.JobDispatched.FromString(body)
        try:
            _check_version(message.version)
        except UnsupportedVersion as error:
            error.deadline = _time(message.deadline)
            raise
        return Dispatched(
            id=UUID(bytes=message.id),
            catalog=message.catalog,
            user=message.user,
            query=message.query,
            deadline=_time(message.deadline),
            create_time=_time(message.create_time),
            shown=tuple(message.shown_items),
        )


@dataclass(frozen=True, slots=True)
class Finished:
    """A job that has ended, with what came of it.

    Attributes:
        ended: As its row says.
        answer: Serialised answer, when it has succeeded.
        failure: Why there is none, when it has failed or expired.
    """

    ended: Ended
    answer: bytes | None = None
    failure: Failure | None = None


def encode_finished(jobs: Iterable[Finished]) -> bytes:
    """The message that tells the recommender which jobs have ended."""
    return events.JobsFinished(
        version=VERSION, jobs=[_finished_message(job) for job in jobs]
    ).SerializeToString()


def _finished_message(job: Finished) -> events.FinishedJob:
    ended = job.ended
    message = events.FinishedJob(
        id=ended.id.bytes,
        state=Recommendation.State.ValueType(ended.state),
        attempt_count=ended.attempts,
    )
    if ended.start_time is not None:
        put_time(message.start_time, ended.start_time)
    put_time(message.end_time, ended.end_time)
    if job.answer is not None:
        message.answer.MergeFromString(job.answer)
    if job.failure is not None:
        message.error.reason = ErrorReason.ValueType(job.failure.reason)
        message.error.message = job.failure.message
    return message


def decode_finished(body: bytes) -> list[Finished]:
    """The jobs that a message says have ended.

    Raises:
        UnsupportedVersion: The message is of a later version.
        ValueError: The bytes are no such message.
    """
    with _reading("JobsFinished"):
        message = events.JobsFinished.FromString(body)
        _check_version(message.version)
        return [_finished(job) for job in message.jobs]


def _finished(job: events.FinishedJob) -> Finished:
    return Finished(
        Ended(
            id=UUID(bytes=job.id),
            state=State(job.state),
            attempts=job.attempt_count,
            start_time=_time(job.start_time) if job.HasField("start_time") else None,
            end_time=_time(job.end_time),
        ),
        answer=job.answer.SerializeToString() if job.HasField("answer") else None,
        failure=Failure(job.error.reason, job.error.message) if job.HasField("error") else None,
    )


def encode_announcement(job: Job) -> bytes:
    """The message that tells whoever listens that a job has ended."""
    announced = events.FinishedRecommendation(
        name=names.join("catalogs", job.catalog, "recommendations", str(job.id)),
        user=job.user,
        state=Recommendation.State.ValueType(job.state),
    )
    return events.RecommendationsFinished(
        version=VERSION, catalog=job.catalog, recommendations=[announced]
    ).SerializeToString()


@contextmanager
def _reading(kind: str) -> Iterator[None]:
    """Makes one error of all that bytes can be wrong in."""
    try:
        yield
    except (DecodeError, ValueError, OverflowError) as error:
        raise ValueError(f"not a {kind} message: {error}") from error


def _check_version(version: int) -> None:
    if version > VERSION:
        raise UnsupportedVersion(f"version {version}, known up to {VERSION}")
    if version < 1:
        raise ValueError("it has no version")


def timestamp(at: datetime) -> Timestamp:
    """A time as protobuf has it."""
    message = Timestamp()
    put_time(message, at)
    return message


def _time(at: Timestamp) -> datetime:
    """A time as protobuf has it, to the microsecond.

    Raises:
        OverflowError: It is beyond the years 1 to 9999.
    """
    return _EPOCH + timedelta(seconds=at.seconds, microseconds=at.nanos // 1_000)
