"""Messages out, over a tapped channel: written together, confirmed together."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import takewhile

import aiormq.abc

from recmesh_kit import frames
from recmesh_kit.amqp import close_quietly, translated, unavailable
from recmesh_kit.errors import Unavailable
from recmesh_kit.wire import WiredConnection

_RENEWAL_SECONDS = 1.0
"""The least age at which a channel on which something was refused is replaced: a full queue refuses all the time."""


class Unroutable(Unavailable):
    """No queue takes the message that was published with `mandatory`."""


class Refused(Unavailable):
    """The broker does not take the message: its queue is full, for one."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to publish.

    Attributes:
        exchange: Where to; empty for the queue that the routing key names.
        routing_key: What the exchange routes by.
        body: The content.
        headers: Headers.
        message_id: Its id; by default it has none.
        reply_to: The queue that waits for an answer.
        persistent: Whether it is written to disk.
        mandatory: Where it is confirmed, whether it is an error that no queue takes it.
    """

    exchange: str
    routing_key: str
    body: bytes = field(repr=False)
    headers: Mapping[str, str | int] = field(default_factory=dict)
    message_id: str | None = None
    reply_to: str | None = None
    persistent: bool = True
    mandatory: bool = False


class _Group:
    """Messages that were published together."""

    __slots__ = ("_left", "_messages", "_open", "_over", "first", "outcomes")

    def __init__(self, messages: Sequence[Outgoing], over: asyncio.Future[None]) -> None:
        self._messages = messages
        self._over = over
        self._left = len(messages)
        self._open = unavailable("The broker went away: nobody knows whether it has the message.")
        self.first: int | None = None
        """The tag of the first message, once it was written."""
        self.outcomes: list[Unavailable | None] = [self._open] * len(messages)

    @property
    def settled(self) -> bool:
        """Whether the broker has said its last word on each."""
        return not self._left

    def settle(self, place: int, accepted: bool) -> None:
        """Notes the broker's last word on a message."""
        if self.outcomes[place] is self._open:
            key = self._messages[place].routing_key
            self.outcomes[place] = (
                None
                if accepted
                else Refused(f"The broker refuses messages for {key!r}.", reason=self._open.reason)
            )
        self._left -= 1
        if not self._left and not self._over.done():
            self._over.set_result(None)

    def returned(self, place: int, key: str) -> bool:
        """Notes that no queue takes a message; a confirmation follows. False: it is another, or that was known."""
        if self.outcomes[place] is not self._open or self._messages[place].routing_key != key:
            return False
        self.outcomes[place] = Unroutable(f"No queue takes {key!r}.", reason=self._open.reason)
        return True


class Publisher:
    """Publishes on one channel. It is as lasting as the channel: see `closed` and `worn`.

    Args:
        connection: Whose channel it is.
        channel: The channel; nothing else may be published there.
        confirms: Whether the broker confirms what it has.
    """

    def __init__(
        self,
        connection: WiredConnection,
        channel: aiormq.abc.AbstractChannel,
        *,
        confirms: bool,
    ) -> None:
        self._wire = connection.wire
        self._channel = channel
        self._confirms = confirms
        self._began = channel.loop.time()
        self._refused = False
        self._last_tag = 0
        self._waiting: set[asyncio.Future[None]] = set()
        self._unconfirmed: dict[int, tuple[_Group, int, str | None]] = {}
        self._frame_max = channel.connection.connection_tune.frame_max
        self._wire.tap(channel, self._on_return, self._on_confirmed)

    @property
    def closed(self) -> bool:
        """Whether the channel is gone."""
        return not self._wire.usable(self._channel)

    @property
    def worn(self) -> bool:
        """Whether another channel should take its place. On one whose first message for a quorum queue met a leader
        that had just died, the broker refuses all further ones for that queue until that node is back, though the
        queue has another leader and a new channel is served at once (seen with RabbitMQ 3.10).
        """
        return self._refused and self._channel.loop.time() - self._began >= _RENEWAL_SECONDS

    async def retire(self) -> None:
        """Closes the channel, once nobody waits for a confirmation on it. Nothing may be published here any more."""
        while self._waiting:
            await asyncio.wait(self._waiting)
        self._wire.leave(self._channel)
        await close_quietly(self._channel)

    async def publish(
        self, messages: Sequence[Outgoing], timeout_seconds: float
    ) -> list[Unavailable | None]:
        """Writes messages together, and waits for all confirmations at once.

        Returns:
            For each message, in order, why the broker does not have it, or None.
        """
        # Ends with an error when the channel closes.
        over = self._channel.create_future()
        group = _Group(messages, over)
        self._waiting.add(over)
        try:
            # What is not confirmed in the end stands in the outcomes.
            with suppress(Unavailable), translated("publishing"):
                async with asyncio.timeout(timeout_seconds):
                    # Before, not after: what is given up while the server is slow must not wait in memory to be sent.
                    await self._wire.drain()
                    if self.closed:
                        return group.outcomes
                    self._wire.write(self._written(group, messages))
                    if self._confirms:
                        await over
                    else:
                        group.outcomes = [None] * len(messages)
        finally:
            over.cancel()
            self._waiting.discard(over)
            self._forget(group)
        return group.outcomes

    def _forget(self, group: _Group) -> None:
        """Lets go of what was given up: a broker that takes messages and confirms none must not fill the memory."""
        if group.first is not None and not group.settled:
            for tag in range(group.first, group.first + len(group.outcomes)):
                self._unconfirmed.pop(tag, None)

    def _written(self, group: _Group, messages: Sequence[Outgoing]) -> bytes:
        encoded = []
        ids = []
        for message in messages:
            mandatory = message.mandatory and self._confirms
            message_id = message.message_id or (uuid.uuid4().hex if mandatory else None)
            ids.append(message_id)
            encoded.append(
                frames.publish(
                    self._channel.number,
                    message.exchange,
                    message.routing_key,
                    message.body,
                    headers=message.headers,
                    message_id=message_id,
                    reply_to=message.reply_to,
                    persistent=message.persistent,
                    mandatory=mandatory,
                    frame_max=self._frame_max,
                )
            )
        if self._confirms:
            # Once all could be encoded: the broker counts those that it gets.
            group.first = self._last_tag + 1
            for place, message_id in enumerate(ids):
                self._last_tag += 1
                self._unconfirmed[self._last_tag] = (group, place, message_id)
        return b"".join(encoded)

    def _on_confirmed(self, tag: int, multiple: bool, accepted: bool) -> None:
        self._refused = self._refused or not accepted
        tags = [tag]
        if multiple:
            # They stand in the order in which they were published.
            tags = list(takewhile(lambda one: one <= tag, self._unconfirmed))
        for one in tags:
            if (found := self._unconfirmed.pop(one, None)) is not None:
                group, place, _ = found
                group.settle(place, accepted)

    def _on_return(self, name: int, method: bytes, header: bytes, _: bytes) -> None:
        if name != frames.RETURN:
            return
        key = frames.returned(method)
        message_id = frames.properties(header).message_id
        for group, place, known in self._unconfirmed.values():
            if known == message_id and group.returned(place, key):
                return
