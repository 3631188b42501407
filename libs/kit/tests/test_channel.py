from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import grpc
import pytest
import structlog
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from libs.kit.tests.calls import CATALOGS, FILMS, catalogs, failure, listening, stub
from recmesh.catalog.v1.catalog_pb2 import Catalog
from recmesh.catalog.v1.catalog_service_pb2 import CreateItemRequest, GetItemRequest
from recmesh.catalog.v1.item_pb2 import Item
from recmesh_kit import channel as channels
from recmesh_kit import context
from recmesh_kit.channel import ServiceCredentials, calling, connect, service_config
from recmesh_kit.errors import DeadlineExceeded, Exhausted, NotFound, RecmeshError, Unavailable
from recmesh_kit.server import Service
from recmesh_kit.settings import ServiceSettings
from recmesh_kit.telemetry import place
from recmesh_kit.telemetry.place import Place
from recmesh_kit.telemetry.telemetry import telemetry_of
from recmesh_kit.telemetry.testing import collecting, values
from recmesh_kit.testing import EDITOR, bearer

if TYPE_CHECKING:
    from recmesh.catalog.v1.catalog_service_pb2_grpc import CatalogServiceAsyncStub

CALLER = bearer("eve", EDITOR)
CREATE = CreateItemRequest(parent="catalogs/films", item_id="a", item=Item(title="A"))


class Flaky:
    """Methods that fail at first."""

    def __init__(self, *errors: RecmeshError) -> None:
        self.errors = list(errors)
        self.asked = 0

    async def get(self, _: object, __: object) -> Catalog:
        self._ask()
        return Catalog()

    async def create(self, _: object, __: object) -> Item:
        self._ask()
        return Item()

    def _ask(self) -> None:
        self.asked += 1
        if self.errors:
            raise self.errors.pop(0)


class Told:
    """A method that notes what it is told."""

    def __init__(self) -> None:
        self.metadata: dict[str, Any] = {}
        self.left = 0.0

    async def get(self, _: object, rpc: grpc.aio.ServicerContext[Any, Any]) -> Catalog:
        self.metadata = dict(rpc.invocation_metadata() or ())
        self.left = rpc.time_remaining()
        return Catalog()

    @property
    def service(self) -> Service:
        return catalogs(GetCatalog=self.get)


@asynccontextmanager
async def linked(
    service: Service, seconds: float = 60.0, credentials: ServiceCredentials | None = None
) -> AsyncIterator[CatalogServiceAsyncStub]:
    """A server with this service, and a stub that calls it by a channel of `connect`."""
    async with (
        listening(service) as address,
        connect(address, [CATALOGS], timeout_seconds=seconds, credentials=credentials) as channel,
    ):
        yield stub(channel)


async def test_a_method_without_side_effects_is_tried_again() -> None:
    flaky = Flaky(Unavailable("no"), Unavailable("no"))
    async with linked(catalogs(GetCatalog=flaky.get)) as catalog:
        await catalog.GetCatalog(FILMS, metadata=CALLER)
    assert flaky.asked == 3


async def test_it_is_tried_four_times_at_the_most() -> None:
    flaky = Flaky(*[Unavailable("no")] * 9)
    async with linked(catalogs(GetCatalog=flaky.get)) as catalog:
        await failure(catalog.GetCatalog(FILMS, metadata=CALLER))
    assert flaky.asked == 4


async def test_a_method_with_side_effects_is_not_tried_again() -> None:
    flaky = Flaky(Unavailable("no"))
    async with linked(catalogs(CreateItem=flaky.create)) as catalog:
        error = await failure(catalog.CreateItem(CREATE, metadata=CALLER))
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert flaky.asked == 1


async def test_other_errors_are_not_tried_again() -> None:
    flaky = Flaky(NotFound("catalogs/films"))
    async with linked(catalogs(GetCatalog=flaky.get)) as catalog:
        await failure(catalog.GetCatalog(FILMS, metadata=CALLER))
    assert flaky.asked == 1


def test_only_repeatable_methods_are_in_the_config() -> None:
    [config] = service_config([CATALOGS])["methodConfig"]
    names = {entry["method"] for entry in config["name"]}
    assert {"GetCatalog", "UpdateItem"} <= names
    assert names.isdisjoint({"CreateItem", "CreateCatalog", "ImportItems"})


async def test_calls_have_a_deadline() -> None:
    told = Told()
    # The server counts by a clock of its own, and some time later.
    async with linked(told.service, 700.0) as catalog:
        await catalog.GetCatalog(FILMS, metadata=CALLER)
        assert 600 < told.left < 701
        await catalog.GetCatalog(FILMS, metadata=CALLER, timeout=300)
        assert 200 < told.left < 301


async def in_a_call(seconds_left: float, work: Callable[[], Awaitable[object]]) -> object:
    """Does something as part of a call that has so much time left."""

    async def run() -> object:
        context.begin(context.Call("/a/B", "r-1", time.monotonic() + seconds_left))
        structlog.contextvars.bind_contextvars(request_id="r-1")
        return await work()

    return await asyncio.create_task(run())


