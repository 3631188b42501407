from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2
from structlog.testing import capture_logs

from libs.kit.tests.calls import FILMS, catalogs, chained, drain, failure, health_of, stub, until
from recmesh.catalog.v1 import catalog_service_pb2 as pb
from recmesh.catalog.v1.catalog_pb2 import Catalog
from recmesh_kit import server
from recmesh_kit.chain import chain as chains
from recmesh_kit.chain.chain import Chain
from recmesh_kit.context import remaining
from recmesh_kit.errors import DeadlineExceeded, NotFound
from recmesh_kit.testing import EDITOR, bearer, reason_of, running, status_of, verifier

CALLER = bearer("eve", EDITOR)
EXPORT = pb.ExportItemsRequest(parent="catalogs/films")


class Waits:
    """A method that never ends by itself."""

    def __init__(self) -> None:
        self.begun = 0
        self.ended: list[type[BaseException]] = []

    async def unary(self, _: object, __: object) -> Catalog:
        return await self._wait()

    async def stream(self, _: object, __: object) -> AsyncIterator[pb.ExportItemsResponse]:
        yield pb.ExportItemsResponse(revision=1)
        await self._wait()

    async def flood(self, _: object, __: object) -> AsyncIterator[pb.ExportItemsResponse]:
        self.begun += 1
        try:
            while True:
                yield pb.ExportItemsResponse(deleted_names=["x" * 100_000])
        except BaseException as error:
            self.ended.append(type(error))
            raise

    async def _wait(self) -> Catalog:
        self.begun += 1
        try:
            await asyncio.Event().wait()
        except BaseException as error:
            self.ended.append(type(error))
            raise
        raise AssertionError


async def test_the_default_deadline_ends_a_call() -> None:
    waits = Waits()
    async with running([catalogs(GetCatalog=waits.unary)], default_deadline_seconds=0.1) as channel:
        error = await failure(stub(channel).GetCatalog(FILMS, metadata=CALLER))
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert reason_of(error) == "DEADLINE_EXCEEDED"
    assert waits.ended == [asyncio.CancelledError]


async def test_a_long_deadline_is_cut() -> None:
    waits = Waits()
    async with running([catalogs(GetCatalog=waits.unary)], max_deadline_seconds=0.1) as channel:
        error = await failure(stub(channel).GetCatalog(FILMS, metadata=CALLER, timeout=30))
    assert reason_of(error) == "DEADLINE_EXCEEDED"


async def test_the_stream_deadline_ends_a_stream() -> None:
    async with chained(catalogs(ExportItems=Waits().stream), stream_deadline=0.2) as (channel, _):
        # Whether or not the machine was fast enough for the first answer.
        error = await failure(drain(stub(channel).ExportItems(EXPORT, metadata=CALLER)))
    assert reason_of(error) == "DEADLINE_EXCEEDED"


async def test_the_deadline_ends_a_stream_that_nobody_reads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(chains, "_ABORT_SECONDS", 0.1)
    waits = Waits()
    service = catalogs(ExportItems=waits.flood)
    async with chained(service, stream_deadline=0.2) as (channel, chain):
        call = stub(channel).ExportItems(EXPORT, metadata=CALLER)
        await until(lambda: waits.ended)
        await until(lambda: chain.in_hand == 0)
        error = await failure(drain(call))
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert waits.ended == [GeneratorExit]


async def test_the_callers_deadline_is_known() -> None:
    seen = []

    async def look(_: object, __: object) -> Catalog:
        seen.append(remaining())
        return Catalog()

    async with running([catalogs(GetCatalog=look)]) as channel:
        await stub(channel).GetCatalog(FILMS, metadata=CALLER, timeout=90)
    [left] = seen
    assert left is not None
    # The default is 30, the most 120. Two clocks, so nothing is exact.
    assert 60 < left < 91
    assert remaining() is None


