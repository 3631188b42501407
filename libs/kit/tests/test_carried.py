"""A caller's place in a trace, and the metrics of its call, on their way through a server."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import aio_pika
import grpc
import pytest
from prometheus_client import CollectorRegistry

from libs.kit.tests.calls import CATALOGS, FILMS, catalogs, failure, listening, stub, until
from recmesh.catalog.v1.catalog_pb2 import Catalog
from recmesh_kit.broker import Broker, Delivery, Depth
from recmesh_kit.channel import connect
from recmesh_kit.errors import NotFound, Unavailable
from recmesh_kit.health import Health
from recmesh_kit.server import shut_down, start
from recmesh_kit.settings import ServiceSettings
from recmesh_kit.telemetry import place
from recmesh_kit.telemetry.instruments import Instruments
from recmesh_kit.telemetry.place import Place
from recmesh_kit.telemetry.telemetry import Telemetry
from recmesh_kit.testing import bearer, verifier

CALLER = bearer("ann")
HERE = Place("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", 1, "a=1")


@pytest.fixture
async def broker(amqp_url: str) -> AsyncIterator[Broker]:
    async with Broker(amqp_url, name="test", timeout_seconds=60) as broker:
        yield broker


@pytest.fixture
async def queue(amqp_url: str) -> AsyncIterator[str]:
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(f"test-{uuid.uuid4().hex}", durable=True)
        yield queue.name
        await queue.delete(if_unused=False, if_empty=False)


async def test_a_call_on_behalf_of_a_call_is_in_its_trace() -> None:
    told: list[dict[str, Any]] = []

    async def behind(_: object, rpc: grpc.aio.ServicerContext[Any, Any]) -> Catalog:
        told.append(dict(rpc.invocation_metadata() or ()))
        return Catalog()

    async with (
        listening(catalogs(GetCatalog=behind)) as address,
        connect(address, [CATALOGS], timeout_seconds=60) as channel,
    ):

        async def before(_: object, __: object) -> Catalog:
            return await stub(channel).GetCatalog(FILMS, metadata=CALLER)

        async with (
            listening(catalogs(GetCatalog=before)) as front,
            grpc.aio.insecure_channel(front) as calling,
        ):
            metadata = (*CALLER, *HERE.headers.items())
            await stub(calling).GetCatalog(FILMS, metadata=metadata)
            await stub(calling).GetCatalog(FILMS, metadata=CALLER)
    assert HERE.headers.items() <= told[0].items()
    assert "traceparent" not in told[1]


async def test_the_calls_of_a_server_are_measured() -> None:
    registry = CollectorRegistry()
    health, settings = Health(()), ServiceSettings(listen="127.0.0.1:0", drain_seconds=1)
    asked = asyncio.Event()

    async def get(_: object, __: object) -> Catalog:
        if asked.is_set():
            raise NotFound("catalogs/films")
        asked.set()
        assert registry.get_sample_value("recmesh_grpc_calls_in_hand") == 1
        return Catalog()

    codes = ("OK", "NOT_FOUND", "UNAUTHENTICATED")

    def count(code: str) -> float | None:
        labels = {"service": CATALOGS.full_name, "method": "GetCatalog", "code": code}
        return registry.get_sample_value("recmesh_grpc_call_seconds_count", labels)

    server, port = await start(
        settings,
        [catalogs(GetCatalog=get)],
        verifier=verifier,
        health=health,
        telemetry=Telemetry(Instruments(registry)),
    )
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            await stub(channel).GetCatalog(FILMS, metadata=CALLER)
            await failure(stub(channel).GetCatalog(FILMS, metadata=CALLER))
            await failure(stub(channel).GetCatalog(FILMS))
            # A caller may hear of an error before the call is over.
            await until(lambda: [count(code) for code in codes] == [1, 1, 1])
    finally:
        await shut_down(server, settings, health)


async def test_a_message_is_in_the_trace_that_it_tells(broker: Broker, queue: str) -> None:
    told: list[Place | None] = []

    async def note(deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            told.append(delivery.place)
            assert place.current_place() is None
            await delivery.ack()

    consumer = await broker.consume(queue, note, prefetch=10)
    await broker.publish("", queue, b"", headers=HERE.headers)
    await broker.publish("", queue, b"")
    await until(lambda: len(told) == 2)
    assert told == [HERE, None]
    await consumer.drain(60)


async def test_how_a_queue_stands(broker: Broker, queue: str) -> None:
    await broker.publish("", queue, b"")
    assert await broker.depths(queue) == {queue: Depth(messages=1, consumers=0)}
    with pytest.raises(Unavailable):
        await broker.depths("nowhere")
