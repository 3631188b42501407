"""Three nodes of RabbitMQ: what is confirmed outlives one of them, and it comes back."""

import asyncio
import itertools
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiormq
import pytest
from aiormq import spec
from aiormq.abc import AbstractChannel
from aiormq.exceptions import ChannelAccessRefused, ConnectionInternalError, DeliveryError
from pamqp.common import FieldValue

from localmesh.definitions import User, admin
from localmesh.ports import Ports
from localmesh.rabbitmq import Cluster, RabbitMQ
from localmesh.supervisor import Member, Supervisor, Unit
from recmesh_kit.topology import Permissions

USER, VHOST, QUEUE = "someone", "/", "kept"
MAY_NOT_READ = Permissions(configure=".*", write=".*", read="")
QUORUM: dict[str, FieldValue] = {"x-queue-type": "quorum"}
LIMIT_SECONDS = 300


def cluster(folder: Path, ports: Ports, users: dict[str, User]) -> list[RabbitMQ]:
    return [
        RabbitMQ(
            folder=folder / str(index),
            port=ports.rabbitmq_at(index),
            nodes_port=ports.rabbitmq_nodes,
            users=users,
            vhosts=(VHOST,),
            log=folder / f"{index}.log",
            name=f"node-{index}",
            cluster=Cluster(index, 3, folder, "a cookie"),
        )
        for index in range(3)
    ]


@asynccontextmanager
async def channel_of(node: RabbitMQ) -> AsyncIterator[AbstractChannel]:
    connection = await aiormq.connect(node.url(USER, VHOST))
    try:
        yield await connection.channel()
    finally:
        await connection.close()


async def publish(node: RabbitMQ) -> None:
    """Until it is confirmed: a majority of the nodes has it.

    By a channel for each attempt: one that met a leader who had just been killed asks no other.
    """
    async with asyncio.timeout(LIMIT_SECONDS):
        for _ in itertools.count():
            async with channel_of(node) as channel:
                await channel.queue_declare(QUEUE, durable=True, arguments=QUORUM)
                with suppress(DeliveryError):
                    await channel.basic_publish(b"", routing_key=QUEUE)
                    return
            await asyncio.sleep(0.1)


async def take(node: RabbitMQ) -> None:
    """Take one message; the queue may be about to elect a leader."""
    async with asyncio.timeout(LIMIT_SECONDS):
        for _ in itertools.count():
            # A node that asks a leader who is gone ends the connection.
            with suppress(ConnectionInternalError):
                async with channel_of(node) as channel:
                    got = await channel.basic_get(QUEUE, no_ack=True)
                    if isinstance(got.delivery, spec.Basic.GetOk):
                        return
            await asyncio.sleep(0.1)


def kill(member: Member) -> None:
    assert member.child is not None
    assert member.child.pid is not None
    os.kill(member.child.pid, signal.SIGKILL)


async def back(member: Member) -> None:
    deadline = time.monotonic() + LIMIT_SECONDS
    while member.restarts == 0 or member.state != "healthy":
        assert time.monotonic() < deadline, member.state
        await asyncio.sleep(0.05)


async def test_killed_node_comes_back_into_the_cluster(
    tmp_path: Path, free_offset: Callable[[], int]
) -> None:
    users = {USER: User("a password", MAY_NOT_READ)}
    nodes = cluster(tmp_path, Ports(free_offset()), users)
    units = [Unit(node.name, node.prepare, node.ready, LIMIT_SECONDS) for node in nodes]
    supervisor = Supervisor([units], print, lambda: None, longest_pause=0.1)
    first, second, _ = supervisor.members
    try:
        await supervisor.start(*(unit.name for unit in units))
        await publish(nodes[0])
        with pytest.raises(ChannelAccessRefused):
            await take(nodes[0])

        # What a node is told at its start goes for all of them, whatever they knew before.
        users[USER] = admin("a password")
        kill(first)
        await publish(nodes[1])
        await back(first)
        await take(nodes[2])

        # With another one gone for good, nothing is confirmed unless the first is whole again.
        assert second.watch is not None
        second.watch.cancel()
        kill(second)
        await publish(nodes[2])
        await take(nodes[0])
    finally:
        await supervisor.stop()
