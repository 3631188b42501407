import asyncio
import gc
from contextlib import AsyncExitStack
from dataclasses import replace

import aio_pika
import pytest
import structlog

from libs.kit.tests.queues import TIMEOUT, Inbox, messages, send, until, wait_for_messages
from recmesh.common.v1.error_reason_pb2 import ERROR_REASON_BROKER_UNAVAILABLE
from recmesh_kit import link
from recmesh_kit.broker import (
    Broker,
    Consumer,
    Delivery,
    Outgoing,
    TopologyError,
    Unroutable,
    UnsupportedBroker,
)
from recmesh_kit.errors import Unavailable
from recmesh_kit.link import check_version
from recmesh_kit.proxy import Proxy
from recmesh_kit.tasks import Background
from recmesh_kit.topology import Queue, Topology


async def test_a_message_arrives_as_it_was_sent(broker: Broker, queue: Queue) -> None:
    inbox = Inbox()
    await broker.consume(queue.name, inbox, prefetch=10)
    with structlog.contextvars.bound_contextvars(request_id="r1"):
        await broker.publish(
            queue.bindings[0][0],
            "a.b",
            b"hello",
            headers={"version": 1},
            message_id="m1",
            reply_to="somewhere",
        )
    await until(lambda: inbox.bodies)
    [[got]] = inbox.batches
    assert (got.body, got.message_id, got.reply_to) == (b"hello", "m1", "somewhere")
    assert (got.routing_key, got.redelivered) == ("a.b", False)
    assert (got.headers["version"], got.request_id) == (1, "r1")


async def test_a_confirmed_message_is_in_the_queue(
    broker: Broker, queue: Queue, admin: aio_pika.abc.AbstractChannel
) -> None:
    await send(broker, queue, *(b"%d" % n for n in range(200)))
    stored = await (await admin.get_queue(queue.name)).get(timeout=TIMEOUT)
    assert stored.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
    await stored.ack()
    await wait_for_messages(admin, queue, 199)


async def test_what_waits_is_a_batch(broker: Broker, queue: Queue) -> None:
    inbox = Inbox()
    inbox.gate.clear()
    await send(broker, queue, b"1")
    consumer = await broker.consume(queue.name, inbox, prefetch=5)
    await until(lambda: inbox.batches)
    await send(broker, queue, b"2", b"3", b"4", b"5", b"6", b"7")
    await until(lambda: len(consumer._waiting) == 4)
    inbox.gate.set()
    await until(lambda: len(inbox.bodies) == 7)
    assert [len(batch) for batch in inbox.batches[:2]] == [1, 4]
    assert max(map(len, inbox.batches)) <= 5


async def test_batches_in_hand_are_bounded(broker: Broker, queue: Queue) -> None:
    inbox = Inbox()
    inbox.gate.clear()
    await broker.consume(queue.name, inbox, prefetch=10, max_batch=2, concurrency=2)
    await send(broker, queue, *(b"%d" % n for n in range(10)))
    await until(lambda: len(inbox.batches) == 2)
    inbox.gate.set()
    await until(lambda: len(inbox.bodies) == 10)
    assert max(map(len, inbox.batches)) <= 2


async def test_what_comes_while_a_batch_is_in_hand_joins_the_next(
    broker: Broker, queue: Queue
) -> None:
    inbox = Inbox()
    inbox.gate.clear()
    consumer = await broker.consume(
        queue.name, inbox, prefetch=10, concurrency=2, patience_seconds=600
    )
    await send(broker, queue, b"1")
    await until(lambda: inbox.batches)
    await send(broker, queue, b"2", b"3", b"4")
    await until(lambda: len(consumer._waiting) == 3)
    inbox.gate.set()
    await until(lambda: len(inbox.bodies) == 4)
    assert [len(batch) for batch in inbox.batches] == [1, 3]


