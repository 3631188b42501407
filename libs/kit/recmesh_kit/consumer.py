"""Messages in: taken in batches, drained at the end."""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

import aiormq.abc
import structlog
from aio_pika.abc import AbstractChannel

from recmesh_kit.amqp import open_channel, translated
from recmesh_kit.delivery import Delivery, Settling
from recmesh_kit.errors import Unavailable
from recmesh_kit.link import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, STEADY_SECONDS
from recmesh_kit.tasks import Comeback, end_if_cancelled, is_cancelled
from recmesh_kit.wire import WiredConnection

log = structlog.get_logger()

_AFTER_FAILURE_SECONDS = 1.0
"""How long a batch rests before it is returned, so that a message that always fails does not spin."""
_CANCEL_SECONDS = 1.0
"""The least time that the broker has to say that it sends nothing more, and a batch that is cut off to end."""

Handler = Callable[[list[Delivery]], Awaitable[None]]
"""Takes a batch and settles each delivery. When it raises, what it has not settled goes back to the queue."""
Source = Callable[[AbstractChannel], Awaitable[str]]
"""Says which queue to consume; may declare it on the channel."""


class Consumer:
    """Consumes a queue on a channel of its own, and begins again by itself when that is gone. Made by `Broker`.

    Args:
        name: For the logs.
        connection: Returns a live connection, once there is one.
        source: The queue.
        handler: Gets what waits, as a batch, up to `max_batch`.
        prefetch: Most deliveries that are not settled.
        max_batch: Most deliveries in a batch.
        concurrency: Most batches in hand.
        patience_seconds: How long messages wait for a batch in hand to end before another is begun beside it; one that
            is full is begun at once.
        timeout_seconds: Limit of each operation at the broker.
    """

    def __init__(
        self,
        name: str,
        connection: Callable[[], Awaitable[WiredConnection]],
        source: Source,
        handler: Handler,
        *,
        prefetch: int,
        max_batch: int,
        concurrency: int,
        patience_seconds: float,
        timeout_seconds: float,
    ) -> None:
        self._name = name
        self._connection = connection
        self._source = source
        self._handler = handler
        self._prefetch = prefetch
        self._max_batch = max_batch
        self._concurrency = concurrency
        self._patience = patience_seconds
        self._loop = asyncio.get_running_loop()
        self._beside: asyncio.TimerHandle | None = None
        self._timeout = timeout_seconds
        self._waiting: deque[Delivery] = deque()
        self._hands: set[asyncio.Task[None]] = set()
        self._channel: aiormq.abc.AbstractChannel | None = None
        self._settling: Settling | None = None
        self._queue: str | None = None
        self._tag = ""
        self._comeback = Comeback(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, STEADY_SECONDS)
        self._idle_since: float | None = self._loop.time()
        self._draining = asyncio.Event()
        self._ended = asyncio.Event()

    @property
    def alive(self) -> bool:
        """Whether the broker gives it messages now."""
        return self.queue is not None and not self._draining.is_set()

    @property
    def queue(self) -> str | None:
        """The queue that is consumed now; None while there is none."""
        return None if self._channel is None or self._channel.is_closed else self._queue

    @property
    def idle_since(self) -> float | None:
        """Since when, by the loop's clock, the broker gives it nothing; None while it does, and once it is drained."""
        return None if self._draining.is_set() else self._idle_since

    async def drain(self, timeout: float) -> None:  # noqa: ASYNC109 - what it is about
        """Takes no more messages, returns those that are not in hand, and lets the batches in hand end.

        Args:
            timeout: Seconds that they have. What is in hand after that is cancelled, and its messages go back to the
                queue.
        """
        self._draining.set()
        began = self._loop.time()
        await self._cancel(max(_CANCEL_SECONDS, min(timeout, self._timeout)))
        while self._waiting:
            await self._waiting.popleft().nack(requeue=True)
        if self._hands:
            left = max(0.0, began + timeout - self._loop.time())
            await asyncio.wait(self._hands, timeout=left)
        if cut := list(self._hands):
            log.warning("batches cut off", queue=self._name, batches=len(cut))
            for hand in cut:
                hand.cancel()
            await asyncio.wait(cut, timeout=_CANCEL_SECONDS)
        if self._settling is not None:
            self._settling.flush()
        self._ended.set()

    async def _cancel(self, seconds: float) -> None:
        """Has the broker send nothing more."""
        channel, settling = self._channel, self._settling
        if channel is None or channel.is_closed or settling is None:
            return
        try:
            with translated("cancelling a consumer"):
                await channel.basic_cancel(self._tag, timeout=seconds)
        except Unavailable as error:
            # aiormq then closes the channel. The broker gives out again what is in hand; nothing may be written there.
            log.warning("consumer not cancelled", queue=self._name, cause=repr(error.__cause__))
            settling.leave()

    async def run(self) -> None:
        """Consumes until it is drained; whatever else ends it, it begins again."""
        while not self._draining.is_set():
            try:
                connection = await self._connection()
                with translated(f"consuming {self._name}"):
                    await self._consume(connection)
            except Unavailable as error:
                log.warning("consuming failed", queue=self._name, cause=repr(error.__cause__))
            except (Exception, asyncio.CancelledError) as error:
                if isinstance(error, asyncio.CancelledError) and is_cancelled():
                    raise
                log.exception("consuming failed", queue=self._name)
            if not self._draining.is_set():
                end_if_cancelled()
                await asyncio.sleep(self._comeback.pause())

    async def _consume(self, connection: WiredConnection) -> None:
        """Consumes until the channel closes, the broker takes the queue away, or it is drained."""
        async with open_channel(connection, self._timeout) as channel:
            over = asyncio.Event()
            raw = await channel.get_underlay_channel()
            raw.closing.add_done_callback(lambda _: over.set())
            raw.on_consumer_cancel_callbacks.add(lambda _: over.set())
            self._settling = Settling(connection.wire, raw)
            connection.wire.tap(raw, partial(self._on_message, self._settling))
            try:
                async with asyncio.timeout(self._timeout):
                    queue = await self._source(channel)
                    await channel.set_qos(prefetch_count=self._prefetch)
                    if self._draining.is_set():
                        # Nobody would cancel it: what it got would go to and fro until the last batch has ended.
                        return
                    consuming = await raw.basic_consume(queue, _untapped)
                # What comes may last for ever, and a library may have lost the word to end.
                end_if_cancelled()
                self._channel, self._queue, self._tag = raw, queue, consuming.consumer_tag or ""
                self._idle_since = None
                self._comeback.began()
                log.info("consuming", queue=queue, prefetch=self._prefetch)
                if self._draining.is_set():
                    # Since the broker was asked.
                    await self._cancel(_CANCEL_SECONDS)
                await self._until(over)
            finally:
                # What waits here is given out again by the broker, and so is what is in hand still. (The first may
                # have come before the answer to `basic_consume` was seen, which then came too late.)
                self._settling.leave()
                self._waiting.clear()
                self._channel = None
                if self._idle_since is None:
                    self._idle_since = self._loop.time()
        if not self._draining.is_set():
            log.warning("consuming ended by the broker", queue=queue)

    async def _until(self, over: asyncio.Event) -> None:
        """Until the channel is gone, or the last batch has ended that needs it for its acks."""
        waiters = [asyncio.ensure_future(event.wait()) for event in (over, self._ended)]
        try:
            await asyncio.wait(waiters, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for waiter in waiters:
                waiter.cancel()

    def _on_message(
        self, settling: Settling, name: int, method: bytes, header: bytes, body: bytes
    ) -> None:
        delivery = Delivery(settling, method, header, body)
        if self._draining.is_set():
            delivery.give_back(requeue=True)
            return
        self._waiting.append(delivery)
        if not (self._hands and self._patience) or len(self._waiting) >= self._max_batch:
            self._begin()
        elif self._beside is None:
            # Two small batches cost more than one of both: what waits is taken by the one in hand, if that ends soon.
            self._beside = self._loop.call_later(self._patience, self._begin)

    def _begin(self) -> None:
        """Begins another batch of what waits, if there may be one more."""
        self._beside = None
        if self._waiting and len(self._hands) < self._concurrency:
            # In a context of its own: a batch holds the messages of several requests.
            self._hands.add(
                asyncio.create_task(
                    self._work(), name=f"handle {self._name}", context=contextvars.Context()
                )
            )

    async def _work(self) -> None:
        """Handles batches until nothing waits."""
        task = asyncio.current_task()
        assert task is not None
        try:
            while batch := self._take():
                await self._handle(batch)
        finally:
            # Here, not in a callback of the task: what arrives in between would find nobody to handle it.
            self._hands.discard(task)

    def _take(self) -> list[Delivery]:
        if self._draining.is_set():
            # What waits goes back, as soon as the broker sends nothing more.
            return []
        if self._beside is not None:
            self._beside.cancel()
            self._beside = None
        return [self._waiting.popleft() for _ in range(min(len(self._waiting), self._max_batch))]

    async def _handle(self, batch: list[Delivery]) -> None:
        try:
            await self._handler(batch)
        except (Exception, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and is_cancelled():
                raise
            log.exception("batch failed", queue=self._name, messages=len(batch))
            with suppress(TimeoutError):
                async with asyncio.timeout(_AFTER_FAILURE_SECONDS):
                    await self._draining.wait()
            for delivery in batch:
                await delivery.nack(requeue=True)


async def _untapped(message: aiormq.abc.DeliveredMessage) -> None:
    """What aiormq would call, did it see deliveries."""
    raise AssertionError(f"not tapped: {message.delivery_tag}")
