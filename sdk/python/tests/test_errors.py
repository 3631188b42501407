from __future__ import annotations

import grpc
import pytest
from sdk.python.tests.fake import Failure, Fake

from recmesh.common.v1 import error_reason_pb2
from recmesh.recommender.v1.recommendation_pb2 import JobError
from recmesh.recommender.v1.recommendation_pb2 import Recommendation as Wire
from recmesh_client import (
    AsyncClient,
    Cancelled,
    DeadlineExceeded,
    ErrorReason,
    FieldViolation,
    InvalidArgument,
    JobFailed,
    NotFound,
    Password,
    RecmeshError,
    Retry,
    Targets,
    TooManyJobs,
    Unavailable,
)
from recmesh_client.convert.basics import REASONS
from recmesh_client.wire import failure

NAME = "catalogs/films/recommendations/1"


@pytest.mark.parametrize("code", grpc.StatusCode)
def test_every_code_has_an_error(code: grpc.StatusCode) -> None:
    kind, _ = failure.BY_CODE[code]
    assert issubclass(kind, RecmeshError)


def test_every_reason_of_the_contract_has_an_error() -> None:
    contract = {REASONS.member(number) for _, number in error_reason_pb2.ErrorReason.items()}
    assert contract == set(ErrorReason)
    assert set(failure.BY_REASON) == contract - {ErrorReason.UNKNOWN}


@pytest.mark.parametrize("reason", failure.BY_REASON)
async def test_a_reason_makes_the_error(
    client: AsyncClient, fake: Fake, reason: ErrorReason
) -> None:
    fake.script("CreateCatalog", Failure(grpc.StatusCode.UNKNOWN, reason.name))
    with pytest.raises(RecmeshError) as raised:
        await client.create_catalog("films")
    assert type(raised.value) is failure.BY_REASON[reason]
    assert raised.value.reason is reason


@pytest.mark.parametrize("code", list(grpc.StatusCode)[1:])
async def test_without_a_reason_the_code_makes_the_error(
    client: AsyncClient, fake: Fake, code: grpc.StatusCode
) -> None:
    fake.script("CreateCatalog", Failure(code))
    with pytest.raises(RecmeshError) as raised:
        await client.create_catalog("films")
    assert (type(raised.value), raised.value.reason) == failure.BY_CODE[code]


async def test_an_error_says_what_the_server_said(client: AsyncClient, fake: Fake) -> None:
    fake.script(
        "CreateCatalog",
        Failure(
            grpc.StatusCode.INVALID_ARGUMENT,
            "INVALID_FIELD",
            "not so",
            metadata={"a": "b"},
            fields={"catalog_id": "must be short"},
            retry_after=1.5,
            request_id="r-7",
        ),
    )
    with pytest.raises(InvalidArgument) as raised:
        await client.create_catalog("films")
    error = raised.value
    assert (error.message, str(error)) == ("not so", "not so")
    assert error.fields == (FieldViolation("catalog_id", "must be short"),)
    assert (error.metadata, error.retry_after, error.request_id) == ({"a": "b"}, 1.5, "r-7")


async def test_a_reason_that_is_newer_than_this_version(client: AsyncClient, fake: Fake) -> None:
    fake.script("GetItem", Failure(grpc.StatusCode.NOT_FOUND, "GONE_FISHING"))
    with pytest.raises(NotFound) as raised:
        await client.get_item("films", "1")
    assert raised.value.reason is ErrorReason.UNKNOWN


async def test_nothing_of_grpc_hangs_on_an_error(client: AsyncClient, fake: Fake) -> None:
    fake.script("GetItem", Failure(grpc.StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND"))
    with pytest.raises(NotFound) as raised:
        await client.get_item("films", "1")
    assert (raised.value.__cause__, raised.value.__context__) == (None, None)


async def test_nobody_there_is_told_with_the_service_and_its_address(fake: Fake) -> None:
    await fake.stop()
    targets = Targets("localhost:1", fake.target, fake.target)
    async with AsyncClient.connect(targets, retry=Retry(attempts=1)) as client:
        with pytest.raises(Unavailable) as unary:
            await client.get_catalog("films")
        with pytest.raises(Unavailable) as stream:
            await anext(client.export_items("films"))
        with pytest.raises(Unavailable) as upload:
            await client.import_items("films", [])
        with pytest.raises(Unavailable) as auth:
            await client.sign_in(Password("me@example.org", "correct horse"))
    for raised in (unary, stream, upload):
        said = raised.value.message
        assert said.startswith(f"The catalog service at {fake.target} cannot be reached (")
        assert said.endswith(").")
    assert auth.value.message.startswith("The auth service at localhost:1 cannot be reached (")


async def test_a_service_that_is_away_says_so_itself(client: AsyncClient, fake: Fake) -> None:
    away = Failure(grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN", "Stopping.")
    fake.script("CreateCatalog", away)
    with pytest.raises(Unavailable, match=r"^Stopping\.$"):
        await client.create_catalog("films")


async def test_an_unfinished_job_is_named(client: AsyncClient, fake: Fake) -> None:
    code = grpc.StatusCode.DEADLINE_EXCEEDED
    fake.script("Recommend", Failure(code, "JOB_NOT_FINISHED", metadata={"recommendation": NAME}))
    with pytest.raises(DeadlineExceeded) as raised:
        await client.recommend("films", title="Alien")
    assert raised.value.recommendation == NAME
    assert raised.value.reason is ErrorReason.JOB_NOT_FINISHED


async def test_a_job_that_fails_raises(client: AsyncClient, fake: Fake) -> None:
    error = JobError(reason=error_reason_pb2.ERROR_REASON_ATTEMPTS_EXHAUSTED, message="in vain")
    fake.script("Recommend", Wire(name=NAME, state=Wire.STATE_FAILED, error=error))
    with pytest.raises(JobFailed, match="in vain") as raised:
        await client.recommend("films", title="Alien")
    assert raised.value.reason is ErrorReason.ATTEMPTS_EXHAUSTED
    assert raised.value.recommendation == NAME


async def test_a_job_that_is_cancelled_raises(client: AsyncClient, fake: Fake) -> None:
    fake.script("Recommend", Wire(name=NAME, state=Wire.STATE_CANCELLED))
    with pytest.raises(Cancelled):
        await client.recommend("films", title="Alien")


async def test_too_many_jobs_says_when_to_come_back(client: AsyncClient, fake: Fake) -> None:
    full = Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_JOBS", retry_after=70)
    fake.script("Recommend", full)
    with pytest.raises(TooManyJobs) as raised:
        await client.recommend("films", title="Alien", timeout=60)
    assert raised.value.retry_after == 70
