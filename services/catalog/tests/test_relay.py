import asyncio
from collections.abc import AsyncIterator, Callable

import aio_pika
import pytest
from aio_pika.abc import AbstractIncomingMessage, AbstractQueue

from recmesh.events.v1.catalog_events_pb2 import ItemChange, ItemsChanged
from recmesh_catalog.outbox.relay import BATCH, Relay
from recmesh_kit.broker import Broker
from recmesh_kit.layout import CATALOG_EVENTS, INDEX, topology_of
from recmesh_kit.proxy import Proxy
from recmesh_kit.tasks import Background
from services.catalog.tests.conftest import Mesh

NEVER = 3600.0


def broker_at(url: str) -> Broker:
    return Broker(url, name="test", timeout_seconds=60)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)


@pytest.fixture
async def broker(amqp_url: str) -> AsyncIterator[Broker]:
    async with broker_at(amqp_url) as broker:
        await broker.declare(topology_of("catalog"))
        yield broker


@pytest.fixture
async def inbox(amqp_url: str, broker: Broker, mesh: Mesh) -> AsyncIterator[AbstractQueue]:
    """A queue of the test's own that the changes of items arrive in, with an empty outbox."""
    await mesh.sql("DELETE FROM outbox")
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind(CATALOG_EVENTS.name, "item.#")
        yield queue
        # They went there, too.
        await (await channel.get_queue(INDEX.name, ensure=False)).purge()


@pytest.fixture
async def proxy(amqp_url: str) -> AsyncIterator[Proxy]:
    async with Proxy.to(amqp_url) as proxy:
        yield proxy


async def receive(inbox: AbstractQueue) -> AbstractIncomingMessage:
    async with asyncio.timeout(60):
        while (message := await inbox.get(no_ack=True, fail=False)) is None:
            pass
    return message


async def told(inbox: AbstractQueue, count: int) -> list[str]:
    """The routing keys of the next messages; no others are there."""
    keys = [str((await receive(inbox)).routing_key) for _ in range(count)]
    assert await inbox.get(no_ack=True, fail=False) is None
    return keys


async def waiting(mesh: Mesh) -> list[tuple[object, ...]]:
    return await mesh.sql("SELECT routing_key FROM outbox ORDER BY id")


async def test_change_arrives_and_is_forgotten(
    mesh: Mesh, broker: Broker, inbox: AbstractQueue, parent: str
) -> None:
    await mesh.create(parent, "alien")
    request_ids = await mesh.sql("SELECT request_id FROM outbox")
    await Relay(mesh.database, broker).send_waiting()
    message = await receive(inbox)
    catalog = parent.partition("/")[2]
    change = ItemChange(item="alien", revision=1)
    assert ItemsChanged.FromString(message.body) == ItemsChanged(
        version=1, catalog=catalog, changes=[change]
    )
    assert (message.exchange, message.routing_key) == ("catalog.events", f"item.{catalog}")
    assert message.headers["recmesh-version"] == 1
    assert [(message.headers["x-request-id"],)] == request_ids
    assert message.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
    assert await waiting(mesh) == []


async def test_commit_wakes_the_relay(
    mesh: Mesh, broker: Broker, inbox: AbstractQueue, parent: str
) -> None:
    relay = Relay(mesh.database, broker)
    async with Background() as background:
        background.loop("relay", relay.send_waiting, NEVER, wake=mesh.outbox.wake)
        for item in ("a", "b"):
            await mesh.create(parent, item)
            message = await receive(inbox)
            assert ItemsChanged.FromString(message.body).changes[0].item == item
        async with asyncio.timeout(60):
            while await waiting(mesh):  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.01)


async def test_more_than_a_batch(
    mesh: Mesh, broker: Broker, inbox: AbstractQueue, parent: str
) -> None:
    await mesh.sql(
        "INSERT INTO outbox (routing_key, body) SELECT 'item.x', '' FROM generate_series(1, :n)",
        n=2 * BATCH + 1,
    )
    await Relay(mesh.database, broker).send_waiting()
    assert await waiting(mesh) == []
    assert await told(inbox, 2 * BATCH + 1) == ["item.x"] * (2 * BATCH + 1)


async def test_two_relays_send_each_message_once(
    mesh: Mesh, broker: Broker, inbox: AbstractQueue, parent: str
) -> None:
    await mesh.sql(
        "INSERT INTO outbox (routing_key, body) SELECT 'item.x', '' FROM generate_series(1, :n)",
        n=4 * BATCH,
    )
    relays = [Relay(mesh.database, broker) for _ in range(2)]
    await asyncio.gather(*(relay.send_waiting() for relay in relays))
    await relays[0].send_waiting()
    assert await waiting(mesh) == []
    assert await told(inbox, 4 * BATCH) == ["item.x"] * (4 * BATCH)


async def test_changes_wait_for_a_broker_that_comes_late(
    mesh: Mesh, inbox: AbstractQueue, proxy: Proxy, parent: str
) -> None:
    await proxy.close()
    async with broker_at(proxy.url) as broker:
        await broker.declare(topology_of("catalog"))
        relay = Relay(mesh.database, broker)
        await mesh.create(parent, "alien")
        await relay.send_waiting()
        assert len(await waiting(mesh)) == 1
        await proxy.open()
        await until(lambda: broker.connected)
        await relay.send_waiting()
    assert ItemsChanged.FromString((await receive(inbox)).body).changes[0].item == "alien"
    assert await waiting(mesh) == []


async def test_message_that_the_broker_does_not_take_stays(
    mesh: Mesh, amqp_url: str, parent: str
) -> None:
    """No exchange: the broker answers with an error, and the relay goes on later."""
    await mesh.sql("DELETE FROM outbox")
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        await channel.exchange_delete("catalog.events")
    async with broker_at(amqp_url) as broker:
        relay = Relay(mesh.database, broker)
        await mesh.create(parent, "alien")
        await relay.send_waiting()
        assert len(await waiting(mesh)) == 1
        await broker.declare(topology_of("catalog"))
        await relay.send_waiting()
    assert await waiting(mesh) == []
