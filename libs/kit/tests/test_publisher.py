"""What is written for messages that go out, without a server."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import cast

import aiormq.abc
import pytest
from pamqp import commands, frame

from libs.kit.tests.nowhere import Nowhere
from recmesh_kit import publisher as publisher_module
from recmesh_kit.errors import Unavailable
from recmesh_kit.publisher import Outgoing, Publisher, Refused
from recmesh_kit.wire import Wire, WiredConnection

LONG_SECONDS = 60.0
MESSAGE = Outgoing("exchange", "key", b"body")


class Ends:
    """A publisher that nobody confirms to, and what it writes."""

    def __init__(self, *, confirms: bool = False) -> None:
        self.closed = False
        self.wire = Wire()
        self.transport = Nowhere()
        self.wire.attach(self.transport)
        loop = asyncio.get_running_loop()
        channel = SimpleNamespace(
            number=7,
            closing=loop.create_future(),
            create_future=loop.create_future,
            loop=loop,
            close=self._close,
            connection=SimpleNamespace(connection_tune=SimpleNamespace(frame_max=0)),
        )
        self.channel = cast("aiormq.abc.AbstractChannel", channel)
        connection = cast("WiredConnection", SimpleNamespace(wire=self.wire))
        self.publisher = Publisher(connection, self.channel, confirms=confirms)

    async def _close(self) -> None:
        self.closed = True

    def confirm(self, tag: int, *, accepted: bool = True) -> None:
        kind = commands.Basic.Ack if accepted else commands.Basic.Nack
        self.wire.data_received(frame.marshal(kind(tag), 7))


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


async def test_a_channel_that_retires_waits_for_what_is_in_flight() -> None:
    ends = Ends(confirms=True)
    first, second = (
        asyncio.create_task(ends.publisher.publish([MESSAGE], LONG_SECONDS)) for _ in range(2)
    )
    await asyncio.sleep(0)
    retiring = asyncio.create_task(ends.publisher.retire())
    for tag, task in ((1, first), (2, second)):
        assert not ends.closed
        assert not ends.publisher.closed
        ends.confirm(tag)
        assert await task == [None]
    await retiring
    assert ends.closed
    assert ends.publisher.closed
    ends.transport.close()


async def test_a_channel_wears_by_a_refusal_but_not_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ends = Ends(confirms=True)
    monkeypatch.setattr(publisher_module, "_RENEWAL_SECONDS", 0.0)
    assert not ends.publisher.worn
    publishing = asyncio.create_task(ends.publisher.publish([MESSAGE], LONG_SECONDS))
    await asyncio.sleep(0)
    ends.confirm(1, accepted=False)
    assert [type(outcome) for outcome in await publishing] == [Refused]
    assert ends.publisher.worn
    monkeypatch.setattr(publisher_module, "_RENEWAL_SECONDS", 1000.0)
    assert not ends.publisher.worn
    ends.transport.close()
