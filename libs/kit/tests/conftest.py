"""A broker behind a proxy, a queue and a port of the test's own, and time for traces to be exported."""

import socket
import uuid
from collections.abc import AsyncIterator, Iterator

import aio_pika
import pytest

from libs.kit.tests.queues import TIMEOUT
from recmesh_kit.broker import Broker
from recmesh_kit.proxy import Proxy
from recmesh_kit.telemetry import export
from recmesh_kit.topology import Exchange, Queue, Topology


@pytest.fixture(autouse=True)
def patient_exports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has a trace that is looked for arrive, however slow the machine is."""
    monkeypatch.setattr(export, "EXPORT_SECONDS", TIMEOUT)
    monkeypatch.setattr(export, "FLUSH_SECONDS", TIMEOUT)


@pytest.fixture
def held_port() -> Iterator[int]:
    """A port that nobody else is given, on any address; the test alone listens there."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("", 0))
        yield held.getsockname()[1]


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
