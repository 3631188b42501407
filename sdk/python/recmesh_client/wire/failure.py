"""The one place where a status becomes an error of ours."""

from __future__ import annotations

import grpc
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode

from recmesh_client import errors
from recmesh_client.reasons import ErrorReason

DOMAIN = "recmesh"
_DETAILS = "grpc-status-details-bin"
_REQUEST_ID = "x-request-id"

BY_REASON: dict[ErrorReason, type[errors.RecmeshError]] = {
    ErrorReason.MALFORMED_REQUEST: errors.InvalidArgument,
    ErrorReason.INVALID_FIELD: errors.InvalidArgument,
    ErrorReason.INVALID_PAGE_TOKEN: errors.InvalidArgument,
    ErrorReason.INVALID_FILTER: errors.InvalidArgument,
    ErrorReason.REQUEST_ID_REUSED: errors.InvalidArgument,
    ErrorReason.TOKEN_MISSING: errors.Unauthenticated,
    ErrorReason.TOKEN_INVALID: errors.Unauthenticated,
    ErrorReason.TOKEN_EXPIRED: errors.Unauthenticated,
    ErrorReason.CREDENTIALS_INVALID: errors.SignInFailed,
    ErrorReason.REFRESH_TOKEN_INVALID: errors.Unauthenticated,
    ErrorReason.REFRESH_TOKEN_REUSED: errors.Unauthenticated,
    ErrorReason.API_KEY_INVALID: errors.SignInFailed,
    ErrorReason.ROLE_REQUIRED: errors.PermissionDenied,
    ErrorReason.ACTING_FOR_ANOTHER: errors.PermissionDenied,
    ErrorReason.RESOURCE_NOT_FOUND: errors.NotFound,
    ErrorReason.RESOURCE_EXISTS: errors.AlreadyExists,
    ErrorReason.ETAG_MISMATCH: errors.Aborted,
    ErrorReason.WRONG_STATE: errors.FailedPrecondition,
    ErrorReason.TOO_MANY_JOBS: errors.TooManyJobs,
    ErrorReason.TOO_MANY_CALLS: errors.TooManyCalls,
    ErrorReason.DATABASE_UNAVAILABLE: errors.Unavailable,
    ErrorReason.BROKER_UNAVAILABLE: errors.Unavailable,
    ErrorReason.DEPENDENCY_UNAVAILABLE: errors.Unavailable,
    ErrorReason.SHUTTING_DOWN: errors.Unavailable,
    ErrorReason.DEADLINE_EXCEEDED: errors.DeadlineExceeded,
    ErrorReason.JOB_NOT_FINISHED: errors.DeadlineExceeded,
    ErrorReason.CANCELLED: errors.Cancelled,
    ErrorReason.JOB_EXPIRED: errors.JobFailed,
    ErrorReason.ATTEMPTS_EXHAUSTED: errors.JobFailed,
    ErrorReason.MODEL_UNAVAILABLE: errors.JobFailed,
    ErrorReason.VERSION_UNSUPPORTED: errors.JobFailed,
    ErrorReason.NOT_IMPLEMENTED: errors.Unimplemented,
    ErrorReason.INTERNAL: errors.InternalError,
}
"""The error of each reason."""

BY_CODE: dict[StatusCode, tuple[type[errors.RecmeshError], ErrorReason]] = {
    StatusCode.OK: (errors.InternalError, ErrorReason.UNKNOWN),
    StatusCode.CANCELLED: (errors.Cancelled, ErrorReason.CANCELLED),
    StatusCode.UNKNOWN: (errors.InternalError, ErrorReason.UNKNOWN),
    StatusCode.INVALID_ARGUMENT: (errors.InvalidArgument, ErrorReason.UNKNOWN),
    StatusCode.DEADLINE_EXCEEDED: (errors.DeadlineExceeded, ErrorReason.DEADLINE_EXCEEDED),
    StatusCode.NOT_FOUND: (errors.NotFound, ErrorReason.UNKNOWN),
    StatusCode.ALREADY_EXISTS: (errors.AlreadyExists, ErrorReason.UNKNOWN),
    StatusCode.PERMISSION_DENIED: (errors.PermissionDenied, ErrorReason.UNKNOWN),
    StatusCode.UNAUTHENTICATED: (errors.Unauthenticated, ErrorReason.UNKNOWN),
    StatusCode.RESOURCE_EXHAUSTED: (errors.ResourceExhausted, ErrorReason.UNKNOWN),
    StatusCode.FAILED_PRECONDITION: (errors.FailedPrecondition, ErrorReason.UNKNOWN),
    StatusCode.ABORTED: (errors.Aborted, ErrorReason.UNKNOWN),
    StatusCode.OUT_OF_RANGE: (errors.InvalidArgument, ErrorReason.UNKNOWN),
    StatusCode.UNIMPLEMENTED: (errors.Unimplemented, ErrorReason.NOT_IMPLEMENTED),
    StatusCode.INTERNAL: (errors.InternalError, ErrorReason.UNKNOWN),
    StatusCode.UNAVAILABLE: (errors.Unavailable, ErrorReason.UNKNOWN),
    StatusCode.DATA_LOSS: (errors.InternalError, ErrorReason.UNKNOWN),
}
"""The error of each code, and its reason, for a status without one: from the transport, or from a proxy between."""


def error_of(failed: grpc.aio.AioRpcError, service: str) -> errors.RecmeshError:
    """What to raise for a failed call. Raise it outside of the `except` block, so that nothing of gRPC hangs on it.

    Args:
        failed: The status.
        service: Who was called, in words.
    """
    kind, reason = BY_CODE[failed.code()]
    status = status_pb2.Status()
    request_id = ""
    for key, value in failed.trailing_metadata() or ():
        if key == _DETAILS and isinstance(value, bytes):
            status = status_pb2.Status.FromString(value)
        elif key == _REQUEST_ID and isinstance(value, str):
            request_id = value
    info = error_details_pb2.ErrorInfo()
    request = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    retry_after: float | None = None
    for detail in status.details:
        if detail.Is(info.DESCRIPTOR):
            detail.Unpack(info)
        elif detail.Is(request.DESCRIPTOR):
            detail.Unpack(request)
        elif detail.Is(retry.DESCRIPTOR):
            detail.Unpack(retry)
            retry_after = retry.retry_delay.ToTimedelta().total_seconds()
    known = ErrorReason.__members__.get(info.reason.removeprefix("ERROR_REASON_"))
    if known is not None and known in BY_REASON and info.domain == DOMAIN:
        kind, reason = BY_REASON[known], known
    if kind is errors.Cancelled and known is None and not request_id:
        # So gRPC ends calls that a server which stops, or has too many, has not looked at yet. Those that this side
        # cancels end in no status.
        kind, reason = errors.Unavailable, ErrorReason.UNKNOWN
    message = failed.details() or failed.code().name
    if kind is errors.Unavailable and known is None and not request_id:
        # No service said this, but the transport.
        message = f"{service[:1].upper()}{service[1:]} cannot be reached ({_cause(message)})."
    return kind(
        message,
        reason=reason,
        fields=[
            errors.FieldViolation(violation.field, violation.description)
            for violation in request.field_violations
        ],
        metadata=info.metadata,
        retry_after=retry_after,
        request_id=request_id or info.metadata.get("request_id", ""),
    )


def _cause(said: str) -> str:
    """The last part of what gRPC's transport says, where it begins with a summary of all addresses."""
    return said.rpartition("last error: ")[2].removeprefix("UNKNOWN: ").rstrip(". ")
