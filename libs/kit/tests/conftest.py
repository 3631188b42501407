"""A broker behind a proxy, and a queue of the test's own."""

import uuid
from collections.abc import AsyncIterator

import aio_pika
import pytest

from libs.kit.tests.queues import TIMEOUT
from recmesh_kit.broker import Broker
from recmesh_kit.proxy import Proxy
from recmesh_kit.topology import Exchange, Queue, Topology


@pytest.fixture
async def proxy(amqp_url: str) -> AsyncIterator[Proxy]:
    async with Proxy.to(amqp_url) as made:
        yield made


@pytest.fixture
async def admin(amqp_url: str) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
    """A channel past the proxy."""
    connection = await aio_pika.connect(amqp_url)
    yield await connection.channel()
    await connection.close()


@pytest.fixture
async def queue(
    request: pytest.FixtureRequest, admin: aio_pika.abc.AbstractChannel
) -> AsyncIterator[Queue]:
    """A queue of the test's own, not declared yet; the parameter is the most that it holds."""
    exchange = f"test.{uuid.uuid4().hex}"
    most: int | None = getattr(request, "param", None)
    yield Queue(f"{exchange}.queue", bindings=((exchange, "a.#"),), max_length=most)
    await admin.queue_delete(f"{exchange}.queue")
    await admin.exchange_delete(exchange)


@pytest.fixture
def topology(queue: Queue) -> Topology:
    [(exchange, _)] = queue.bindings
    return Topology((Exchange(exchange, "topic"),), (queue,))


@pytest.fixture
async def broker(proxy: Proxy, topology: Topology) -> AsyncIterator[Broker]:
    async with Broker(proxy.url, name="test", timeout_seconds=TIMEOUT) as made:
        await made.declare(topology)
        yield made
