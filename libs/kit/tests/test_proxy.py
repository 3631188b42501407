import asyncio
import gc
import socket
import time
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from recmesh_kit.proxy import Proxy

SECONDS = 60


@pytest.fixture
async def echo() -> AsyncIterator[int]:
    """The port of a server that says what it is told."""

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(say, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


@pytest.fixture
async def client(proxy: Proxy) -> AsyncIterator["Client"]:
    async with Client(proxy.port) as client:
        yield client


@pytest.fixture
async def proxy(echo: int) -> AsyncIterator[Proxy]:
    async with Proxy("127.0.0.1", echo) as made, asyncio.timeout(SECONDS):
        yield made


class Client:
    """A connection for the time of the block."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> "Client":
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()

    def say(self, data: bytes) -> None:
        self._writer.write(data)

    async def hear(self, size: int) -> bytes:
        return await self._reader.readexactly(size)

    async def hang_up(self) -> bytes:
        self._writer.write_eof()
        return await self._reader.read()


async def test_what_is_said_arrives_to_the_last_byte(proxy: Proxy, client: Client) -> None:
    said = b"abc" * 1_000_000
    client.say(said)
    assert await client.hang_up() == said
    while proxy.connections:  # noqa: ASYNC110 - it has no event
        await asyncio.sleep(0.01)
    assert proxy.asked == len(said)


async def test_cut(proxy: Proxy, client: Client) -> None:
    client.say(b"1")
    await client.hear(1)
    await proxy.cut()
    with pytest.raises(ConnectionResetError):
        await client.hear(1)
    async with Client(proxy.port) as again:
        again.say(b"2")
        assert await again.hear(1) == b"2"


async def test_closed_it_refuses_and_open_it_is_where_it_was(proxy: Proxy) -> None:
    await proxy.close()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", proxy.port)
    await proxy.open()
    async with Client(proxy.port) as client:
        client.say(b"1")
        assert await client.hear(1) == b"1"


async def test_while_it_is_closed_nobody_is_given_its_port(echo: int) -> None:
    proxy = Proxy("127.0.0.1", echo)
    await proxy.open()
    await proxy.close()
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", proxy.port))
    # It lets go of it though it was no block.
    del proxy
    await asyncio.to_thread(gc.collect)


async def test_hung_it_accepts_and_says_nothing(proxy: Proxy, client: Client) -> None:
    client.say(b"1")
    await client.hear(1)
    proxy.hang()
    async with Client(proxy.port) as late:
        late.say(b"2")
        client.say(b"2")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await late.hear(1)
        assert proxy.asked == 1
        proxy.resume()
        assert await late.hear(1) == await client.hear(1) == b"2"


async def test_answers_alone_may_hang(proxy: Proxy, client: Client) -> None:
    proxy.hang(answers_only=True)
    client.say(b"1")
    while not proxy.asked:  # noqa: ASYNC110 - it has no event
        await asyncio.sleep(0.01)
    await proxy.cut()
    with pytest.raises(ConnectionResetError):
        await client.hear(1)


async def test_delayed_it_takes_longer_each_way(proxy: Proxy, client: Client) -> None:
    proxy.delay(0.1)
    began = time.monotonic()
    client.say(b"1")
    await client.hear(1)
    assert time.monotonic() - began >= 0.2


async def test_the_server_may_be_away() -> None:
    async with Proxy("127.0.0.1", 1) as proxy, Client(proxy.port) as client:
        with pytest.raises(ConnectionResetError):
            await client.hear(1)


def test_a_url_by_another_way() -> None:
    proxy = Proxy.to("amqp://ann:secret@broker.example:5672/mesh?heartbeat=5")
    assert proxy.url == "amqp://ann:secret@127.0.0.1:0/mesh?heartbeat=5"
