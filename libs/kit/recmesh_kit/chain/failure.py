"""The one place where an error becomes a status."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc import StatusCode

from recmesh.common.v1.error_reason_pb2 import ErrorReason
from recmesh_kit import errors

DOMAIN = "recmesh"

# A status travels as headers, and many clients drop a call whose headers have more than 8 KiB. There the message stands
# percent-encoded (up to three bytes for one) and the details in base64 (four for three).
_MESSAGE_BYTES = 768
_METADATA_BYTES = 1200
"""For all values together: the longest resource name has 1,100."""
_VIOLATIONS_BYTES = 1600
_VIOLATION_TEXT_BYTES = 256

_CODES: dict[type[errors.RecmeshError], StatusCode] = {
    errors.InvalidArgument: StatusCode.INVALID_ARGUMENT,
    errors.Unauthenticated: StatusCode.UNAUTHENTICATED,
    errors.PermissionDenied: StatusCode.PERMISSION_DENIED,
    errors.NotFound: StatusCode.NOT_FOUND,
    errors.AlreadyExists: StatusCode.ALREADY_EXISTS,
    errors.FailedPrecondition: StatusCode.FAILED_PRECONDITION,
    errors.Aborted: StatusCode.ABORTED,
    errors.Exhausted: StatusCode.RESOURCE_EXHAUSTED,
    errors.Unavailable: StatusCode.UNAVAILABLE,
    errors.DeadlineExceeded: StatusCode.DEADLINE_EXCEEDED,
    errors.NotImplementedYet: StatusCode.UNIMPLEMENTED,
}


def code_of(error: errors.RecmeshError) -> StatusCode:
    """The status code of an error, by its category."""
    for kind in type(error).__mro__:
        if kind in _CODES:
            return _CODES[kind]
    return StatusCode.INTERNAL


def reason_of(error: errors.RecmeshError) -> str:
    """The name of an error's reason, as `ErrorInfo` has it."""
    return ErrorReason.Name(error.reason)


def unknown(request_id: str) -> errors.RecmeshError:
    """What to answer for an error that is none of ours: it gives nothing away."""
    return errors.RecmeshError(
        f"Something went wrong on our side; it is logged under request id {request_id}.",
        metadata={"request_id": request_id},
    )


def status(error: errors.RecmeshError) -> status_pb2.Status:
    """The rich status (`google.rpc.Status`, AIP-193) of an error. What is too long for headers is cut."""
    details: list[Message] = [
        error_details_pb2.ErrorInfo(
            reason=reason_of(error), domain=DOMAIN, metadata=_metadata(error.metadata)
        )
    ]
    if isinstance(error, errors.InvalidArgument) and error.violations:
        found = list(_violations(error.violations))
        details.append(error_details_pb2.BadRequest(field_violations=found))
    if error.retry_after is not None:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(round(error.retry_after * 1000))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    return status_pb2.Status(
        code=code_pb2.Code.Value(code_of(error).name),
        message=cut(error.message, _MESSAGE_BYTES),
        details=[_packed(detail) for detail in details],
    )


def cut(text: str, most: int) -> str:
    """The beginning of a text, at most so many bytes in UTF-8; an ellipsis stands for what is left out."""
    encoded = text.encode(errors="replace")
    if len(encoded) <= most:
        return encoded.decode()
    return encoded[: most - 3].decode(errors="ignore") + "…"


def _metadata(facts: Mapping[str, str]) -> dict[str, str]:
    most = _METADATA_BYTES // max(1, len(facts))
    return {key: cut(value, most) for key, value in facts.items()}


def _violations(
    violations: Sequence[errors.Violation],
) -> Iterable[error_details_pb2.BadRequest.FieldViolation]:
    room = _VIOLATIONS_BYTES
    for violation in violations:
        found = error_details_pb2.BadRequest.FieldViolation(
            field=cut(violation.field, _VIOLATION_TEXT_BYTES),
            description=cut(violation.message, _VIOLATION_TEXT_BYTES),
        )
        room -= found.ByteSize() + 3
        if room < 0:
            return
        yield found


def _packed(message: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed
