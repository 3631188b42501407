"""What comes back by itself when the broker restarts, hangs, flaps or loses a node."""

import asyncio
import gc
from collections import Counter
from collections.abc import AsyncIterator

import aio_pika
import aiormq
import pytest
from yarl import URL

from libs.kit.tests.queues import TIMEOUT, Inbox, hasty, send, until
from recmesh_kit import amqp, link
from recmesh_kit.broker import Broker, UnsupportedBroker
from recmesh_kit.errors import Unavailable
from recmesh_kit.link import BadUrl, nodes_of
from recmesh_kit.proxy import Proxy
from recmesh_kit.topology import Queue, Topology

Admin = aio_pika.abc.AbstractChannel


@pytest.fixture
async def second(amqp_url: str) -> AsyncIterator[Proxy]:
    """Another way to the same broker, as another node of a cluster is."""
    async with Proxy.to(amqp_url) as made:
        yield made


@pytest.fixture
def quick_heartbeat(monkeypatch: pytest.MonkeyPatch) -> str:
    """Makes a connection count as dead after a second and a half; the parameter of the URL that goes with it."""
    monkeypatch.setattr(aiormq.connection.Connection, "HEARTBEAT_GRACE_MULTIPLIER", 0.75)
    return "heartbeat=1"


async def test_a_lost_node_is_replaced_by_the_next(
    proxy: Proxy, second: Proxy, topology: Topology, queue: Queue
) -> None:
    inbox = Inbox()
    async with Broker(f"{proxy.url},{second.url}", name="test", timeout_seconds=TIMEOUT) as broker:
        await broker.declare(topology)
        consumer = await broker.consume(queue.name, inbox, prefetch=1)
        await broker.reply_queue(inbox)
        await until(lambda: consumer.alive and broker.reply_to)
        first, other = (proxy, second) if proxy.connections else (second, proxy)
        replies = broker.reply_to
        await first.close()
        await until(lambda: not broker.connected)
        await until(lambda: consumer.alive and broker.reply_to not in (replies, None))
        assert other.connections
        await broker.publish("", queue.name, b"1")
        await broker.publish("", broker.reply_to or "", b"2")
        await until(lambda: sorted(inbox.bodies) == [b"1", b"2"])


@pytest.mark.parametrize("one", ["taking", "giving"])
async def test_when_one_connection_is_lost_both_are_replaced(
    broker: Broker, proxy: Proxy, queue: Queue, one: str
) -> None:
    inbox = Inbox()
    consumer = await broker.consume(queue.name, inbox, prefetch=1)
    await until(lambda: consumer.alive)
    await send(broker, queue, b"1")
    before = broker._link.live()
    getattr(before, one).abort()
    await until(lambda: broker._link.connections not in (before, None))
    await send(broker, queue, b"2")
    await until(lambda: b"2" in inbox.bodies)
    await until(lambda: proxy.connections == 2)


async def test_a_node_that_is_away_at_the_start_is_passed_over(amqp_url: str) -> None:
    nodes = ",".join(["amqp://guest:guest@127.0.0.1:1/"] * 3 + [amqp_url])
    async with Broker(nodes, name="test", timeout_seconds=TIMEOUT) as broker:
        assert broker.connected


async def test_a_broker_that_hangs_is_left_and_found_again(
    proxy: Proxy, quick_heartbeat: str, topology: Topology, queue: Queue
) -> None:
    inbox = Inbox()
    before = asyncio.all_tasks()
    url = f"{proxy.url}?{quick_heartbeat}"
    async with Broker(url, name="test", timeout_seconds=2) as broker:
        await broker.declare(topology)
        consumer = await broker.consume(queue.name, inbox, prefetch=10)
        await broker.reply_queue(inbox)
        # Whatever takes too long on a slow machine is done again.
        await until(lambda: consumer.alive and broker.reply_to)
        proxy.hang()
        results = await asyncio.gather(
            *(broker.publish("", queue.name, b"x") for _ in range(100)), return_exceptions=True
        )
        assert {type(result) for result in results} == {Unavailable}
        # One of its connections may be found dead later.
        await until(lambda: not broker.connected and not consumer.alive)
        proxy.resume()
        await until(lambda: consumer.alive and broker.reply_to)
        await until(lambda: proxy.connections == 2)
    await until(lambda: not asyncio.all_tasks() - before - _of(proxy))
    await asyncio.to_thread(gc.collect)


def _of(proxy: Proxy) -> set["asyncio.Task[object]"]:
    """Tasks of the proxy, which learns of an end only by passing something on."""
    return {task for task in asyncio.all_tasks() if "Proxy" in repr(task.get_coro())}


async def test_a_broker_that_comes_and_goes_leaves_nothing_behind(
    broker: Broker, proxy: Proxy, queue: Queue
) -> None:
    inbox = Inbox()
    consumer = await broker.consume(queue.name, inbox, prefetch=10)
    await broker.reply_queue(inbox)
    await until(lambda: consumer.alive and broker.reply_to)
    before = _names()
    for times in range(5):
        await proxy.cut()
        if times % 2:
            await until(lambda: broker.connected)
        sending = asyncio.create_task(send(broker, queue, *[b"x" * 10_000] * 500))
        await proxy.cut()
        await asyncio.wait([sending])
        assert sending.exception() is None or isinstance(sending.exception(), Unavailable)
    await until(lambda: consumer.alive and broker.reply_to)
    # Fewer are as good: one of those before may have been about to end.
    await until(lambda: not _names() - before)
    await until(lambda: proxy.connections == 2)
    await send(broker, queue, b"last")
    await until(lambda: b"last" in inbox.bodies)


def _names() -> Counter[str]:
    """The tasks that there are, by name."""
    return Counter(task.get_name().partition("-")[0] for task in asyncio.all_tasks())


async def test_what_could_not_be_declared_in_time_is_declared_all_the_same(
    proxy: Proxy, topology: Topology, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Broker(proxy.url, name="test", timeout_seconds=TIMEOUT) as broker:
        await until(lambda: broker.connected)
        proxy.hang()
        with hasty(broker, monkeypatch):
            await broker.declare(topology)
        proxy.resume()
        consumer = await broker.consume(queue.name, Inbox(), prefetch=1)
        await until(lambda: consumer.alive)


async def test_another_topology_at_a_reconnection_is_waited_out(
    broker: Broker, proxy: Proxy, queue: Queue, admin: Admin
) -> None:
    consumer = await broker.consume(queue.name, Inbox(), prefetch=10)
    await until(lambda: consumer.alive)
    await proxy.close()
    await until(lambda: not broker.connected)
    await admin.queue_delete(queue.name)
    await admin.declare_queue(queue.name, durable=True)
    await proxy.open()
    met = broker._link._comeback.failures
    await until(lambda: broker._link._comeback.failures > met + 1)
    assert not broker.connected
    assert not consumer.alive
    await admin.queue_delete(queue.name)
    await until(lambda: consumer.alive)


async def test_another_version_at_a_reconnection_is_waited_out(
    broker: Broker, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(link, "OLDEST", (4, 99))
        await proxy.cut()
        await until(lambda: isinstance(broker._link.unsupported, UnsupportedBroker))
        assert not broker.connected
    await until(lambda: broker.connected)


async def test_a_connection_that_hides_that_it_was_cancelled_is_not_begun_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun = asyncio.Event()

    async def stay(*_: object) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            # As a library does, of one that was about to be made.
            raise Unavailable("It is away.") from None

    monkeypatch.setattr(link.Link, "_stay", stay)
    keeping = asyncio.create_task(
        link.Link("amqp://a:b@127.0.0.1:1/", name="test", timeout_seconds=TIMEOUT).keep()
    )
    await begun.wait()
    keeping.cancel()
    async with asyncio.timeout(TIMEOUT):
        await asyncio.wait([keeping])
    assert keeping.cancelled()


async def test_a_connection_that_was_made_though_it_was_cancelled_is_left(
    amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = asyncio.Event()

    async def declare(*_: object) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            # As a library does when the answer comes at the same moment.
            return

    monkeypatch.setattr(amqp, "declare", declare)
    one = link.Link(amqp_url, name="test", timeout_seconds=TIMEOUT)
    await one.declare(Topology())
    keeping = asyncio.create_task(one.keep())
    await begun.wait()
    keeping.cancel()
    async with asyncio.timeout(TIMEOUT):
        await asyncio.wait([keeping])
    assert keeping.cancelled()


def test_nodes_are_listed() -> None:
    nodes = nodes_of("amqp://a:b,c@h1:1/v, amqps://a:b%2C@h2/v?heartbeat=30 ")
    assert nodes == [
        URL("amqp://a:b,c@h1:1/v?heartbeat=10"),
        URL("amqps://a:b%2C@h2/v?heartbeat=30"),
    ]
    assert [node.password for node in nodes] == ["b,c", "b,"]


@pytest.mark.parametrize(
    "urls", ["", "http://a:secret@h", "amqp://", "amqp://a:secret@h:port/", "amqp://a@h,amqp://"]
)
def test_what_is_no_url_is_not_shown(urls: str) -> None:
    with pytest.raises(BadUrl, match="AMQP_URL: number") as refused:
        nodes_of(urls)
    assert "secret" not in str(refused.value)
    assert refused.value.__cause__ is None
