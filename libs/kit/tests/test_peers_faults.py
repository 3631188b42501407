"""What is known to go wrong in other libraries that carry work over RabbitMQ, and does not here."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import aio_pika
import pytest

from libs.kit.tests.queues import TIMEOUT, Inbox, send, until, wait_for_messages
from localmesh.children import Child
from localmesh.definitions import admin as everything
from localmesh.ports import Ports
from localmesh.rabbitmq import START_LIMIT, RabbitMQ
from recmesh_kit.broker import Broker, Delivery, Depth
from recmesh_kit.errors import Unavailable
from recmesh_kit.layout import SUSPECT, TIERS, topology_of
from recmesh_kit.topology import Queue, Topology

pytestmark = pytest.mark.xdist_group("a node of its own")

Admin = aio_pika.abc.AbstractChannel
WORK = Queue("outlives-its-node")
"""Its name is part of no other queue's: it is looked for among what the node has written down."""
IMPATIENT = "[{rabbit, [{consumer_timeout, 200}, {channel_tick_interval, 100}]}]."
"""A broker that takes a message back after a fifth of a second, for which it looks every tenth."""


@dataclass
class Node:
    """A broker that may be killed."""

    server: RabbitMQ
    child: Child
    url: str

    async def start(self) -> None:
        self.child.start()
        await self.child.become_ready(self.server.ready, START_LIMIT)

    async def kill(self) -> None:
        assert self.child.pid is not None
        os.kill(self.child.pid, signal.SIGKILL)
        await self.child.wait()


@pytest.fixture(scope="module")
async def node(
    tmp_path_factory: pytest.TempPathFactory, free_offset: Callable[[], int]
) -> AsyncIterator[Node]:
    folder: Path = tmp_path_factory.mktemp("rabbitmq")
    ports = Ports(free_offset())
    server = RabbitMQ(
        folder=folder / "node",
        port=ports.rabbitmq,
        nodes_port=ports.rabbitmq_nodes,
        users={"someone": everything("a password")},
        vhosts=("/",),
        log=folder / "node.log",
    )
    child = Child(await server.prepare())
    (folder / "node" / "none.config").write_text(IMPATIENT)
    made = Node(server, child, server.url("someone", "/"))
    await made.start()
    yield made
    await child.stop()


async def test_consumers_are_there_again_after_their_node_was_lost(node: Node) -> None:
    """FastStream #2758: a node of the broker goes away; the connection comes back and the queues are there, but nobody
    consumes them, until somebody notices and starts the process anew.
    """
    inbox, replies = Inbox(), Inbox()
    # Short: a node that has just come up leaves some questions unanswered. They have to be asked again.
    async with Broker(node.url, name="test", timeout_seconds=3) as broker:
        await asked_again(lambda: broker.declare(Topology(queues=(WORK,))))
        consumer = await broker.consume(WORK.name, inbox, prefetch=10)
        await broker.reply_queue(replies)
        await until(lambda: consumer.alive and broker.reply_to)
        # RabbitMQ 3.10 writes down half a second later that there is a new queue. Killed sooner, it knows of a queue
        # that answers nobody.
        [names] = node.server.folder.glob("data/*/quorum/*/names.dets")
        await until(lambda: WORK.name.encode() in names.read_bytes())
        await node.kill()
        try:
            # Its connections end one after the other.
            await until(lambda: not (broker.connected or consumer.alive or broker.reply_to))
        finally:
            await node.start()
        await until(lambda: consumer.alive and broker.reply_to)
        await until_consumed(broker, WORK.name)
        await asked_again(lambda: send(broker, WORK, b"1"))
        await asked_again(lambda: broker.publish("", broker.reply_to or "", b"2", mandatory=True))
        # What was said to have taken too long may have come all the same, and come again.
        await until(lambda: set(inbox.bodies) == {b"1"} and set(replies.bodies) == {b"2"})


async def asked_again(ask: Callable[[], Awaitable[None]]) -> None:
    """Asks until there is an answer."""
    async with asyncio.timeout(TIMEOUT):
        while True:
            try:
                return await ask()
            except Unavailable:
                await asyncio.sleep(0.01)


async def until_consumed(broker: Broker, queue: str) -> None:
    """Until the broker itself says so."""
    known: Depth | None = None

    async def depth() -> None:
        nonlocal known
        known = (await broker.depths(queue))[queue]

    async with asyncio.timeout(TIMEOUT):
        while known != Depth(messages=0, consumers=1):
            await asked_again(depth)
            await asyncio.sleep(0.01)