async def test_what_a_service_says_of_a_deadline_stands() -> None:
    async def late(_: object, __: object) -> Catalog:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise DeadlineExceeded("It goes on as j1.", metadata={"job": "j1"}) from None
        raise AssertionError

    async with running([catalogs(GetCatalog=late)], default_deadline_seconds=0.1) as channel:
        error = await failure(stub(channel).GetCatalog(FILMS, metadata=CALLER))
    assert error.details() == "It goes on as j1."


async def test_a_timeout_of_the_services_own_is_no_deadline() -> None:
    async def late(_: object, __: object) -> Catalog:
        raise TimeoutError

    async with running([catalogs(GetCatalog=late)]) as channel:
        error = await failure(stub(channel).GetCatalog(FILMS, metadata=CALLER))
    assert reason_of(error) == "INTERNAL"


async def test_a_cancelled_wait_of_the_services_own_is_a_defect() -> None:
    async def stray(_: object, __: object) -> Catalog:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        return await future  # type: ignore[no-any-return]

    async with running([catalogs(GetCatalog=stray)]) as channel:
        error = await failure(stub(channel).GetCatalog(FILMS, metadata=CALLER, timeout=60))
    assert reason_of(error) == "INTERNAL"


async def test_a_caller_that_goes_away_ends_the_call() -> None:
    waits = Waits()
    async with chained(catalogs(GetCatalog=waits.unary)) as (channel, chain):
        with capture_logs() as logs:
            call = stub(channel).GetCatalog(FILMS, metadata=CALLER)
            await until(lambda: waits.begun)
            assert chain.in_hand == 1
            call.cancel()
            await until(lambda: chain.in_hand == 0)
    assert waits.ended == [asyncio.CancelledError]
    assert [line["code"] for line in logs if line["event"] == "call"] == ["CANCELLED"]


async def test_a_caller_that_goes_away_ends_a_stream() -> None:
    waits = Waits()
    async with chained(catalogs(ExportItems=waits.flood)) as (channel, chain):
        call = stub(channel).ExportItems(EXPORT, metadata=CALLER)
        await call.read()
        call.cancel()
        await until(lambda: chain.in_hand == 0)
    assert waits.ended == [GeneratorExit]


class Gone:
    """A call whose caller is gone, as it is before grpc cancels it: nothing can be sent."""

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return CALLER

    def set_trailing_metadata(self, _: object) -> None:
        pass

    def time_remaining(self) -> float:
        return 60.0

    async def write(self, _: bytes) -> None:
        raise grpc.aio.InternalError("nobody is there")

    async def abort(self, *_: object) -> None:
        raise grpc.aio.InternalError("nobody is there")


@pytest.mark.parametrize(
    ("name", "request_", "code"),
    [("ExportItems", EXPORT, "CANCELLED"), ("GetCatalog", FILMS, "NOT_FOUND")],
)
async def test_who_is_gone_before_grpc_says_so_is_no_defect(
    name: str, request_: Message, code: str
) -> None:
    async def fail(_: object, __: object) -> Catalog:
        raise NotFound("films")

    waits = Waits()
    service = catalogs(ExportItems=waits.flood, GetCatalog=fail)
    limits = {"default_deadline": 30, "max_deadline": 30, "stream_deadline": 30, "max_calls": 100}
    chain = Chain(verifier, **limits)  # type: ignore[arg-type]
    details: Any = SimpleNamespace(method=f"/{service.descriptor.full_name}/{name}")
    handler: Any = chain.handler(service.descriptor, service.servicer).service(details)
    with capture_logs() as logs, pytest.raises(asyncio.CancelledError):
        await (handler.unary_unary or handler.unary_stream)(request_.SerializeToString(), Gone())
    assert [(line["event"], line["code"]) for line in logs] == [("call", code)]
    assert waits.ended == ([GeneratorExit] if code == "CANCELLED" else [])


async def test_a_caller_that_goes_away_ends_a_stream_of_requests() -> None:
    begun, ended = [], []

    async def take(requests: AsyncIterator[object], _: object) -> pb.ImportItemsResponse:
        begun.append(True)
        try:
            async for _request in requests:
                pass
        finally:
            ended.append(True)
        return pb.ImportItemsResponse()

    async with chained(catalogs(ImportItems=take)) as (channel, chain):
        call = stub(channel).ImportItems(metadata=CALLER)
        await call.write(pb.ImportItemsRequest(parent="catalogs/films"))
        await until(lambda: begun)
        call.cancel()
        await until(lambda: ended)
        await until(lambda: chain.in_hand == 0)