async def test_a_batch_that_takes_long_holds_up_none(broker: Broker, queue: Queue) -> None:
    inbox = Inbox()
    inbox.gate.clear()
    await broker.consume(queue.name, inbox, prefetch=10, concurrency=2, patience_seconds=0.01)
    await send(broker, queue, b"1")
    await until(lambda: inbox.batches)
    await send(broker, queue, b"2")
    await until(lambda: len(inbox.batches) == 2)
    inbox.gate.set()
    await until(lambda: len(inbox.bodies) == 2)


async def test_a_batch_that_fails_is_given_out_again(broker: Broker, queue: Queue) -> None:
    seen: list[Delivery] = []

    async def handler(batch: list[Delivery]) -> None:
        seen.extend(batch)
        if len(seen) == 1:
            raise ValueError("no")
        for delivery in batch:
            await delivery.ack()

    await broker.consume(queue.name, handler, prefetch=1)
    await send(broker, queue, b"x")
    await until(lambda: len(seen) == 2)
    assert [delivery.redelivered for delivery in seen] == [False, True]


async def test_a_message_may_be_thrown_away_and_settled_once(
    broker: Broker, queue: Queue, admin: aio_pika.abc.AbstractChannel
) -> None:
    seen: list[Delivery] = []

    async def handler(batch: list[Delivery]) -> None:
        for delivery in batch:
            await delivery.nack(requeue=False)
            await delivery.ack()
            seen.append(delivery)

    consumer = await broker.consume(queue.name, handler, prefetch=1)
    await send(broker, queue, b"x", b"y")
    await until(lambda: len(seen) == 2)
    assert consumer.alive
    await consumer.drain(TIMEOUT)
    assert await messages(admin, queue) == 0


async def test_nobody_takes_a_mandatory_message(broker: Broker, topology: Topology) -> None:
    with pytest.raises(Unroutable):
        await broker.publish(topology.exchanges[0].name, "b", b"x", mandatory=True)
    await broker.publish(topology.exchanges[0].name, "b", b"x")


async def test_messages_that_go_together_have_each_an_outcome(
    broker: Broker, queue: Queue, admin: aio_pika.abc.AbstractChannel
) -> None:
    [(exchange, _)] = queue.bindings
    outcomes = await broker.publish_all(
        [
            Outgoing(exchange, key, b"x", message_id="the same", mandatory=True)
            for key in ("b", "a", "c", "a")
        ]
    )
    assert [type(outcome) for outcome in outcomes] == [Unroutable, type(None)] * 2
    await wait_for_messages(admin, queue, 2)


async def test_a_message_may_be_longer_than_a_frame(broker: Broker, queue: Queue) -> None:
    inbox = Inbox()
    await broker.consume(queue.name, inbox, prefetch=10)
    bodies = [b"ab" * 300_000, b"", b"c" * 131_064]
    for body in bodies:
        await broker.publish("", queue.name, body)
    await until(lambda: len(inbox.bodies) == 3)
    assert inbox.bodies == bodies


async def test_what_is_not_acknowledged_is_given_out_again(
    broker: Broker, queue: Queue, admin: aio_pika.abc.AbstractChannel
) -> None:
    async def handler(batch: list[Delivery]) -> None:
        for delivery in batch:
            if delivery.body != b"3":
                await delivery.ack()

    seen = Inbox()
    consumer = await broker.consume(queue.name, handler, prefetch=10)
    await send(broker, queue, *(b"%d" % n for n in range(9)))
    await until(lambda: len(consumer._settling._open) == 1 if consumer._settling else None)
    await consumer.drain(TIMEOUT)
    await broker.consume(queue.name, seen, prefetch=10)
    await until(lambda: seen.bodies == [b"3"])
    await wait_for_messages(admin, queue, 0)


@pytest.mark.parametrize("queue", [1], indirect=True)
async def test_a_full_queue_refuses(broker: Broker, queue: Queue) -> None:
    async def fill() -> None:
        # A quorum queue lets a few more in than its limit.
        async with asyncio.timeout(TIMEOUT):
            while True:
                await send(broker, queue, b"x")

    with pytest.raises(Unavailable, match="refuses") as refused:
        await fill()
    assert refused.value.reason == ERROR_REASON_BROKER_UNAVAILABLE