async def test_long_work_outlives_the_brokers_patience(node: Node) -> None:
    """Celery #6760: a task takes longer than the broker waits for its acknowledgement (15 or 30 minutes); it closes the
    channel with PRECONDITION_FAILED, and the worker dies of that as of an unrecoverable error. The next one begins the
    same task from the start, and dies too.

    Here the work goes on, and so does everything else on the connection; that the message is given out again harms
    nobody, since a row says whose the job is.
    """
    held, again = asyncio.Event(), asyncio.Event()
    tags: list[bool] = []

    async def work(batch: list[Delivery]) -> None:
        [delivery] = batch
        tags.append(delivery.redelivered)
        if not delivery.redelivered:
            await held.wait()
        await delivery.ack()
        if delivery.redelivered:
            again.set()

    replies = Inbox()
    async with Broker(node.url, name="test", timeout_seconds=TIMEOUT) as broker:
        queue = Queue("long-work")
        await broker.declare(Topology(queues=(queue,)))
        await broker.reply_queue(replies)
        consumer = await broker.consume(queue.name, work, prefetch=1, concurrency=2)
        await until(lambda: consumer.alive and broker.reply_to)
        reply_to, connection = broker.reply_to or "", broker._link.live().taking
        await send(broker, queue, b"x")
        async with asyncio.timeout(TIMEOUT):
            # The channel was taken away, another opened, and the message came by that one.
            await again.wait()
        held.set()
        await until(lambda: not consumer._hands)
        await until_consumed(broker, queue.name)
        assert tags[:2] == [False, True]
        assert broker._link.live().taking is connection
        assert broker.reply_to == reply_to
        await broker.publish("", reply_to, b"still there")
        await until(lambda: replies.bodies == [b"still there"])


async def test_dead_letters_arrive(amqp_url: str, admin: Admin) -> None:
    """Taskiq #322: a queue for dead letters is declared, and stays empty whatever happens: a task that failed is
    acknowledged all the same.

    Here what waits in a delay queue is a dead letter at the end of its time, and goes back to work by that way alone.
    """
    tier = TIERS[0]
    inbox = Inbox()
    async with Broker(amqp_url, name="test", timeout_seconds=TIMEOUT) as broker:
        await broker.declare(topology_of("worker"))
        await (await admin.get_queue(SUSPECT.name)).purge()
        await broker.consume(SUSPECT.name, inbox, prefetch=10)
        for body in (b"1", b"2"):
            await broker.publish(
                tier.exchange.name, SUSPECT.name, body, message_id="m", mandatory=True
            )
        await until(lambda: len(inbox.bodies) == 2)
        await wait_for_messages(admin, tier.queue, 0)
    [first, *_] = inbox.batches[0]
    assert inbox.bodies == [b"1", b"2"]
    assert (first.routing_key, first.message_id) == (SUSPECT.name, "m")
    [death] = first.headers["x-death"]
    assert (death["queue"], death["reason"]) == (tier.queue.name, "expired")


async def test_what_is_rejected_is_a_dead_letter_too(
    broker: Broker, queue: Queue, topology: Topology, admin: Admin
) -> None:
    """As above, for a message that is thrown away: it is not acknowledged."""
    refusing = replace(
        TIERS[-1].queue,
        name=f"{queue.name}.refusing",
        bindings=(),
        arguments={
            **TIERS[-1].queue.arguments,
            "x-dead-letter-exchange": topology.exchanges[0].name,
            "x-dead-letter-routing-key": "a.refused",
        },
    )
    inbox = Inbox()

    async def refuse(batch: list[Delivery]) -> None:
        for delivery in batch:
            await delivery.nack(requeue=False)

    await broker.declare(Topology(queues=(refusing,)))
    await broker.consume(refusing.name, refuse, prefetch=1)
    await broker.consume(queue.name, inbox, prefetch=1)
    await send(broker, refusing, b"x")
    await until(lambda: inbox.bodies == [b"x"])
    assert inbox.batches[0][0].headers["x-death"][0]["reason"] == "rejected"
    await admin.queue_delete(refusing.name)


async def test_a_stop_acknowledges_what_was_finished_and_nothing_else(
    broker: Broker, queue: Queue, admin: Admin
) -> None:
    """FastStream #1648: at SIGTERM the process waits for what it has in hand and ends without acknowledging it, so that
    it is done twice; or acknowledges what it has not done.

    A process that is told to stop drains its consumers with the time that it has.
    """
    soon, never = asyncio.Event(), asyncio.Event()
    in_hand: set[bytes] = set()

    async def work(batch: list[Delivery]) -> None:
        [delivery] = batch
        in_hand.add(delivery.body)
        await (soon if delivery.body == b"soon" else never).wait()
        await delivery.ack()

    consumer = await broker.consume(queue.name, work, prefetch=3, max_batch=1, concurrency=2)
    await send(broker, queue, b"soon", b"never")
    await until(lambda: in_hand == {b"soon", b"never"})
    await send(broker, queue, b"not begun")
    await until(lambda: consumer._waiting)
    soon.set()
    await consumer.drain(0.1)
    await wait_for_messages(admin, queue, 2)
    inbox = Inbox()
    await broker.consume(queue.name, inbox, prefetch=2)
    await until(lambda: sorted(inbox.bodies) == [b"never", b"not begun"])
