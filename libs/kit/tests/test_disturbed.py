"""What consuming and publishing do at a broker that hangs, blocks, refuses or is slow, and when they are cancelled."""

import asyncio
from contextlib import suppress
from typing import Any

import aio_pika
import aiormq
import pytest
from pamqp import commands
from pamqp import frame as frames
from structlog.testing import capture_logs

from libs.kit.tests.queues import (
    HASTY_SECONDS,
    TIMEOUT,
    Inbox,
    hasty,
    send,
    until,
    wait_for_messages,
)
from recmesh_kit import amqp
from recmesh_kit import broker as broker_module
from recmesh_kit import publisher as publisher_module
from recmesh_kit.broker import Broker, Refused
from recmesh_kit.errors import Unavailable
from recmesh_kit.proxy import Proxy
from recmesh_kit.publisher import Publisher
from recmesh_kit.topology import Queue, Topology

Admin = aio_pika.abc.AbstractChannel


@pytest.mark.parametrize("away", [False, True])
async def test_a_consumer_that_hides_that_it_was_cancelled_ends(
    broker: Broker, queue: Queue, *, away: bool
) -> None:
    begun = asyncio.Event()

    async def source(_: Admin) -> str:
        begun.set()
        # As a library does when the answer comes at the same moment, or of what was about to be made.
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        if away:
            raise Unavailable("It is away.")
        return queue.name

    consumer = broker._start("odd", source, Inbox(), 1, None)
    await begun.wait()
    [running] = (task for task in asyncio.all_tasks() if task.get_name() == "consume odd")
    running.cancel()
    async with asyncio.timeout(TIMEOUT):
        await asyncio.wait([running])
    assert running.cancelled()
    assert not consumer.alive


async def test_a_consumer_never_ends(broker: Broker, queue: Queue) -> None:
    tried = 0

    async def source(_: Admin) -> str:
        nonlocal tried
        tried += 1
        if tried == 1:
            raise KeyError("a defect")
        return queue.name

    consumer = broker._start("odd", source, Inbox(), 1, None)
    await until(lambda: consumer.alive)
    assert tried == 2


async def test_a_handler_whose_call_was_cancelled_has_failed(broker: Broker, queue: Queue) -> None:
    seen = 0

    async def handler(batch: list[broker_module.Delivery]) -> None:
        nonlocal seen
        seen += 1
        if seen == 1:
            # As a library does to those who wait for what it closes.
            raise asyncio.CancelledError
        await batch[0].ack()

    consumer = await broker.consume(queue.name, handler, prefetch=1)
    await send(broker, queue, b"x")
    await until(lambda: seen == 2)
    assert consumer.alive