async def test_too_many_calls_are_turned_away() -> None:
    waits = Waits()
    async with running([catalogs(GetCatalog=waits.unary)], max_concurrent_calls=1) as channel:
        first = stub(channel).GetCatalog(FILMS, metadata=CALLER)
        await until(lambda: waits.begun)
        error = await failure(stub(channel).GetCatalog(FILMS, metadata=CALLER))
        first.cancel()
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert reason_of(error) == "TOO_MANY_CALLS"
    retry = error_details_pb2.RetryInfo()
    assert any(detail.Unpack(retry) for detail in status_of(error).details)
    assert retry.retry_delay.ToSeconds() == 1


async def test_who_is_turned_away_is_told_the_request_id_and_counted() -> None:
    waits = Waits()
    turned_away: list[str] = []

    class Watcher:
        def begin(self, call: object, metadata: object) -> Callable[[str, float], None]:
            return lambda code, seconds: None

        def turned_away(self, path: str) -> None:
            turned_away.append(path)

    async with chained(catalogs(GetCatalog=waits.unary), max_calls=1, observer=Watcher()) as (
        channel,
        _,
    ):
        first = stub(channel).GetCatalog(FILMS, metadata=CALLER)
        await until(lambda: waits.begun)
        # Nothing of it is read: neither its token nor what it asks.
        error = await failure(stub(channel).GetCatalog(FILMS, metadata=(("x-request-id", "mine"),)))
        first.cancel()
    assert reason_of(error) == "TOO_MANY_CALLS"
    assert dict(error.trailing_metadata() or ())["x-request-id"] == "mine"
    assert turned_away == ["/recmesh.catalog.v1.CatalogService/GetCatalog"]


async def test_a_stream_is_turned_away_as_well() -> None:
    waits = Waits()
    async with running([catalogs(GetCatalog=waits.unary)], max_concurrent_calls=1) as channel:
        first = stub(channel).GetCatalog(FILMS, metadata=CALLER)
        await until(lambda: waits.begun)
        call = stub(channel).ImportItems(metadata=CALLER)
        await call.write(pb.ImportItemsRequest(parent="catalogs/films"))
        error = await failure(call)
        first.cancel()
    assert reason_of(error) == "TOO_MANY_CALLS"


async def test_places_are_given_back() -> None:
    async def get(_: object, __: object) -> Catalog:
        return Catalog()

    async with chained(catalogs(GetCatalog=get), max_calls=1) as (channel, chain):
        for _ in range(3):
            await stub(channel).GetCatalog(FILMS, metadata=CALLER)
            await failure(stub(channel).GetCatalog(FILMS))
            # The caller may hear of an error before the call is over.
            await until(lambda: not chain.in_hand)


async def test_a_call_ends_about_when_its_deadline_does() -> None:
    began = time.monotonic()
    waits = Waits()
    async with running([catalogs(GetCatalog=waits.unary)], default_deadline_seconds=0.2) as channel:
        await failure(stub(channel).GetCatalog(FILMS, metadata=CALLER))
    # Neither at once nor after the default of half a minute.
    assert 0.1 < time.monotonic() - began < 25


async def test_of_too_many_to_be_turned_away_the_rest_is_told_the_code_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "_TURNED_AWAY", 3)
    waits = Waits()
    async with running([catalogs(GetCatalog=waits.unary)], max_concurrent_calls=1) as channel:
        # Calls that the chain does not count.
        asked = [
            health_of(channel).Watch(health_pb2.HealthCheckRequest(), timeout=60) for _ in range(4)
        ]
        for watch in asked:
            await watch.read()
        error = await failure(stub(channel).GetCatalog(FILMS, metadata=CALLER))
        for watch in asked:
            watch.cancel()
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
