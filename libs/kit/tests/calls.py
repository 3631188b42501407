"""Small servers and calls for the tests of kit: servicers of the real contract, and contracts made up on the spot."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, text_format
from google.protobuf.descriptor import FileDescriptor
from grpc_health.v1 import health_pb2_grpc

from recmesh.catalog.v1 import catalog_service_pb2 as pb
from recmesh.catalog.v1.catalog_service_pb2_grpc import CatalogServiceServicer, CatalogServiceStub
from recmesh_kit.chain.chain import Chain
from recmesh_kit.health import Health
from recmesh_kit.server import Service, shut_down, start
from recmesh_kit.settings import ServiceSettings
from recmesh_kit.testing import verifier

if TYPE_CHECKING:
    from recmesh.catalog.v1.catalog_service_pb2_grpc import CatalogServiceAsyncStub

CATALOGS = pb.DESCRIPTOR.services_by_name["CatalogService"]
FILMS = pb.GetCatalogRequest(name="catalogs/films")

_numbers = itertools.count()


def catalogs(**methods: Callable[..., Any]) -> Service:
    """A catalog service that has these methods, which take request and context, and none else."""
    kind = type(
        "Catalogs", (CatalogServiceServicer,), {k: staticmethod(m) for k, m in methods.items()}
    )
    return Service(CATALOGS, kind())


def stub(channel: grpc.aio.Channel) -> CatalogServiceAsyncStub:
    return CatalogServiceStub(channel)


@asynccontextmanager
async def chained(service: Service, **limits: Any) -> AsyncIterator[tuple[grpc.aio.Channel, Chain]]:
    """A server with a chain whose limits are the test's own; yields a channel to it, and the chain."""
    kept: dict[str, Any] = {
        "default_deadline": 30,
        "max_deadline": 30,
        "stream_deadline": 30,
        "max_calls": 100,
        **limits,
    }
    chain = Chain(verifier, **kept)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((chain.handler(service.descriptor, service.servicer),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel, chain
    finally:
        await server.stop(0)


def health_of(channel: grpc.aio.Channel) -> Any:
    return health_pb2_grpc.HealthStub(channel)


async def failure(call: Awaitable[object]) -> grpc.aio.AioRpcError:
    """The error that a call ends with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def drain(call: Any) -> list[Any]:
    """The answers of a stream."""
    return [answer async for answer in call]


async def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Returns once the condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come true in time"
        await asyncio.sleep(0.005)


def declare(text: str) -> FileDescriptor:
    """A file of a contract, from the text format of its descriptor, in a package of its own."""
    number = next(_numbers)
    proto = text_format.Parse(text, descriptor_pb2.FileDescriptorProto())
    proto.name, proto.package, proto.syntax = (
        f"kit_test_{number}.proto",
        f"kit_test_{number}",
        "proto3",
    )
    proto.dependency.extend(
        [
            "google/protobuf/field_mask.proto",
            "google/protobuf/timestamp.proto",
            "recmesh/catalog/v1/catalog_service.proto",
            "recmesh/common/v1/authorization.proto",
            "recmesh/common/v1/constraint.proto",
        ]
    )
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(proto.SerializeToString())
    return pool.FindFileByName(proto.name)


def method(rule: str, *, streams: bool = False) -> FileDescriptor:
    """A file with one service `Echo` whose one method `Say` has this authorisation rule (empty: none)."""
    option = f"options {{ [recmesh.common.v1.authorization] {{ {rule} }} }}" if rule else ""
    kind = "client_streaming: true server_streaming: true" if streams else ""
    catalog = ".recmesh.catalog.v1"
    return declare(f"""
        service {{
          name: "Echo"
          method {{
            name: "Say" {kind} {option}
            input_type: "{catalog}.GetCatalogRequest" output_type: "{catalog}.Catalog"
          }}
        }}
    """)


@asynccontextmanager
async def listening(*services: Service, **settings: object) -> AsyncIterator[str]:
    """A server with these services; yields its address."""
    configured = ServiceSettings.model_validate(
        {"listen": "127.0.0.1:0", "drain_seconds": 1, **settings}
    )
    health = Health(())
    server, port = await start(configured, services, verifier=verifier, health=health)
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await shut_down(server, configured, health)
