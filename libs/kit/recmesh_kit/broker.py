"""RabbitMQ: connections that come back by themselves, confirmed publishing, consumers that drain."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from types import TracebackType

import structlog
from aio_pika.abc import AbstractChannel

from recmesh_kit import amqp
from recmesh_kit.amqp import TopologyError, translated
from recmesh_kit.consumer import Consumer, Handler, Source
from recmesh_kit.delivery import Delivery
from recmesh_kit.errors import Unavailable
from recmesh_kit.link import FIRST_PAUSE_SECONDS, Link, UnsupportedBroker
from recmesh_kit.publisher import Outgoing, Publisher, Refused, Unroutable
from recmesh_kit.settings import BrokerSettings
from recmesh_kit.tasks import Background
from recmesh_kit.topology import Topology
from recmesh_kit.wire import WiredConnection

__all__ = [
    "Broker",
    "Consumer",
    "Delivery",
    "Depth",
    "Handler",
    "Outgoing",
    "Refused",
    "TopologyError",
    "Unroutable",
    "UnsupportedBroker",
]

_REPLY_PREFETCH = 256
_MOST_BYTES = 64 * 1024 * 1024
"""Of messages that are being published: while the broker is slow or blocked, callers go on."""
_MESSAGE_BYTES = 1024
"""What a message takes beside its body, roughly."""


@dataclass(frozen=True, slots=True)
class Depth:
    """How a queue stands.

    Attributes:
        messages: That wait.
        consumers: That take them.
    """

    messages: int
    consumers: int


class Broker:
    """The connections of a process, kept up in the background, with bounded, spread pauses between attempts.

    The whole is used as an async context manager. Entering it waits for the first attempt, at most `timeout_seconds`,
    and goes on without the broker if that fails.

    Args:
        urls: `amqp://user:password@host:port/vhost`, or several of them, comma-separated: nodes of one cluster. When
            one is lost, another takes its place.
        name: How the server lists the connections.
        timeout_seconds: Limit of connecting and of each operation.

    Raises:
        BadUrl: One of the URLs is none.
    """

    def __init__(self, urls: str, *, name: str, timeout_seconds: float) -> None:
        self._name = name
        self._timeout = timeout_seconds
        self._link = Link(urls, name=name, timeout_seconds=timeout_seconds)
        self._bytes = 0
        self._background = Background()
        self._consumers: list[Consumer] = []
        self._replies: Consumer | None = None
        self._publishers: dict[bool, Publisher] = {}
        self._opening = asyncio.Lock()

    @classmethod
    def of(cls, settings: BrokerSettings, name: str) -> Broker:
        """The broker that the settings name."""
        return cls(
            settings.amqp_url.get_secret_value(),
            name=name,
            timeout_seconds=settings.broker_timeout_seconds,
        )

    async def __aenter__(self) -> Broker:
        """Starts to connect.

        Raises:
            UnsupportedBroker: RabbitMQ is older than 3.10, or newer than 4.x.
        """
        # It never ends; if it did, by a defect, it would be begun anew.
        self._background.loop("broker", self._link.keep, FIRST_PAUSE_SECONDS)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._timeout):
                await self._link.tried.wait()
        if self._link.unsupported is not None:
            await self.aclose()
            raise self._link.unsupported
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Cuts off what consumers have in hand (drain them before) and closes the connection."""
        await asyncio.gather(*(consumer.drain(0) for consumer in self._consumers))
        await self._background.aclose()

    @property
    def connected(self) -> bool:
        """Whether there is a connection now."""
        return self._link.connections is not None

    def stalled(self) -> float:
        """Seconds for which a consumer, of the one for which it is longest, has not been consuming though the broker
        can be reached: to be watched by `Health.watch_liveness`. 0 while there is none, or the broker is away.
        """
        reached = self._link.reached_at
        if reached is None:
            return 0.0
        idle = [since for one in self._consumers if (since := one.idle_since) is not None]
        if not idle:
            return 0.0
        return asyncio.get_running_loop().time() - max(reached, min(idle))

    @property
    def channels(self) -> int:
        """Channels that are open."""
        both = self._link.connections
        return 0 if both is None else both.taking.open_channels + both.giving.open_channels

    @property
    def reply_to(self) -> str | None:
        """The name of the reply queue of this moment; None while there is none."""
        return None if self._replies is None else self._replies.queue

    async def depths(self, *queues: str) -> dict[str, Depth]:
        """How queues stand, by name.

        Raises:
            Unavailable: The broker is away, or has not all of them.
        """
        found = {}
        with translated("looking at queues"):
            async with amqp.open_channel(self._link.live().taking, self._timeout) as channel:
                for name in queues:
                    declared = await channel.declare_queue(
                        name, passive=True, timeout=self._timeout
                    )
                    state = declared.declaration_result
                    found[name] = Depth(state.message_count or 0, state.consumer_count or 0)
        return found

    async def declare(self, topology: Topology) -> None:
        """Declares exchanges and queues, now and after each reconnection. Without the broker it is put off till then.

        Raises:
            TopologyError: The broker has something else under one of the names, or does not allow it.
        """
        await self._link.declare(topology)

    async def publish(
        self,
        exchange: str,
        routing_key: str,
        body: bytes,
        *,
        headers: Mapping[str, str | int] | None = None,
        message_id: str | None = None,
        reply_to: str | None = None,
        persistent: bool = True,
        confirm: bool = True,
        mandatory: bool = False,
    ) -> None:
        """Publishes a message; many may be in flight. The id of the request in hand goes along as a header.

        Args:
            exchange: Where to; empty for the queue that the routing key names.
            routing_key: What the exchange routes by.
            body: The content.
            headers: Headers.
            message_id: Its id; by default it has none.
            reply_to: The queue that waits for an answer.
            persistent: Whether it is written to disk.
            confirm: Whether to wait until the broker has it safely. Else it may be lost without a word.
            mandatory: With `confirm`, whether it is an error that no queue takes it.

        Raises:
            Unavailable: The broker is away or refuses the message, or nobody knows whether it has it.
            Unroutable: No queue takes it.
        """
        message = Outgoing(
            exchange=exchange,
            routing_key=routing_key,
            body=body,
            headers=headers or {},
            message_id=message_id,
            reply_to=reply_to,
            persistent=persistent,
            mandatory=mandatory,
        )
        [error] = await self.publish_all([message], confirm=confirm)
        if error is not None:
            raise error

    async def publish_all(
        self, messages: Sequence[Outgoing], *, confirm: bool = True
    ) -> list[Unavailable | None]:
        """Publishes messages in one go; many such groups may be in flight. The id of the request in hand goes along as
        a header where there is none.

        Args:
            messages: The messages.
            confirm: As for `publish`.

        Returns:
            For each message, in order, None or what `publish` would raise.

        Raises:
            Unavailable: The broker is away, or so much is being published that this would be too much: it has none of
                them.
        """
        if not messages:
            return []
        size = sum(len(message.body) + _MESSAGE_BYTES for message in messages)
        if self._bytes and self._bytes + size > _MOST_BYTES:
            raise amqp.unavailable("The broker is slow, and too many messages wait for it.")
        self._bytes += size
        try:
            return await self._publish(messages, confirm)
        finally:
            self._bytes -= size

    async def _publish(
        self, messages: Sequence[Outgoing], confirm: bool
    ) -> list[Unavailable | None]:
        request_id = structlog.contextvars.get_contextvars().get("request_id")
        if request_id is not None:
            inherited = {amqp.REQUEST_ID_HEADER: str(request_id)}
            messages = [
                replace(message, headers={**inherited, **message.headers}) for message in messages
            ]
        with translated("publishing"):
            async with asyncio.timeout(self._timeout):
                publisher = await self._publisher(self._link.live().giving, confirm)
        return await publisher.publish(messages, self._timeout)

    async def consume(
        self,
        queue_name: str,
        handler: Handler,
        *,
        prefetch: int,
        max_batch: int | None = None,
        concurrency: int = 1,
        patience_seconds: float = 0.0,
    ) -> Consumer:
        """Consumes a queue from now on, and again after each reconnection.

        Args:
            queue_name: A queue that is there, or will be.
            handler: Gets what waits, as a batch, and settles each delivery.
            prefetch: Most deliveries that are not settled.
            max_batch: Most deliveries in a batch; default `prefetch`. With less, the next batch is here already when
                one ends.
            concurrency: Most batches in hand.
            patience_seconds: How long messages wait for a batch in hand to end before another is begun beside it.
        """

        async def source(_: AbstractChannel) -> str:
            return queue_name

        return self._start(
            queue_name, source, handler, prefetch, max_batch, concurrency, patience_seconds
        )

    async def reply_queue(self, handler: Handler) -> None:
        """Makes a queue that only this process reads, and that ends with the connection. After each reconnection there
        is another: `reply_to` names the present one.

        Args:
            handler: Gets what waits, as a batch, and settles each delivery.
        """

        async def source(channel: AbstractChannel) -> str:
            name = f"reply.{self._name}.{uuid.uuid4().hex}"
            await channel.declare_queue(name, exclusive=True, auto_delete=True)
            return name

        assert self._replies is None, "one reply queue a process"
        self._replies = self._start("replies", source, handler, _REPLY_PREFETCH, None, 1)

    def _start(
        self,
        name: str,
        source: Source,
        handler: Handler,
        prefetch: int,
        max_batch: int | None,
        concurrency: int = 1,
        patience_seconds: float = 0.0,
    ) -> Consumer:
        consumer = Consumer(
            name,
            self._link.wait,
            source,
            handler,
            prefetch=prefetch,
            max_batch=max_batch or prefetch,
            concurrency=concurrency,
            patience_seconds=patience_seconds,
            timeout_seconds=self._timeout,
        )
        self._consumers.append(consumer)
        self._background.spawn(f"consume {name}", consumer.run())
        return consumer

    async def _publisher(self, connection: WiredConnection, confirm: bool) -> Publisher:
        """Where to publish. A broker that blocks publishers (its memory or disk is full) is waited for."""
        assert connection.transport is not None
        await connection.transport.ready()
        publisher = self._publishers.get(confirm)
        if publisher is not None and not publisher.closed and not publisher.worn:
            return publisher
        async with self._opening:
            publisher = self._publishers.get(confirm)
            if publisher is None or publisher.closed or publisher.worn:
                channel = connection.channel(publisher_confirms=confirm)
                await channel.initialize()
                if publisher is not None and not publisher.closed:
                    # What is in flight there is waited for.
                    self._background.spawn("retire publisher", publisher.retire())
                publisher = Publisher(
                    connection, await channel.get_underlay_channel(), confirms=confirm
                )
                self._publishers[confirm] = publisher
            return publisher