async def test_an_unknown_exchange_spoils_nothing_else(broker: Broker, queue: Queue) -> None:
    with pytest.raises(Unavailable):
        await broker.publish("no.such.exchange", "a", b"x")
    await send(broker, queue, b"x")


async def test_without_confirmation(broker: Broker, queue: Queue) -> None:
    inbox = Inbox()
    await broker.consume(queue.name, inbox, prefetch=10)
    await broker.publish("", queue.name, b"x", persistent=False, confirm=False)
    await until(lambda: inbox.bodies)


async def test_a_lost_connection_comes_back_with_its_consumers(
    broker: Broker, proxy: Proxy, queue: Queue
) -> None:
    inbox = Inbox()
    consumer = await broker.consume(queue.name, inbox, prefetch=10)
    await until(lambda: consumer.alive)
    inbox.gate.clear()
    await send(broker, queue, b"1")
    await until(lambda: inbox.bodies)
    await proxy.cut()
    # It is away for a pause that is longer than one between two looks; one of its connections may be lost later.
    await until(lambda: not broker.connected and not consumer.alive)
    # The ack goes nowhere, quietly; the message is given out again.
    inbox.gate.set()
    await until(lambda: consumer.alive)
    await until(lambda: inbox.bodies == [b"1", b"1"])
    assert inbox.batches[1][0].redelivered
    await send(broker, queue, b"2")
    await until(lambda: inbox.bodies[2:] == [b"2"])
    assert broker.connected


async def test_publishing_fails_while_the_broker_is_away(
    broker: Broker, proxy: Proxy, queue: Queue
) -> None:
    await proxy.close()
    with pytest.raises(Unavailable) as failed:
        await send(broker, queue, b"x")
    assert failed.value.reason == ERROR_REASON_BROKER_UNAVAILABLE
    await until(lambda: not broker.connected)
    # At once: nothing is waited for, neither a connection nor a confirmation.
    async with asyncio.timeout(TIMEOUT / 2):
        with pytest.raises(Unavailable):
            await send(broker, queue, b"x")
    await proxy.open()
    await until(lambda: broker.connected)
    await send(broker, queue, b"x")


async def test_publishing_in_flight_when_the_connection_goes_ends_as_unavailable(
    broker: Broker, proxy: Proxy, queue: Queue
) -> None:
    await send(broker, queue, b"x")
    proxy.hang(answers_only=True)
    before = proxy.asked
    sending = [asyncio.create_task(broker.publish("", queue.name, b"x" * 1000)) for _ in range(500)]
    await until(lambda: proxy.asked > before + 100_000)
    await proxy.cut()
    results = await asyncio.gather(*sending, return_exceptions=True)
    assert {type(result) for result in results} == {Unavailable}


async def test_starts_without_the_broker(proxy: Proxy, queue: Queue, topology: Topology) -> None:
    await proxy.close()
    inbox = Inbox()
    async with Broker(proxy.url, name="test", timeout_seconds=TIMEOUT) as broker:
        assert not broker.connected
        await broker.declare(topology)
        consumer = await broker.consume(queue.name, inbox, prefetch=1)
        await broker.reply_queue(inbox)
        assert not consumer.alive
        assert broker.reply_to is None
        await proxy.open()
        await until(lambda: consumer.alive and broker.reply_to)
        await send(broker, queue, b"x")
        await until(lambda: inbox.bodies)


async def test_queues_are_declared_again_after_a_reconnection(
    broker: Broker, proxy: Proxy, queue: Queue, admin: aio_pika.abc.AbstractChannel
) -> None:
    await proxy.close()
    await until(lambda: not broker.connected)
    await admin.queue_delete(queue.name)
    await proxy.open()
    await until(lambda: broker.connected)
    await broker.publish(queue.bindings[0][0], "a", b"x", mandatory=True)