async def test_the_deadline_of_the_call_in_hand_is_handed_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(channels, "ANSWER_SECONDS", 100.0)
    told = Told()
    async with linked(told.service, 700.0) as catalog:
        await in_a_call(400.0, lambda: catalog.GetCatalog(FILMS, metadata=CALLER))
    # Something is kept back for the answer.
    assert 200 < told.left < 301


async def test_nothing_is_asked_when_no_time_is_left() -> None:
    told = Told()
    async with linked(told.service, 30.0) as catalog:
        with pytest.raises(DeadlineExceeded):
            await in_a_call(0.02, lambda: catalog.GetCatalog(FILMS, metadata=CALLER))
    assert not told.metadata


async def test_the_request_id_is_handed_on() -> None:
    told = Told()
    async with linked(told.service) as catalog:
        await in_a_call(60.0, lambda: catalog.GetCatalog(FILMS, metadata=CALLER))
    assert told.metadata["x-request-id"] == "r-1"


@dataclass
class Pair:
    access_token: str
    expires_in: int


class SignIn:
    """Gives tokens away."""

    def __init__(self, lifetime: int) -> None:
        self.lifetime = lifetime
        self.asked = 0
        self.away = False

    async def exchange(self) -> Pair:
        self.asked += 1
        await asyncio.sleep(0)
        if self.away:
            raise Unavailable("auth is away")
        [(_, value)] = bearer(f"service {self.asked}", EDITOR)
        return Pair(value.removeprefix("Bearer "), self.lifetime)


async def test_calls_are_signed() -> None:
    told, sign_in = Told(), SignIn(600)
    async with linked(told.service, credentials=ServiceCredentials(sign_in.exchange)) as catalog:
        await asyncio.gather(*(catalog.GetCatalog(FILMS) for _ in range(20)))
    assert told.metadata["authorization"].startswith("Bearer ")
    assert sign_in.asked == 1


async def test_a_sign_in_that_fails_is_the_error_of_the_call() -> None:
    told, sign_in = Told(), SignIn(600)
    sign_in.away = True
    async with linked(told.service, credentials=ServiceCredentials(sign_in.exchange)) as catalog:
        with pytest.raises(Unavailable, match="auth is away"):
            await catalog.GetCatalog(FILMS)
    assert not told.metadata


async def test_a_token_is_asked_for_once() -> None:
    sign_in = SignIn(600)
    credentials = ServiceCredentials(sign_in.exchange)
    found = await asyncio.gather(*(credentials.token() for _ in range(20)))
    assert len(set(found)) == 1
    assert sign_in.asked == 1


