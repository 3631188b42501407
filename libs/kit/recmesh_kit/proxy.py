"""For tests and trials: a way to a server that can be cut, closed, hung and slowed down."""

from __future__ import annotations

import asyncio
import socket
import struct
import weakref
from contextlib import suppress
from types import TracebackType
from urllib.parse import SplitResult, urlsplit, urlunsplit

_LOOPBACK = "127.0.0.1"
_CHUNK_BYTES = 64 * 1024
_CHUNKS = 64
"""Most chunks of one direction that are held back; then its sender has to wait, as with any network."""


class Proxy:
    """Passes TCP connections on to a server, and fails in the ways in which a network does. Used from one event loop.

    Args:
        host: The server's.
        port: The server's.
        listen_port: Port on the loopback interface to listen on; 0 for any, which then stays the same.
    """

    def __init__(self, host: str, port: int, listen_port: int = 0) -> None:
        self._host = host
        self._server_port = port
        self._url: SplitResult | None = None
        self._port = listen_port
        self._held: socket.socket | None = None
        self._endpoint: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._seconds = 0.0
        self._asking = asyncio.Event()
        self._asking.set()
        self._answering = asyncio.Event()
        self._answering.set()
        self.asked = 0
        """Bytes that were passed on to the server so far."""

    @classmethod
    def to(cls, url: str) -> Proxy:
        """A way to the server of a URL (with a port); `url` names it."""
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        proxy = cls(parts.hostname, parts.port)
        proxy._url = parts
        return proxy

    @property
    def port(self) -> int:
        """Where it listens; known once it was opened."""
        return self._port

    @property
    def url(self) -> str:
        """The URL that it was made from, by this way."""
        assert self._url is not None
        user, at, _ = self._url.netloc.rpartition("@")
        return urlunsplit(self._url._replace(netloc=f"{user}{at}{_LOOPBACK}:{self._port}"))

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._connections)

    async def __aenter__(self) -> Proxy:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
        if self._held is not None:
            self._held.close()
            self._held = None

    async def open(self) -> None:
        """Lets connections through, by the same port each time."""
        if self._held is None:
            self._held = _hold(self._port)
            self._port = self._held.getsockname()[1]
            # For who closes it without a block, and may open it again.
            weakref.finalize(self, self._held.close)
        if self._endpoint is None:
            self._endpoint = await asyncio.start_server(self._accept, _LOOPBACK, self._port)

    async def close(self) -> None:
        """From now on connections are refused; what is connected is cut."""
        if self._endpoint is not None:
            self._endpoint.close()
            await self.cut()
            await self._endpoint.wait_closed()
            self._endpoint = None

    async def cut(self) -> None:
        """Cuts what is connected, with a reset at both ends. Further connections are let through."""
        cut = list(self._connections)
        for connection in cut:
            connection.cancel()
        if cut:
            await asyncio.wait(cut)

    def hang(self, *, answers_only: bool = False) -> None:
        """From now on nothing is passed on, and nobody is told: as if all packets were dropped. Connections are
        accepted, and hang too.

        Args:
            answers_only: What clients say still reaches the server.
        """
        if not answers_only:
            self._asking.clear()
        self._answering.clear()

    def resume(self) -> None:
        """Passes on what was held back, and all that follows."""
        self._asking.set()
        self._answering.set()

    def delay(self, seconds: float) -> None:
        """From now on what is said arrives so much later, in each direction; 0 for at once."""
        self._seconds = seconds

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        ends = [writer]
        try:
            await self._asking.wait()
            there, out = await asyncio.open_connection(self._host, self._server_port)
            ends.append(out)
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump(reader, out, self._asking))
                pumps.create_task(self._pump(there, writer, self._answering))
        except (OSError, ExceptionGroup, asyncio.CancelledError):
            # Not passed on: asyncio would report the end of a connection that was cut as a failure.
            for end in ends:
                _reset(end)
        finally:
            self._connections.discard(task)
            for end in ends:
                end.close()

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, flowing: asyncio.Event
    ) -> None:
        """Passes on what one end says, until it has no more to say."""
        chunks: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_CHUNKS)
        time = asyncio.get_running_loop().time

        async def take() -> None:
            data = b"-"
            while data:
                data = await source.read(_CHUNK_BYTES)
                await chunks.put((time() + self._seconds, data))

        async def give() -> None:
            while True:
                due, data = await chunks.get()
                if (left := due - time()) > 0:
                    await asyncio.sleep(left)
                await flowing.wait()
                if not data:
                    break
                if flowing is self._asking:
                    self.asked += len(data)
                sink.write(data)
                await sink.drain()
            with suppress(OSError):
                sink.write_eof()

        async with asyncio.TaskGroup() as group:
            group.create_task(take())
            group.create_task(give())


def _hold(port: int) -> socket.socket:
    """A socket that keeps a port from whoever is given one, while nobody listens there."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        held.bind((_LOOPBACK, port))
    except OSError:
        held.close()
        raise
    return held


def _reset(end: asyncio.StreamWriter) -> None:
    """Ends a connection with a reset instead of a goodbye."""
    if not end.is_closing():
        own = end.get_extra_info("socket")
        own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        end.transport.abort()