async def test_while_publishing_is_blocked_consuming_goes_on(
    broker: Broker, queue: Queue, admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By an alarm (memory, disk) the broker stops reading what a publishing connection says, and tells it so."""
    inbox = Inbox()
    await send(broker, queue, b"1")
    tell = broker._link.live().giving.wire.data_received
    tell(frames.marshal(commands.Connection.Blocked("low on disk"), 0))
    # aiormq reads it in a task of its own.
    transport = broker._link.live().giving.transport
    assert transport is not None
    await until(lambda: _is_blocked(transport))
    with hasty(broker, monkeypatch), pytest.raises(Unavailable):
        await send(broker, queue, b"2")
    await broker.consume(queue.name, inbox, prefetch=1)
    await until(lambda: inbox.bodies == [b"1"])
    await wait_for_messages(admin, queue, 0)
    assert broker.connected
    tell(frames.marshal(commands.Connection.Unblocked(), 0))
    await until(lambda: not _is_blocked(transport))
    await send(broker, queue, b"3")
    await until(lambda: inbox.bodies == [b"1", b"3"])


def _is_blocked(transport: aio_pika.abc.UnderlayConnection) -> bool:
    event = transport.connection._Connection__connection_unblocked  # type: ignore[attr-defined]
    return not event.is_set()


async def test_what_waits_to_be_published_is_bounded(
    broker: Broker, proxy: Proxy, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    await send(broker, queue, b"1")
    monkeypatch.setattr(broker_module, "_MOST_BYTES", 100_000)
    proxy.hang(answers_only=True)
    waiting = [asyncio.create_task(send(broker, queue, b"x" * 9_000)) for _ in range(20)]
    await until(lambda: sum(task.done() for task in waiting) == 11)
    for task in waiting:
        if task.done():
            with pytest.raises(Unavailable, match="too many"):
                task.result()
    proxy.resume()
    await until(lambda: all(task.done() for task in waiting))
    assert broker._bytes == 0
    await send(broker, queue, b"x")


async def test_what_is_given_up_is_let_go_of(
    broker: Broker, proxy: Proxy, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    await send(broker, queue, b"1")
    proxy.hang(answers_only=True)
    with hasty(broker, monkeypatch), pytest.raises(Unavailable):
        await send(broker, queue, b"2")
    assert not broker._publishers[True]._unconfirmed
    # The confirmation that comes late is nobody's.
    proxy.resume()
    await send(broker, queue, b"3")


@pytest.mark.parametrize("queue", [1], indirect=True)
async def test_after_a_refusal_another_channel_is_published_on(
    broker: Broker, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused() -> Publisher:
        """Publishes until the queue is found full: a quorum queue may take some more than it should."""
        async with asyncio.timeout(TIMEOUT):
            while True:
                try:
                    await send(broker, queue, b"x")
                except Refused:
                    return broker._publishers[True]

    monkeypatch.setattr(publisher_module, "_RENEWAL_SECONDS", 1000.0)
    first = await refused()
    assert await refused() is first
    monkeypatch.setattr(publisher_module, "_RENEWAL_SECONDS", 0.0)
    assert await refused() is not first
    await until(lambda: first.closed)
    transport = broker._link.live().giving.transport
    assert transport is not None
    # Those before are closed.
    await until(lambda: len(transport.connection.channels) == 1)


async def test_a_consumer_that_is_never_answered_goes_on_trying_and_is_missed(
    broker: Broker, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quorum queue whose node was killed right after it was declared may answer no consumer."""
    tried = []
    consume = aiormq.Channel.basic_consume

    async def unanswered(*args: object, **kwargs: object) -> None:
        tried.append(1)
        await asyncio.Event().wait()

    inbox = Inbox()
    monkeypatch.setattr(aiormq.Channel, "basic_consume", unanswered)
    with hasty(broker, monkeypatch):
        consumer = await broker.consume(queue.name, inbox, prefetch=1)
    await until(lambda: len(tried) > 1)
    # Since the first attempt, not the last.
    assert broker.stalled() > HASTY_SECONDS
    # On a slow machine a channel may not have been closed in so little time either, and that ends its connection.
    await until(lambda: broker.connected)
    monkeypatch.setattr(consumer, "_timeout", TIMEOUT)
    monkeypatch.setattr(aiormq.Channel, "basic_consume", consume)
    await send(broker, queue, b"1")
    await until(lambda: inbox.bodies)
    # A message may come in the very step before the one in which it is seen that it is consumed.
    await until(lambda: consumer.alive)
    assert broker.stalled() == 0


async def test_what_comes_before_an_answer_that_is_too_late_is_let_go_of(
    broker: Broker, queue: Queue, admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox = Inbox()
    inbox.gate.clear()
    consume = aiormq.Channel.basic_consume
    late = asyncio.Event()

    async def answered(*args: Any, **kwargs: Any) -> Any:
        answer = await consume(*args, **kwargs)
        if not late.is_set():
            # One is in hand, and one waits.
            await until(lambda: inbox.bodies and consumer._waiting)
            late.set()
            raise TimeoutError
        return answer

    monkeypatch.setattr(aiormq.Channel, "basic_consume", answered)
    await broker.publish("", queue.name, b"1")
    await broker.publish("", queue.name, b"2")
    connection = broker._link.live().taking
    consumer = await broker.consume(queue.name, inbox, prefetch=2, max_batch=1)
    await until(late.is_set)
    assert inbox.bodies == [b"1"]
    await until(lambda: consumer.alive)
    inbox.gate.set()
    await until(lambda: sorted(inbox.bodies) == [b"1", b"1", b"2"])
    await consumer.drain(TIMEOUT)
    await wait_for_messages(admin, queue, 0)
    assert len(inbox.bodies) == 3
    assert broker._link.live().taking is connection


async def test_a_drain_that_the_broker_does_not_hear_hurts_no_other(
    broker: Broker, proxy: Proxy, queue: Queue, admin: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox = Inbox()
    inbox.gate.clear()
    consumer = await broker.consume(queue.name, inbox, prefetch=1)
    await send(broker, queue, b"1")
    await until(lambda: inbox.bodies)
    connection = broker._link.live().taking
    proxy.hang(answers_only=True)
    monkeypatch.setattr(consumer, "_timeout", HASTY_SECONDS)
    with capture_logs() as logs:
        draining = asyncio.create_task(consumer.drain(TIMEOUT))
        await until(lambda: "consumer not cancelled" in [entry["event"] for entry in logs])
    # Acknowledged on a channel that is closing, it would end the connection.
    inbox.gate.set()
    await draining
    proxy.resume()
    await wait_for_messages(admin, queue, 1)
    assert broker.connected
    assert broker._link.live().taking is connection


async def test_a_broker_that_is_slow_to_close_a_channel_keeps_its_connection(
    broker: Broker, proxy: Proxy, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(amqp, "_CLOSE_SECONDS", 0.01)
    connection = broker._link.live().taking
    proxy.delay(0.1)
    await broker.depths(queue.name)
    # Told to close it twice, the broker would end the connection instead of answering here.
    await broker.depths(queue.name)
    assert broker._link.live().taking is connection


async def test_how_long_nothing_is_consumed_though_the_broker_is_there(
    broker: Broker, proxy: Proxy, queue: Queue, topology: Topology, admin: Admin
) -> None:
    consumer = await broker.consume(queue.name, Inbox(), prefetch=1)
    await until(lambda: consumer.alive)
    assert broker.stalled() == 0
    await admin.queue_delete(queue.name)
    await until(lambda: broker.stalled() > 0)
    await proxy.close()
    # It is away: that is not the consumer's fault.
    await until(lambda: broker.stalled() == 0)
    await proxy.open()
    await until(lambda: consumer.alive)
    assert broker.stalled() == 0
    await admin.queue_delete(queue.name)
    await until(lambda: broker.stalled() > 0)
    await consumer.drain(0)
    assert broker.stalled() == 0
    await broker.declare(topology)
