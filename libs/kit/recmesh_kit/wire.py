"""The connection's bytes: frames of which there are many go past aiormq, all others through it.

aiormq reads each frame in three steps, hands it from task to task through queues, and waits for its writer at each
message: several times what the message itself costs. It still opens the connection, its channels and consumers, keeps
the heartbeat and closes; on a channel that is tapped here, deliveries, returns and confirmations are taken out of the
stream as it arrives, and what is published or settled is written at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aio_pika import Connection
from aiormq.abc import AbstractChannel
from aiormq.connection import TransportFactory
from aiormq.exceptions import AMQPConnectionError
from yarl import URL

from recmesh_kit import frames
from recmesh_kit.sockets import give_up_early

_SIGN_OF_LIFE_SECONDS = 1.0
_ANOTHER_PROTOCOL = b"A"[0]
"""A server that does not speak this version says so with a header instead of a frame: `AMQP` and four bytes."""

Confirmed = Callable[[int, bool, bool], None]
"""Delivery tag; whether those before it are meant too; whether the broker has it (else it refuses it)."""
Arrived = Callable[[int, bytes, bytes, bytes], None]
"""Method (`DELIVER` or `RETURN`), and the contents of the method's frame, of the header's and of those of the body."""


class _Tap:
    """What is taken out of the stream of one channel."""

    __slots__ = (
        "_arrived",
        "_body",
        "_confirmed",
        "_header",
        "_left",
        "_method",
        "_name",
        "channel",
        "closed",
    )

    def __init__(
        self, channel: AbstractChannel, arrived: Arrived, confirmed: Confirmed | None
    ) -> None:
        self.channel = channel
        self.closed = False
        self._arrived = arrived
        self._confirmed = confirmed
        self._name = 0
        self._method = self._header = b""
        self._body: list[bytes] = []
        self._left = 0

    def take(self, kind: int, content: bytes) -> bool:
        """Takes the content of a frame. False: it is for aiormq."""
        if kind == frames.METHOD:
            name = int.from_bytes(content[:4], "big")
            if name in (frames.DELIVER, frames.RETURN):
                self._name, self._method = name, content
                return True
            if self._confirmed is not None and name in (frames.ACK, frames.NACK):
                tag, multiple = frames.confirmed(content)
                self._confirmed(tag, multiple, name == frames.ACK)
                return True
            # aiormq takes a moment to say so, and what is written after its answer would end the connection.
            self.closed = self.closed or name == frames.CLOSE
            return False
        if not self._name:
            return False
        if kind == frames.HEADER:
            self._header = content
            self._left = int.from_bytes(content[4:12], "big")
        else:
            self._body.append(content)
            self._left -= len(content)
        if self._left <= 0:
            name, body, self._name, self._body = self._name, self._body, 0, []
            self._arrived(
                name, self._method, self._header, body[0] if len(body) == 1 else b"".join(body)
            )
        return True


class Wire(asyncio.StreamReaderProtocol):
    """One connection's stream. Use it from its own event loop only."""

    def __init__(self) -> None:
        self._loop_time = asyncio.get_running_loop().time
        self._reader = asyncio.StreamReader()
        super().__init__(self._reader)
        self._taps: dict[int, _Tap] = {}
        self._begun = b""
        self._plain = False
        self._last_sign = 0.0
        self._writer: asyncio.StreamWriter | None = None

    def attach(
        self, transport: asyncio.WriteTransport
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The two ends that aiormq gets."""
        self._writer = asyncio.StreamWriter(
            transport, self, self._reader, asyncio.get_running_loop()
        )
        return self._reader, self._writer

    def tap(
        self, channel: AbstractChannel, arrived: Arrived, confirmed: Confirmed | None = None
    ) -> None:
        """Takes deliveries, returns and, if asked for, confirmations of a channel, until it closes."""
        number, tap = channel.number, _Tap(channel, arrived, confirmed)
        self._taps[number] = tap

        def over(_: object) -> None:
            if self._taps.get(number) is tap:
                del self._taps[number]

        channel.closing.add_done_callback(over)

    def leave(self, channel: AbstractChannel) -> None:
        """From now on nothing is written on a channel that was tapped: to be called before it is closed from this end,
        since what comes at the server after that would end the connection.
        """
        tap = self._taps.get(channel.number)
        if tap is not None and tap.channel is channel:
            tap.closed = True

    def usable(self, channel: AbstractChannel) -> bool:
        """Whether something may be written on a channel that was tapped."""
        assert self._writer is not None
        tap = self._taps.get(channel.number)
        return (
            tap is not None
            and tap.channel is channel
            and not tap.closed
            and not self._writer.is_closing()
        )

    def write(self, data: bytes) -> None:
        """Writes whole frames."""
        assert self._writer is not None
        self._writer.write(data)

    def abort(self) -> None:
        """Ends the connection without a goodbye, if it has not ended."""
        if self._writer is not None:
            self._writer.transport.abort()

    async def drain(self) -> None:
        """Waits while the server is slow to read.

        Raises:
            OSError: The connection is lost.
        """
        assert self._writer is not None
        await self._writer.drain()

    def data_received(self, data: bytes) -> None:
        """Splits what arrives into frames; each goes to its channel's tap, or on to aiormq."""
        if self._plain:
            self._reader.feed_data(data)
            return
        if self._begun:
            data = self._begun + data
        at, end = 0, len(data)
        taken = False
        while end - at > frames.HEAD.size:
            kind, number, size = frames.HEAD.unpack_from(data, at)
            if kind == _ANOTHER_PROTOCOL:
                self._plain = True
                self._reader.feed_data(data[at:])
                return
            start = at + frames.HEAD.size
            stop = start + size + 1
            if stop > end:
                break
            tap = self._taps.get(number)
            if tap is not None and tap.take(kind, data[start : stop - 1]):
                taken = True
            else:
                self._reader.feed_data(data[at:stop])
            at = stop
        self._begun = data[at:]
        if taken:
            self._show_life()

    def _show_life(self) -> None:
        """aiormq takes a connection for dead on which it sees nothing; and while there is traffic, the server sends no
        heartbeats.
        """
        now = self._loop_time()
        if now - self._last_sign > _SIGN_OF_LIFE_SECONDS:
            self._last_sign = now
            self._reader.feed_data(frames.HEARTBEAT_FRAME)


class _Wiring(TransportFactory):
    def __init__(self) -> None:
        self.wire: Wire | None = None

    async def create(
        self, url: URL, **kwargs: Any
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        provider = kwargs.pop("ssl_context_provider")
        assert url.host is not None
        assert url.port is not None
        context = await provider.get_context() if url.scheme == "amqps" else None
        try:
            transport, self.wire = await asyncio.get_running_loop().create_connection(
                Wire, url.host, url.port, ssl=context, **kwargs
            )
        except OSError as error:
            raise AMQPConnectionError(*error.args) from error
        give_up_early(transport.get_extra_info("socket"))
        return self.wire.attach(transport)


class WiredConnection(Connection):
    """A connection of aio-pika's whose channels can be tapped.

    Args:
        url: `amqp://…` or `amqps://…`.
        name: How the server lists the connection.
    """

    def __init__(self, url: URL, *, name: str) -> None:
        super().__init__(url, client_properties={"connection_name": name})
        self._wiring = _Wiring()
        self.kwargs["transport_factory"] = self._wiring

    def abort(self) -> None:
        """Ends it without a goodbye, if it is connected."""
        if self._wiring.wire is not None:
            self._wiring.wire.abort()

    @property
    def open_channels(self) -> int:
        """Channels that are open."""
        transport = self.transport
        if transport is None:
            return 0
        # Channel 0 is the connection's own.
        return sum(n > 0 and one is not None for n, one in transport.connection.channels.items())

    @property
    def wire(self) -> Wire:
        """The stream, once it is connected."""
        assert self._wiring.wire is not None
        return self._wiring.wire
