"""What is written for messages that go out, without a server."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import cast

import aiormq.abc
import pytest

from libs.kit.tests.nowhere import Nowhere
from recmesh_kit.errors import Unavailable
from recmesh_kit.publisher import Outgoing, Publisher
from recmesh_kit.wire import Wire, WiredConnection

LONG_SECONDS = 60.0
MESSAGE = Outgoing("exchange", "key", b"body")


class Ends:
    """A publisher that nobody confirms to, and what it writes."""

    def __init__(self) -> None:
        self.wire = Wire()
        self.transport = Nowhere()
        self.wire.attach(self.transport)
        loop = asyncio.get_running_loop()
        channel = SimpleNamespace(
            number=7,
            closing=loop.create_future(),
            create_future=loop.create_future,
            connection=SimpleNamespace(connection_tune=SimpleNamespace(frame_max=0)),
        )
        self.channel = cast("aiormq.abc.AbstractChannel", channel)
        connection = cast("WiredConnection", SimpleNamespace(wire=self.wire))
        self.publisher = Publisher(connection, self.channel, confirms=False)


@pytest.fixture
async def ends() -> AsyncIterator[Ends]:
    made = Ends()
    yield made
    made.transport.close()


async def test_nothing_is_written_while_the_server_is_slow(ends: Ends) -> None:
    ends.wire.pause_writing()
    [given_up] = await ends.publisher.publish([MESSAGE], 0.01)
    assert (type(given_up), ends.transport.written) == (Unavailable, b"")
    later = asyncio.create_task(ends.publisher.publish([MESSAGE], LONG_SECONDS))
    await asyncio.sleep(0)
    ends.wire.resume_writing()
    assert await later == [None]
    assert ends.transport.written


async def test_nothing_is_written_on_a_channel_that_went_meanwhile(ends: Ends) -> None:
    ends.wire.pause_writing()
    later = asyncio.create_task(ends.publisher.publish([MESSAGE], LONG_SECONDS))
    await asyncio.sleep(0)
    ends.wire.leave(ends.channel)
    ends.wire.resume_writing()
    [error] = await later
    assert (type(error), ends.transport.written) == (Unavailable, b"")
