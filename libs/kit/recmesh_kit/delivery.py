"""A message in hand, and how the broker is told what became of it."""

from __future__ import annotations

import asyncio
from functools import cached_property
from typing import Any

import aiormq.abc

from recmesh_kit import frames
from recmesh_kit.amqp import REQUEST_ID_HEADER
from recmesh_kit.telemetry.place import TRACEPARENT, Place, of_headers
from recmesh_kit.wire import Wire

_TRACEPARENT = TRACEPARENT.encode()


class Settling:
    """Acknowledgements of one channel, as few frames as there can be: those of one turn of the event loop go together,
    and one frame acknowledges all deliveries from the first that is open to the first that stays so.

    Args:
        wire: Where to.
        channel: Whose deliveries.
    """

    def __init__(self, wire: Wire, channel: aiormq.abc.AbstractChannel) -> None:
        self._wire = wire
        self._channel = channel
        self._loop = asyncio.get_running_loop()
        # Tags in the order of delivery, which is theirs.
        self._open: dict[int, None] = {}
        self._acked: set[int] = set()

    def opened(self, tag: int) -> None:
        """A message was delivered."""
        self._open[tag] = None

    def ack(self, tag: int) -> None:
        """A message is done; the broker hears it soon."""
        if not self._acked:
            self._loop.call_soon(self.flush)
        self._acked.add(tag)

    def nack(self, tag: int, *, requeue: bool) -> None:
        """A message goes back, or (`requeue` false) away."""
        self.flush()
        del self._open[tag]
        if not self._over:
            self._wire.write(frames.nack(self._channel.number, tag, requeue=requeue))

    def flush(self) -> None:
        """Tells the broker now what is done."""
        acked, self._acked = self._acked, set()
        first = []
        for tag in self._open:
            if tag not in acked:
                break
            first.append(tag)
        for tag in acked:
            del self._open[tag]
        if not acked or self._over:
            return
        number = self._channel.number
        written = [frames.ack(number, first[-1], multiple=True)] if first else []
        written += [
            frames.ack(number, tag, multiple=False) for tag in sorted(acked.difference(first))
        ]
        self._wire.write(b"".join(written))

    def leave(self) -> None:
        """From now on the broker is told nothing more: the channel is about to be closed from this end."""
        self._wire.leave(self._channel)

    @property
    def _over(self) -> bool:
        """Whether the channel is gone: the broker gives out again what was open."""
        return not self._wire.usable(self._channel)


class Delivery:
    """A message in hand. Settle it once, by `ack` or `nack`; further calls do nothing, and neither do those on a
    channel that is gone: the broker gives the message out again by itself.

    Args:
        settling: Of the channel that it came by.
        method: The content of the frame that delivers it.
        header: The content of the header's frame.
        body: The content.

    Attributes:
        body: The content.
        message_id: What the publisher called it; None if it did not.
        reply_to: The queue that waits for an answer; None when nobody does.
        routing_key: What it was published with.
        redelivered: Whether it was given out before.
    """

    def __init__(self, settling: Settling, method: bytes, header: bytes, body: bytes) -> None:
        self.body = body
        _, self._headers, self.message_id, self.reply_to = frames.properties(header)
        self._tag, self.redelivered, self.routing_key = frames.deliver(method)
        self._settling = settling
        self._settled = False
        settling.opened(self._tag)

    @cached_property
    def headers(self) -> dict[str, Any]:
        """The headers, those of the broker (`x-delivery-count`, …) among them."""
        return frames.table(self._headers)

    @property
    def request_id(self) -> str | None:
        """The id of the request that the publisher was serving."""
        value = self.headers.get(REQUEST_ID_HEADER)
        return value if isinstance(value, str) else None

    @property
    def place(self) -> Place | None:
        """The place in a trace that the publisher told; None when it is in none."""
        # Most have none: looked for in the bytes, so that the headers need not be read.
        return of_headers(self.headers) if _TRACEPARENT in self._headers else None

    @property
    def settled(self) -> bool:
        """Whether what became of it has been told."""
        return self._settled

    async def ack(self) -> None:
        """Tells the broker that it is done; in one frame, if it can be, with those that are settled right after it."""
        if not self._settled:
            self._settled = True
            self._settling.ack(self._tag)

    async def nack(self, requeue: bool) -> None:
        """Gives it back to the queue, or (`requeue` false) throws it away."""
        self.give_back(requeue=requeue)

    def give_back(self, *, requeue: bool) -> None:
        """As `nack`, where nothing can be awaited."""
        if not self._settled:
            self._settled = True
            self._settling.nack(self._tag, requeue=requeue)
