"""What the broker and its consumers share: channels, errors, declarations."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import (
    CONNECTION_EXCEPTIONS,
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
)
from aiormq.abc import AbstractChannel as UnderlayChannel
from aiormq.exceptions import ChannelAccessRefused

from recmesh.common.v1 import error_reason_pb2 as reasons
from recmesh_kit.errors import CannotStart, Unavailable
from recmesh_kit.tasks import is_cancelled
from recmesh_kit.topology import Topology

REQUEST_ID_HEADER = "x-request-id"
_CLOSE_SECONDS = 2.0


class TopologyError(CannotStart):
    """The broker has something else under a name, or this user may not declare it. The text says what to do."""


def unavailable(message: str) -> Unavailable:
    """What is raised while the broker is away."""
    return Unavailable(message, reason=reasons.ERROR_REASON_BROKER_UNAVAILABLE)


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turns whatever says that connection or channel are gone, and a timeout, into `Unavailable`.

    Raises:
        Unavailable: `what` did not happen, or nobody knows whether it did.
    """
    try:
        yield
    except asyncio.CancelledError as error:
        # When a connection closes, aiormq ends what waits for it with this error too.
        if is_cancelled():
            raise
        raise unavailable(f"The broker went away: {what}.") from error
    except CONNECTION_EXCEPTIONS as error:
        raise unavailable(f"The broker did not answer: {what}.") from error


@asynccontextmanager
async def open_channel(
    connection: AbstractConnection, timeout_seconds: float, *, confirms: bool = False
) -> AsyncIterator[AbstractChannel]:
    """A channel for the time of the block."""
    async with asyncio.timeout(timeout_seconds):
        channel = connection.channel(publisher_confirms=confirms, on_return_raises=confirms)
        await channel.initialize()
    try:
        yield channel
    finally:
        # One whose closing is broken off takes its connection along: a slow broker is waited for, unless in haste.
        await close_quietly(channel, _CLOSE_SECONDS if is_cancelled() else timeout_seconds)


async def close_quietly(
    closable: AbstractChannel | AbstractConnection | UnderlayChannel,
    timeout_seconds: float = _CLOSE_SECONDS,
) -> None:
    """Closes a channel or connection that may be gone already."""
    with suppress(Unavailable), translated("closing"):
        async with asyncio.timeout(timeout_seconds):
            await closable.close()


async def declare(
    connection: AbstractConnection, topology: Topology, timeout_seconds: float
) -> None:
    """Declares exchanges, then queues and their bindings. What is there already stays as it is.

    Raises:
        TopologyError: It is there with other properties, or may not be declared.
        Unavailable: The broker went away, or took too long.
    """
    with translated("declaring"):
        for exchange in topology.exchanges:
            with _explained("exchange", exchange.name):
                async with open_channel(connection, timeout_seconds) as channel:
                    await channel.declare_exchange(
                        exchange.name, exchange.kind, durable=True, timeout=timeout_seconds
                    )
        for queue in topology.queues:
            with _explained("queue", queue.name):
                async with open_channel(connection, timeout_seconds) as channel:
                    declared = await channel.declare_queue(
                        queue.name,
                        durable=True,
                        arguments=dict(queue.all_arguments),
                        timeout=timeout_seconds,
                    )
                    for source, routing_key in queue.bindings:
                        await declared.bind(source, routing_key, timeout=timeout_seconds)


@contextmanager
def _explained(kind: str, name: str) -> Iterator[None]:
    try:
        yield
    except ChannelPreconditionFailed as error:
        delete = (
            f"let its consumers empty it, then `rabbitmqctl delete_queue {name} --if-empty`"
            if kind == "queue"
            else f"`rabbitmqadmin delete exchange name={name}`"
        )
        raise TopologyError(
            f"{kind} {name!r} exists with other properties, which cannot be changed. To migrate, stop what "
            f"publishes to it, {delete}, and start again. The broker says: {error}"
        ) from error
    except ChannelAccessRefused as error:
        raise TopologyError(
            f"{kind} {name!r} may not be declared: give the user the rights to configure, write and read it. "
            f"The broker says: {error}"
        ) from error
    except ChannelNotFoundEntity as error:
        raise TopologyError(
            f"{kind} {name!r} is bound to an exchange that nobody declared. The broker says: {error}"
        ) from error
