import errno

import asyncpg
import grpc
import pytest
from sqlalchemy.exc import DBAPIError

from recmesh_kit import errors
from recmesh_kit.passing import is_passing


def refused(code: grpc.StatusCode) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata())


@pytest.mark.parametrize(
    "error",
    [
        errors.Unavailable("away"),
        errors.Exhausted("full"),
        errors.Aborted("overtaken"),
        errors.DeadlineExceeded("late"),
        TimeoutError(),
        ConnectionResetError(),
        MemoryError(),
        OSError(errno.ENOSPC, "full"),
        asyncpg.DeadlockDetectedError("each for the other"),
        asyncpg.SerializationError("no order"),
        asyncpg.LockNotAvailableError("locked"),
        asyncpg.QueryCanceledError("slow"),
        asyncpg.ReadOnlySQLTransactionError("a standby"),
        asyncpg.CannotConnectNowError("starting"),
        asyncpg.DiskFullError("full"),
        DBAPIError("SELECT 1", None, asyncpg.DeadlockDetectedError("each for the other")),
        refused(grpc.StatusCode.UNAVAILABLE),
        refused(grpc.StatusCode.DEADLINE_EXCEEDED),
        ExceptionGroup("two", [TimeoutError(), MemoryError()]),
    ],
    ids=repr,
)
def test_what_passes(error: BaseException) -> None:
    assert is_passing(error)


@pytest.mark.parametrize(
    "error",
    [
        errors.InvalidArgument("wrong"),
        errors.NotFound("catalogs/x"),
        ValueError("wrong"),
        FileNotFoundError(errno.ENOENT, "gone"),
        asyncpg.UniqueViolationError("twice"),
        asyncpg.UndefinedTableError("no such table"),
        asyncpg.DataError("no number"),
        DBAPIError("SELECT 1", None, asyncpg.CheckViolationError("wrong")),
        refused(grpc.StatusCode.INVALID_ARGUMENT),
        refused(grpc.StatusCode.INTERNAL),
        ExceptionGroup("two", [TimeoutError(), ValueError()]),
    ],
    ids=repr,
)
def test_what_lasts(error: BaseException) -> None:
    assert not is_passing(error)