async def test_other_arguments_are_an_error_that_says_what_to_do(
    broker: Broker, queue: Queue
) -> None:
    changed = replace(queue, arguments={"x-dead-letter-exchange": "elsewhere"})
    with pytest.raises(TopologyError, match=f"delete_queue {queue.name}"):
        await broker.declare(Topology(queues=(changed,)))
    await send(broker, queue, b"x")


async def test_a_deleted_queue_ends_the_consumer_until_it_is_back(
    broker: Broker, queue: Queue, topology: Topology, admin: aio_pika.abc.AbstractChannel
) -> None:
    inbox = Inbox()
    consumer = await broker.consume(queue.name, inbox, prefetch=1)
    await until(lambda: consumer.alive)
    await admin.queue_delete(queue.name)
    await until(lambda: not consumer.alive)
    await broker.declare(topology)
    await until(lambda: consumer.alive)
    await send(broker, queue, b"x")
    await until(lambda: inbox.bodies)


async def test_what_is_settled_while_a_consumer_ends_hurts_nobody(
    broker: Broker, queue: Queue, admin: aio_pika.abc.AbstractChannel
) -> None:
    await broker.reply_queue(Inbox())
    in_hand = settled = 0

    async def slowly(batch: list[Delivery]) -> None:
        nonlocal in_hand, settled
        in_hand += 1
        steps = 5 * in_hand
        await until(lambda: consumer.alive)
        while consumer.alive:  # noqa: ASYNC110 - in the very step in which it ends
            await asyncio.sleep(0)
        # Some before the broker is told, some while it answers, some when it has.
        for _ in range(steps):
            await asyncio.sleep(0)
        await batch[0].ack()
        settled += 1

    await send(broker, queue, *[b"x"] * 50)
    consumer = await broker.consume(queue.name, slowly, prefetch=50, max_batch=1, concurrency=50)
    await until(lambda: in_hand == 50 and consumer.alive and broker.reply_to)
    replies = broker.reply_to
    await admin.queue_delete(queue.name)
    await until(lambda: settled == 50)
    assert broker.connected
    assert broker.reply_to == replies


@pytest.fixture
async def busy(broker: Broker, queue: Queue) -> tuple[Consumer, Inbox]:
    """A consumer that has a batch in hand, and messages beyond."""
    inbox = Inbox()
    inbox.gate.clear()
    consumer = await broker.consume(queue.name, inbox, prefetch=6, max_batch=2)
    await send(broker, queue, *(b"%d" % n for n in range(9)))
    await until(lambda: inbox.batches)
    return consumer, inbox


async def test_drain_ends_the_batch_in_hand_and_returns_the_rest(
    busy: tuple[Consumer, Inbox], queue: Queue, admin: aio_pika.abc.AbstractChannel
) -> None:
    consumer, inbox = busy
    [in_hand] = inbox.batches
    draining = asyncio.create_task(consumer.drain(TIMEOUT))
    await until(lambda: not consumer.alive)
    await wait_for_messages(admin, queue, 9 - len(in_hand))
    assert not draining.done()
    inbox.gate.set()
    await draining
    assert inbox.batches == [in_hand]
    await wait_for_messages(admin, queue, 9 - len(in_hand))


async def test_while_the_broker_is_told_of_a_drain_no_further_batch_is_begun(
    busy: tuple[Consumer, Inbox],
    queue: Queue,
    proxy: Proxy,
    admin: aio_pika.abc.AbstractChannel,
) -> None:
    consumer, inbox = busy
    [in_hand] = inbox.batches
    await until(lambda: consumer._waiting)
    proxy.hang(answers_only=True)
    draining = asyncio.create_task(consumer.drain(TIMEOUT))
    await until(lambda: not consumer.alive)
    inbox.gate.set()
    await until(lambda: not consumer._hands)
    assert inbox.batches == [in_hand]
    assert not draining.done()
    proxy.resume()
    await draining
    await wait_for_messages(admin, queue, 9 - len(in_hand))


async def test_drain_cuts_off_what_takes_too_long(
    busy: tuple[Consumer, Inbox], queue: Queue, admin: aio_pika.abc.AbstractChannel
) -> None:
    consumer, inbox = busy
    await consumer.drain(0.01)
    await wait_for_messages(admin, queue, 9)
    assert len(inbox.batches) == 1


