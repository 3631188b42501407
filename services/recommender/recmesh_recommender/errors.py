"""What can go wrong in the recommender."""

from __future__ import annotations

from recmesh.common.v1 import error_reason_pb2 as reasons
from recmesh_kit.errors import (
    DeadlineExceeded,
    Exhausted,
    FailedPrecondition,
    InvalidArgument,
    Unavailable,
    Violation,
)


class TooManyJobs(Exhausted):
    """The deployment has as many unfinished jobs, or bulk jobs, as it admits."""

    def __init__(self, limit: int, retry_after: float) -> None:
        super().__init__(
            f"{limit:,} jobs are unfinished, and more are not taken for now.",
            reason=reasons.ERROR_REASON_TOO_MANY_JOBS,
            retry_after=retry_after,
        )


class DeadlineOutOfRange(InvalidArgument):
    """The job's deadline is past, or too far."""

    def __init__(self) -> None:
        super().__init__([Violation("recommendation.deadline", "must be within the next 24 hours")])


class RequestIdReused(InvalidArgument):
    """The request id stands for another request."""

    def __init__(self, request_id: str) -> None:
        super().__init__(
            [Violation("request_id", "was used before for another request: choose a new one")],
            reason=reasons.ERROR_REASON_REQUEST_ID_REUSED,
            metadata={"request_id": request_id},
        )


class JobNotFinished(DeadlineExceeded):
    """The caller's deadline is near, and the job has not ended: it lives on."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The answer is not there yet. The job lives on: get or watch {name}.",
            reason=reasons.ERROR_REASON_JOB_NOT_FINISHED,
            metadata={"recommendation": name},
        )


class Stopping(Unavailable):
    """The server stops while a caller waits."""

    def __init__(self, name: str) -> None:
        super().__init__(
            "The server is stopping: repeat the call with the same request id, or watch the job.",
            reason=reasons.ERROR_REASON_SHUTTING_DOWN,
            metadata={"recommendation": name},
            retry_after=0.1,
        )


class JobNotSucceeded(FailedPrecondition):
    """The job has no answer that could be continued."""

    def __init__(self, name: str, state: str) -> None:
        super().__init__(
            f"{name} is {state}: it can be continued once it has succeeded.",
            metadata={"state": state},
        )


class JobEnded(FailedPrecondition):
    """The job has ended, and not by being cancelled."""

    def __init__(self, name: str, state: str) -> None:
        super().__init__(
            f"{name} has ended as {state}: it cannot be cancelled.", metadata={"state": state}
        )