def pass_time(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Sets the clock of the module under test alone: by Python's own the event loop counts too."""
    then = time.monotonic() + seconds
    monkeypatch.setattr(channels, "time", SimpleNamespace(monotonic=lambda: then))


async def test_a_token_is_renewed_before_it_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    sign_in = SignIn(600)
    credentials = ServiceCredentials(sign_in.exchange)
    first = await credentials.token()
    pass_time(monkeypatch, 480)
    assert await credentials.token() == first
    pass_time(monkeypatch, 545)
    assert await credentials.token() != first


async def test_a_token_that_is_good_yet_is_used_while_auth_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sign_in = SignIn(600)
    credentials = ServiceCredentials(sign_in.exchange)
    first = await credentials.token()
    sign_in.away = True
    pass_time(monkeypatch, 545)
    assert [await credentials.token() for _ in range(9)] == [first] * 9
    assert sign_in.asked == 2
    pass_time(monkeypatch, 601)
    with pytest.raises(Unavailable):
        await credentials.token()


async def test_a_service_that_is_away_is_unavailable(held_port: int) -> None:
    async with connect(f"127.0.0.1:{held_port}", [CATALOGS], timeout_seconds=60) as channel:
        with pytest.raises(Unavailable) as caught:
            async with calling("catalog"):
                await stub(channel).GetCatalog(FILMS)
    assert caught.value.metadata == {"dependency": "catalog"}


@pytest.mark.parametrize("error", [Exhausted("no"), Unavailable("no")])
async def test_a_service_that_takes_no_calls_is_unavailable(error: RecmeshError) -> None:
    flaky = Flaky(*[error] * 9)
    async with linked(catalogs(GetCatalog=flaky.get)) as catalog:
        with pytest.raises(Unavailable):
            async with calling("catalog"):
                await catalog.GetCatalog(FILMS, metadata=CALLER)


async def test_other_errors_of_a_service_pass_through() -> None:
    async with linked(catalogs()) as catalog, calling("catalog"):
        request = GetItemRequest(name="catalogs/films/items/a")
        error = await failure(catalog.GetItem(request))
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_what_a_stopping_server_has_not_looked_at_is_tried_again() -> None:
    """gRPC ends such calls as CANCELLED, without a word."""
    asked: list[None] = []

    async def get(_: bytes, rpc: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        asked.append(None)
        if len(asked) < 3:
            await rpc.abort(grpc.StatusCode.CANCELLED)
        return b""

    async with bare("GetCatalog", get) as address, linked_to(address) as catalog:
        await catalog.GetCatalog(FILMS)
    assert len(asked) == 3


async def test_what_a_stopping_server_has_not_looked_at_is_away() -> None:
    async def create(_: bytes, rpc: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        await rpc.abort(grpc.StatusCode.CANCELLED)

    async with bare("CreateItem", create) as address, linked_to(address) as catalog:
        with pytest.raises(Unavailable):
            async with calling("catalog"):
                await catalog.CreateItem(CREATE)


@asynccontextmanager
async def bare(method: str, answer: Any) -> AsyncIterator[str]:
    """A server with one method of the catalog's, without a chain; yields its address."""
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(answer)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(CATALOGS.full_name, {method: handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


@asynccontextmanager
async def linked_to(target: str) -> AsyncIterator[CatalogServiceAsyncStub]:
    """A stub that calls by a channel of `connect`."""
    async with connect(target, [CATALOGS], timeout_seconds=60) as channel:
        yield stub(channel)


class Names(asyncio.DatagramProtocol):
    """A name server (RFC 1035) that gives the same IPv4 addresses for every name."""

    def __init__(self) -> None:
        self.hosts: list[str] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        question = data[12 : data.index(b"\0", 12) + 5]
        is_ipv4 = question.endswith(b"\0\1\0\1")
        hosts = self.hosts if is_ipv4 else []
        answers = [
            struct.pack(">HHHIH", 0xC00C, 1, 1, 1, 4) + socket.inet_aton(host) for host in hosts
        ]
        counts = struct.pack(">HHHH", 1, len(answers), 0, 0)
        self._transport.sendto(data[:2] + b"\x81\x80" + counts + question + b"".join(answers), addr)


async def test_when_all_replicas_are_replaced_the_new_ones_are_found_soon(held_port: int) -> None:
    asked: list[str] = []
    names = Names()
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: names, local_addr=("127.0.0.1", 0)
    )
    server = transport.get_extra_info("sockname")[1]

    def at(host: str) -> Any:
        async def get(_: object, __: object) -> Catalog:
            asked.append(host)
            return Catalog()

        return listening(catalogs(GetCatalog=get), listen=f"{host}:{held_port}")

    old, new = "127.0.0.1", "127.0.0.2"
    names.hosts = [old]
    target = f"dns://127.0.0.1:{server}/catalog.test:{held_port}"
    async with linked_to(target) as catalog, AsyncExitStack() as stack:
        stack.callback(transport.close)
        async with at(old):
            await catalog.GetCatalog(FILMS, metadata=CALLER)
            await stack.enter_async_context(at(new))
            names.hosts = [new]
        # Left to itself gRPC asks again after half a minute.
        async with asyncio.timeout(20):
            while asked[-1] == old:
                with suppress(grpc.aio.AioRpcError):
                    await catalog.GetCatalog(FILMS, metadata=CALLER)


async def test_a_call_is_a_span_and_the_others_belong_under_it() -> None:
    here = Place("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", 1)
    told, flaky = Told(), Flaky(NotFound("catalogs/films"))

    async def call(catalog: CatalogServiceAsyncStub) -> None:
        await catalog.GetCatalog(FILMS, metadata=CALLER)
        place.enter(here)
        await catalog.GetCatalog(FILMS, metadata=CALLER)
        await failure(catalog.CreateItem(CREATE, metadata=CALLER))

    service = catalogs(GetCatalog=told.get, CreateItem=flaky.create)
    with collecting() as collector:
        settings = ServiceSettings(otlp_endpoint=collector.endpoint, trace_sample_ratio=0)
        async with (
            telemetry_of(settings, "kit") as telemetry,
            listening(service) as address,
            connect(address, [CATALOGS], timeout_seconds=60, tracing=telemetry.tracing) as channel,
        ):
            await asyncio.create_task(call(stub(channel)))
    (_, got), (_, created) = collector.spans
    assert got.parent_span_id.hex() == created.parent_span_id.hex() == here.span_id
    assert (got.name, got.kind) == (f"{CATALOGS.full_name}/GetCatalog", Span.SPAN_KIND_CLIENT)
    assert got.span_id.hex() in told.metadata["traceparent"]
    assert values(created)["error.type"] == "NOT_FOUND"


async def test_calls_are_spread_over_all_addresses() -> None:
    asked = []

    def named(name: str) -> Service:
        async def get(_: object, __: object) -> Catalog:
            asked.append(name)
            return Catalog()

        return catalogs(GetCatalog=get)

    async with listening(named("a")) as one, listening(named("b")) as other:
        target = f"ipv4:///{one},{other}"
        async with connect(target, [CATALOGS], timeout_seconds=60) as channel:
            async with asyncio.timeout(60):
                while set(asked) != {"a", "b"}:
                    await stub(channel).GetCatalog(FILMS, metadata=CALLER)
