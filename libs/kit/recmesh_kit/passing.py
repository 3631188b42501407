"""Errors that pass by themselves, and errors that do not: what is worth another try."""

from __future__ import annotations

import errno

import grpc

from recmesh_kit import errors

_KINDS = (
    errors.Unavailable,
    errors.Exhausted,
    errors.Aborted,
    errors.DeadlineExceeded,
    TimeoutError,
    ConnectionError,
    MemoryError,
)
_CODES = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.ABORTED,
)
_NUMBERS = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.ENOMEM,
    errno.EMFILE,
    errno.ENFILE,
    errno.EAGAIN,
    errno.EIO,
)
_STATES = (
    "08",  # The connection is lost.
    "25006",  # The server that was written to is a standby: the primary is another one now.
    "40001",  # Two transactions could not be put in an order,
    "40P01",  # or waited for each other.
    "53",  # Out of connections, memory or disk.
    "55P03",  # Somebody else has it locked.
    "57",  # The statement took too long, or the server stops or starts.
    "58",  # The server's own disk or system failed.
)
"""SQLSTATEs, or their classes (https://www.postgresql.org/docs/current/errcodes-appendix.html)."""


def is_passing(error: BaseException) -> bool:
    """Whether the same may go well a little later, with nobody changing anything: something is away, full, locked or
    slow. What is wrong with the thing itself, and every defect of ours, lasts.

    Args:
        error: Of ours, of SQLAlchemy, asyncpg or gRPC, or Python's own. A group passes when all of it does.
    """
    if isinstance(error, BaseExceptionGroup):
        return all(is_passing(one) for one in error.exceptions)
    if isinstance(error, _KINDS):
        return True
    if isinstance(error, grpc.aio.AioRpcError):
        return error.code() in _CODES
    if isinstance(error, OSError):
        return error.errno in _NUMBERS
    state = sqlstate_of(error)
    return state is not None and state.startswith(_STATES)


def sqlstate_of(error: BaseException) -> str | None:
    """The SQLSTATE of an error of asyncpg, or of SQLAlchemy's around one; None for any other."""
    state = getattr(getattr(error, "orig", error), "sqlstate", None)
    return state if isinstance(state, str) else None
