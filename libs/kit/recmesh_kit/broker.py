"""RabbitMQ: one connection a process that comes back by itself, confirmed publishing, consumers that drain."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType

import structlog
from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractChannel, AbstractConnection, HeadersType
from aio_pika.exceptions import DeliveryError, PublishError

from recmesh_kit import amqp
from recmesh_kit.amqp import TopologyError, translated, unavailable
from recmesh_kit.consumer import Consumer, Delivery, Handler, Source
from recmesh_kit.errors import Unavailable
from recmesh_kit.link import Link, UnsupportedBroker
from recmesh_kit.settings import BrokerSettings
from recmesh_kit.tasks import Background
from recmesh_kit.topology import Topology

__all__ = [
    "Broker",
    "Consumer",
    "Delivery",
    "Handler",
    "TopologyError",
    "Unroutable",
    "UnsupportedBroker",
]

_REPLY_PREFETCH = 256


class Unroutable(Unavailable):
    """No queue takes the message that was published with `mandatory`."""


class Broker:
    """A connection that is kept up in the background, with bounded, spread pauses between attempts.

    The whole is used as an async context manager. Entering it waits for the first attempt, at most `timeout_seconds`,
    and goes on without the broker if that fails.

    Args:
        url: `amqp://user:password@host:port/vhost`.
        name: How the server lists the connection.
        timeout_seconds: Limit of connecting and of each operation.
    """

    def __init__(self, url: str, *, name: str, timeout_seconds: float) -> None:
        self._name = name
        self._timeout = timeout_seconds
        self._link = Link(url, name=name, timeout_seconds=timeout_seconds)
        self._background = Background()
        self._consumers: list[Consumer] = []
        self._replies: Consumer | None = None
        self._channels: dict[bool, AbstractChannel] = {}
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
        self._background.spawn("broker", self._link.keep())
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
        for consumer in reversed(self._consumers):
            await consumer.drain(0)
        await self._background.aclose()

    @property
    def connected(self) -> bool:
        """Whether there is a connection now."""
        return self._link.connection is not None

    @property
    def reply_to(self) -> str | None:
        """The name of the reply queue of this moment; None while there is none."""
        return None if self._replies is None else self._replies.queue

    async def ping(self) -> None:
        """Asks the broker for a sign of life.

        Raises:
            Unavailable: There is none.
        """
        with translated("ping"):
            async with amqp.open_channel(self._link.live(), self._timeout):
                return

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
            message_id: Its id; one is made up by default.
            reply_to: The queue that waits for an answer.
            persistent: Whether it is written to disk.
            confirm: Whether to wait until the broker has it safely. Else it may be lost without a word.
            mandatory: With `confirm`, whether it is an error that no queue takes it.

        Raises:
            Unavailable: The broker is away or refuses the message, or nobody knows whether it has it.
            Unroutable: No queue takes it.
        """
        sent: HeadersType = dict(headers or {})
        request_id = structlog.contextvars.get_contextvars().get("request_id")
        if request_id is not None:
            sent[amqp.REQUEST_ID_HEADER] = str(request_id)
        message = Message(
            body,
            headers=sent,
            message_id=message_id or uuid.uuid4().hex,
            reply_to=reply_to,
            delivery_mode=DeliveryMode.PERSISTENT if persistent else DeliveryMode.NOT_PERSISTENT,
        )
        try:
            with translated(f"publishing to {exchange or routing_key}"):
                async with asyncio.timeout(self._timeout):
                    channel = await self._publishing(self._link.live(), confirm)
                    raw = await channel.get_underlay_channel()
                    await raw.basic_publish(
                        body,
                        exchange=exchange,
                        routing_key=routing_key,
                        properties=message.properties,
                        mandatory=mandatory and confirm,
                    )
        except Unavailable as error:
            if isinstance(error.__cause__, PublishError):
                raise Unroutable(f"No queue takes {routing_key!r}.", reason=error.reason) from error
            if isinstance(error.__cause__, DeliveryError):
                raise unavailable(f"The broker refuses messages for {routing_key!r}.") from error
            raise

    async def consume(
        self,
        queue_name: str,
        handler: Handler,
        *,
        prefetch: int,
        max_batch: int | None = None,
        concurrency: int = 1,
    ) -> Consumer:
        """Consumes a queue from now on, and again after each reconnection.

        Args:
            queue_name: A queue that is there, or will be.
            handler: Gets what waits, as a batch, and settles each delivery.
            prefetch: Most deliveries that are not settled.
            max_batch: Most deliveries in a batch; default `prefetch`. With less, the next batch is here already when
                one ends.
            concurrency: Most batches in hand.
        """

        async def source(_: AbstractChannel) -> str:
            return queue_name

        return self._start(queue_name, source, handler, prefetch, max_batch, concurrency)

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
        concurrency: int,
    ) -> Consumer:
        consumer = Consumer(
            name,
            self._link.wait,
            source,
            handler,
            prefetch=prefetch,
            max_batch=max_batch or prefetch,
            concurrency=concurrency,
            timeout_seconds=self._timeout,
        )
        self._consumers.append(consumer)
        self._background.spawn(f"consume {name}", consumer.run())
        return consumer

    async def _publishing(self, connection: AbstractConnection, confirm: bool) -> AbstractChannel:
        """The channel for publishing. A broker that blocks publishers (its memory or disk is full) is waited for."""
        assert connection.transport is not None
        await connection.transport.ready()
        channel = self._channels.get(confirm)
        if channel is not None and not channel.is_closed:
            return channel
        async with self._opening:
            channel = self._channels.get(confirm)
            if channel is None or channel.is_closed:
                channel = connection.channel(publisher_confirms=confirm, on_return_raises=confirm)
                await channel.initialize()
                self._channels[confirm] = channel
            return channel
