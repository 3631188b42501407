from __future__ import annotations

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from libs.kit.tests.calls import FILMS, catalogs, failure, stub
from recmesh.common.v1 import error_reason_pb2 as reasons
from recmesh_kit import errors
from recmesh_kit.chain import failure as table
from recmesh_kit.errors import InvalidArgument, NotFound, RecmeshError, Violation
from recmesh_kit.testing import bearer, fields_of, reason_of, running, status_of

CODES = {
    errors.InvalidArgument("no"): grpc.StatusCode.INVALID_ARGUMENT,
    errors.Unauthenticated("no"): grpc.StatusCode.UNAUTHENTICATED,
    errors.PermissionDenied("no"): grpc.StatusCode.PERMISSION_DENIED,
    errors.NotFound("catalogs/films"): grpc.StatusCode.NOT_FOUND,
    errors.AlreadyExists("catalogs/films"): grpc.StatusCode.ALREADY_EXISTS,
    errors.FailedPrecondition("no"): grpc.StatusCode.FAILED_PRECONDITION,
    errors.Aborted("no"): grpc.StatusCode.ABORTED,
    errors.Exhausted("no"): grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.Unavailable("no"): grpc.StatusCode.UNAVAILABLE,
    errors.DeadlineExceeded("no"): grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.NotImplementedYet("no"): grpc.StatusCode.UNIMPLEMENTED,
    errors.RecmeshError("no"): grpc.StatusCode.INTERNAL,
}


async def answered(error: RecmeshError) -> grpc.aio.AioRpcError:
    """The error as a caller gets it."""

    async def fail(_: object, __: object) -> None:
        raise error

    async with running([catalogs(GetCatalog=fail)]) as channel:
        return await failure(stub(channel).GetCatalog(FILMS, metadata=bearer("ann")))


def detail(status: status_pb2.Status, kind: type) -> object:
    found = kind()
    assert any(packed.Unpack(found) for packed in status.details)
    return found


@pytest.mark.parametrize(("error", "code"), CODES.items(), ids=lambda value: type(value).__name__)
def test_codes(error: RecmeshError, code: grpc.StatusCode) -> None:
    assert table.code_of(error) is code
    assert table.status(error).code == code.value[0]


def test_every_category_has_a_code() -> None:
    assert {type(error) for error in CODES} == {RecmeshError, *RecmeshError.__subclasses__()}


def test_a_subclass_has_the_code_of_its_category() -> None:
    class JobNotFound(NotFound):
        pass

    assert table.code_of(JobNotFound("jobs/1")) is grpc.StatusCode.NOT_FOUND


async def test_reason_and_facts_arrive() -> None:
    error = await answered(NotFound("catalogs/films"))
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert error.details() == "catalogs/films does not exist, or you may not see it."
    info = error_details_pb2.ErrorInfo(
        reason="ERROR_REASON_RESOURCE_NOT_FOUND",
        domain="recmesh",
        metadata={"resource": "catalogs/films"},
    )
    assert detail(status_of(error), error_details_pb2.ErrorInfo) == info


async def test_violations_arrive() -> None:
    error = await answered(InvalidArgument([Violation("a.b", "is odd"), Violation("c", "is even")]))
    assert fields_of(error) == ["a.b", "c"]
    assert error.details() == "a.b: is odd; c: is even"


def test_a_reason_of_its_own() -> None:
    error = errors.FailedPrecondition("no", reason=reasons.ERROR_REASON_JOB_EXPIRED)
    assert table.reason_of(error) == "ERROR_REASON_JOB_EXPIRED"


def test_when_to_come_back() -> None:
    status = table.status(errors.Exhausted("no", retry_after=2.5))
    found = detail(status, error_details_pb2.RetryInfo)
    assert isinstance(found, error_details_pb2.RetryInfo)
    assert found.retry_delay.ToMilliseconds() == 2500


LONG = [
    NotFound("x" * 10_000),
    NotFound("я" * 10_000),
    NotFound("\x01%\n" * 3_000),
    NotFound("\ud800" * 10_000),
    InvalidArgument([Violation("ж" * 9_000, "ж" * 9_000)] * 9_000),
    InvalidArgument([Violation(f"requests[{n}].item.title", "is required") for n in range(9_000)]),
    errors.FailedPrecondition("no", metadata=dict.fromkeys("abcdef", "я" * 9_000)),
    InvalidArgument([Violation("я" * 999, "я" * 999)] * 99, metadata={"a": "я" * 9_000}),
]


@pytest.mark.parametrize("error", LONG, ids=range(len(LONG)))
async def test_errors_that_are_too_long_arrive(error: RecmeshError) -> None:
    found = await answered(error)
    assert found.code() is table.code_of(error)
    assert reason_of(found) in ("RESOURCE_NOT_FOUND", "INVALID_FIELD", "WRONG_STATE")


@pytest.mark.parametrize("error", LONG, ids=range(len(LONG)))
def test_errors_fit_into_eight_kibibytes_of_headers(error: RecmeshError) -> None:
    status = table.status(error)
    encoded = 3 * len(status.message.encode()) + status.ByteSize() * 4 / 3
    assert encoded < 8192 - 400


def test_as_many_violations_as_fit() -> None:
    error = InvalidArgument([Violation(f"items[{n}]", "is required") for n in range(50)])
    found = detail(table.status(error), error_details_pb2.BadRequest)
    assert isinstance(found, error_details_pb2.BadRequest)
    assert len(found.field_violations) > 40


async def test_other_scripts_arrive() -> None:
    error = await answered(NotFound("catalogs/фильмы/items/七人の侍"))
    assert (
        error.details() == "catalogs/фильмы/items/七人の侍 does not exist, or you may not see it."
    )


def test_the_longest_name_is_not_cut() -> None:
    name = f"catalogs/{'я' * 128}/items/{'🎬' * 128}"
    found = detail(table.status(NotFound(name)), error_details_pb2.ErrorInfo)
    assert isinstance(found, error_details_pb2.ErrorInfo)
    assert found.metadata["resource"] == name


@pytest.mark.parametrize(
    ("text", "most", "expected"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "…"),
        ("abcdef", 5, "ab…"),
        ("яяя", 5, "я…"),
        ("яяя", 6, "яяя"),
    ],
)
def test_cut(text: str, most: int, expected: str) -> None:
    assert table.cut(text, most) == expected