async def test_what_is_drained_before_it_consumes_takes_nothing(
    broker: Broker, queue: Queue, proxy: Proxy, admin: aio_pika.abc.AbstractChannel
) -> None:
    await send(broker, queue, b"x")
    asked, answer = asyncio.Event(), asyncio.Event()

    async def source(_: aio_pika.abc.AbstractChannel) -> str:
        asked.set()
        await answer.wait()
        return queue.name

    connecting = link.Link(proxy.url, name="test", timeout_seconds=TIMEOUT)
    consumer = Consumer(
        "x",
        connecting.wait,
        source,
        Inbox(),
        prefetch=1,
        max_batch=1,
        concurrency=1,
        patience_seconds=0,
        timeout_seconds=TIMEOUT,
    )
    async with Background() as background, asyncio.timeout(TIMEOUT):
        background.spawn("link", connecting.keep())
        running = background.spawn("consume", consumer.run())
        await asked.wait()
        await consumer.drain(0)
        answer.set()
        await running
    await wait_for_messages(admin, queue, 1)
    message = await (await admin.get_queue(queue.name)).get(no_ack=True, timeout=TIMEOUT)
    assert not message.redelivered


async def test_replies_come_back_under_a_new_name(broker: Broker, proxy: Proxy) -> None:
    inbox = Inbox()
    await broker.reply_queue(inbox)
    await until(lambda: broker.reply_to)
    first = broker.reply_to or ""
    await broker.publish("", first, b"1", persistent=False, confirm=False)
    await until(lambda: inbox.bodies == [b"1"])
    await proxy.cut()
    await until(lambda: broker.reply_to not in (first, None))
    await broker.publish("", broker.reply_to or "", b"2", mandatory=True)
    await until(lambda: inbox.bodies == [b"1", b"2"])


async def test_nothing_is_left_behind(proxy: Proxy, queue: Queue, topology: Topology) -> None:
    before = asyncio.all_tasks()
    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(
            Broker(proxy.url, name="test", timeout_seconds=TIMEOUT)
        )
        await broker.declare(topology)
        consumer = await broker.consume(queue.name, Inbox(), prefetch=1)
        await broker.reply_queue(Inbox())
        await send(broker, queue, b"x")
        await until(lambda: consumer.alive)
        named = {task.get_name() for task in asyncio.all_tasks() - before}
        assert {"broker", f"consume {queue.name}", "consume replies"} <= named
    await until(lambda: not asyncio.all_tasks() - before)


@pytest.mark.parametrize("version", ["3.10.0", "3.13.7", "4.0.2", "4.3.7+rc1"])
def test_versions_that_are_supported(version: str) -> None:
    check_version(version)


@pytest.mark.parametrize("version", ["3.9.29", "5.0.0", "2", "unknown", ""])
def test_versions_that_are_not_supported(version: str) -> None:
    with pytest.raises(UnsupportedBroker, match=r"3\.10 to 4\.x"):
        check_version(version)


async def test_a_broker_of_another_version_is_refused_at_start(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "OLDEST", (4, 99))
    with pytest.raises(UnsupportedBroker):
        async with Broker(proxy.url, name="test", timeout_seconds=TIMEOUT):
            pass


async def test_a_broker_that_is_not_there_leaves_nothing_open() -> None:
    async with Broker("amqp://guest:guest@127.0.0.1:1/", name="test", timeout_seconds=60) as broker:
        assert not broker.connected
    # Where no loop runs, a connection that counts as open still cannot close itself, and warns.
    await asyncio.to_thread(gc.collect)


async def test_a_lost_broker_leaves_nothing_open(amqp_url: str) -> None:
    async with Proxy.to(amqp_url) as proxy:
        async with Broker(proxy.url, name="test", timeout_seconds=60) as broker:
            assert broker.connected
            await proxy.close()
            await until(lambda: not broker.connected)
        await asyncio.to_thread(gc.collect)
