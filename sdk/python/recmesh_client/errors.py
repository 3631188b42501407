"""What a call may raise. Every class is a `RecmeshError`; `wire/failure.py` holds the table of which is raised when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from recmesh_client.reasons import ErrorReason


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """A field at fault.

    Attributes:
        field: Path from the request, such as `item.release_year`.
        message: What the field must hold.
    """

    field: str
    message: str


class RecmeshError(Exception):
    """Base of all errors.

    Attributes:
        message: A sentence for people. Never branch on it.
        reason: The reason to branch on.
        fields: The fields at fault, for an invalid request.
        metadata: Facts for programs, such as `{"resource": "catalogs/films"}`.
        retry_after: Seconds after which another try makes sense; None when the server did not say.
        request_id: The id under which the server logged the call; empty when the call did not get there.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: ErrorReason = ErrorReason.UNKNOWN,
        fields: Sequence[FieldViolation] = (),
        metadata: Mapping[str, str] = MappingProxyType({}),
        retry_after: float | None = None,
        request_id: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.fields = tuple(fields)
        self.metadata = dict(metadata)
        self.retry_after = retry_after
        self.request_id = request_id

    @property
    def recommendation(self) -> str:
        """Name of the job that the error is about, fit for `get_recommendation` and `watch`; empty when of none."""
        return self.metadata.get("recommendation", "")


class InvalidArgument(RecmeshError):
    """The request says something it may not; `fields` names what."""


class Unauthenticated(RecmeshError):
    """Nobody is signed in, or the sign-in has ended and cannot be renewed."""


class SignInFailed(Unauthenticated):
    """The password or the API key is not right."""


class PermissionDenied(RecmeshError):
    """The caller is known and may not do this."""


class NotFound(RecmeshError):
    """No such resource, or none that the caller may see."""


class AlreadyExists(RecmeshError):
    """The name is taken."""


class Aborted(RecmeshError):
    """Somebody else was faster (an etag did not match): read again and repeat."""


class FailedPrecondition(RecmeshError):
    """The resource is not in a state that allows this."""


class ResourceExhausted(RecmeshError):
    """As much is in hand as is taken on: come back after `retry_after` seconds."""


class TooManyJobs(ResourceExhausted):
    """More jobs are unfinished than the deployment admits."""


class TooManyCalls(ResourceExhausted):
    """The server has as many calls in hand as it takes."""


class Unavailable(RecmeshError):
    """The service, or something that it needs, is away for now."""


class DeadlineExceeded(RecmeshError):
    """The time is up. With reason JOB_NOT_FINISHED the job lives on under the name in `recommendation`."""


class Cancelled(RecmeshError):
    """The call, or the job that it waited for, was cancelled."""


class JobFailed(RecmeshError):
    """The job ended without an answer; `recommendation` is its name."""


class Unimplemented(RecmeshError):
    """Part of the contract, and not yet served by this deployment."""


class InternalError(RecmeshError):
    """A defect of the server; `request_id` says where to look in its log."""
