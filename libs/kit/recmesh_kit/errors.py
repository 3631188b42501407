"""Errors of the domain: what went wrong, without a word of any transport.

Raise one of the categories below, or a subclass in the service's `errors.py`, from anywhere. The call chain turns it
into a status with details (`chain/failure.py` holds the one table), a worker into the job's error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from recmesh.common.v1 import error_reason_pb2 as reasons
from recmesh.common.v1.error_reason_pb2 import ErrorReason


@dataclass(frozen=True, slots=True)
class Violation:
    """A field at fault.

    Attributes:
        field: Path from the request, such as `item.release_year` or `names[3]`.
        message: What the field must hold.
    """

    field: str
    message: str


class CannotStart(Exception):
    """What a process needs is not as it must be, and waiting will not help. The text says what to do: it is told on
    stderr, and the process ends."""


class RecmeshError(Exception):
    """Base of all: a stable reason to branch on and a sentence that says what to do.

    Args:
        message: A sentence for people. Never a stack, SQL or a secret.
        reason: The reason; default the category's.
        metadata: Facts for programs, such as `{"resource": "catalogs/films"}`.
        retry_after: Seconds after which another try makes sense; None when a repeat alone will not help.
    """

    reason: ErrorReason.ValueType = reasons.ERROR_REASON_INTERNAL

    def __init__(
        self,
        message: str,
        *,
        reason: ErrorReason.ValueType | None = None,
        metadata: Mapping[str, str] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = self.reason if reason is None else reason
        self.metadata = dict(metadata or {})
        self.retry_after = retry_after


class InvalidArgument(RecmeshError):
    """The request says something it may not, whatever the state of the system."""

    reason = reasons.ERROR_REASON_INVALID_FIELD

    def __init__(
        self,
        violations: Sequence[Violation] | str,
        *,
        reason: ErrorReason.ValueType | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        listed = [] if isinstance(violations, str) else list(violations)
        message = violations if isinstance(violations, str) else _sentence(listed)
        super().__init__(message, reason=reason, metadata=metadata)
        self.violations = listed


def _sentence(violations: Sequence[Violation]) -> str:
    shown = "; ".join(f"{v.field}: {v.message}" for v in violations[:3])
    more = len(violations) - 3
    return shown + (f"; and {more} more" if more > 0 else "")


class Unauthenticated(RecmeshError):
    """Nobody knows who is calling."""

    reason = reasons.ERROR_REASON_TOKEN_MISSING


class PermissionDenied(RecmeshError):
    """The caller is known and may not do this."""

    reason = reasons.ERROR_REASON_ROLE_REQUIRED


class NotFound(RecmeshError):
    """No such resource, or none that the caller may see: never say which."""

    reason = reasons.ERROR_REASON_RESOURCE_NOT_FOUND

    def __init__(self, resource: str) -> None:
        super().__init__(
            f"{resource} does not exist, or you may not see it.", metadata={"resource": resource}
        )


class AlreadyExists(RecmeshError):
    """The name is taken."""

    reason = reasons.ERROR_REASON_RESOURCE_EXISTS

    def __init__(self, resource: str, message: str | None = None) -> None:
        super().__init__(message or f"{resource} exists already.", metadata={"resource": resource})


class FailedPrecondition(RecmeshError):
    """The resource is not in a state that allows this."""

    reason = reasons.ERROR_REASON_WRONG_STATE


class Aborted(RecmeshError):
    """Somebody else was faster: read again and repeat."""

    reason = reasons.ERROR_REASON_ETAG_MISMATCH


class Exhausted(RecmeshError):
    """As much is in hand as is taken on: come back after `retry_after` seconds."""

    reason = reasons.ERROR_REASON_TOO_MANY_CALLS

    def __init__(
        self, message: str, *, reason: ErrorReason.ValueType | None = None, retry_after: float = 1.0
    ) -> None:
        super().__init__(message, reason=reason, retry_after=retry_after)


class Unavailable(RecmeshError):
    """Something that the call needs is away for now."""

    reason = reasons.ERROR_REASON_DEPENDENCY_UNAVAILABLE

    def __init__(
        self,
        message: str,
        *,
        reason: ErrorReason.ValueType | None = None,
        metadata: Mapping[str, str] | None = None,
        retry_after: float = 1.0,
    ) -> None:
        super().__init__(message, reason=reason, metadata=metadata, retry_after=retry_after)


class DeadlineExceeded(RecmeshError):
    """The caller's time is up."""

    reason = reasons.ERROR_REASON_DEADLINE_EXCEEDED


class NotImplementedYet(RecmeshError):
    """Part of the contract, and not yet served."""

    reason = reasons.ERROR_REASON_NOT_IMPLEMENTED
