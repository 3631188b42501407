"""Why a call or a job failed, to branch on."""

from __future__ import annotations

from enum import StrEnum, auto


class ErrorReason(StrEnum):
    """The reasons of the contract (`recmesh.common.v1.ErrorReason`, where each is explained)."""

    UNKNOWN = auto()
    """None was given, or one that this version does not know."""

    MALFORMED_REQUEST = auto()
    INVALID_FIELD = auto()
    INVALID_PAGE_TOKEN = auto()
    INVALID_FILTER = auto()
    REQUEST_ID_REUSED = auto()

    TOKEN_MISSING = auto()
    TOKEN_INVALID = auto()
    TOKEN_EXPIRED = auto()
    CREDENTIALS_INVALID = auto()
    REFRESH_TOKEN_INVALID = auto()
    REFRESH_TOKEN_REUSED = auto()
    API_KEY_INVALID = auto()

    ROLE_REQUIRED = auto()
    ACTING_FOR_ANOTHER = auto()

    RESOURCE_NOT_FOUND = auto()
    RESOURCE_EXISTS = auto()
    ETAG_MISMATCH = auto()
    WRONG_STATE = auto()

    TOO_MANY_JOBS = auto()
    TOO_MANY_CALLS = auto()

    DATABASE_UNAVAILABLE = auto()
    BROKER_UNAVAILABLE = auto()
    DEPENDENCY_UNAVAILABLE = auto()
    SHUTTING_DOWN = auto()

    DEADLINE_EXCEEDED = auto()
    JOB_NOT_FINISHED = auto()
    CANCELLED = auto()

    JOB_EXPIRED = auto()
    ATTEMPTS_EXHAUSTED = auto()
    MODEL_UNAVAILABLE = auto()
    VERSION_UNSUPPORTED = auto()

    NOT_IMPLEMENTED = auto()
    INTERNAL = auto()
