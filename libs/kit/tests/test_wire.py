"""Frames on their way between the server, a tap and aiormq, without any of them."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import cast

import aiormq.abc
import pytest
from pamqp import commands, frame
from pamqp.base import Frame
from pamqp.body import ContentBody
from pamqp.header import ContentHeader

from libs.kit.tests.nowhere import Nowhere
from recmesh_kit import frames
from recmesh_kit.wire import Wire

TAPPED, OTHER = 7, 8


class Ends:
    """A wire, with all that comes out of it."""

    def __init__(self) -> None:
        self.wire = Wire()
        self.transport = Nowhere()
        self.reader, _ = self.wire.attach(self.transport)
        self.closing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.channel = cast(
            "aiormq.abc.AbstractChannel", SimpleNamespace(number=TAPPED, closing=self.closing)
        )
        self.arrived: list[tuple[int, bytes]] = []
        self.confirmed: list[tuple[int, bool, bool]] = []

    def tap(self) -> None:
        self.wire.tap(
            self.channel,
            lambda name, _, __, body: self.arrived.append((name, body)),
            lambda *told: self.confirmed.append(told),
        )

    async def passed_on(self) -> bytes:
        """What aiormq can read; without the signs of life."""
        self.reader.feed_eof()
        return (await self.reader.read()).replace(frames.HEARTBEAT_FRAME, b"")


@pytest.fixture
async def ends() -> AsyncIterator[Ends]:
    made = Ends()
    yield made
    made.transport.close()


def bytes_of(channel: int, *parts: Frame | ContentHeader | ContentBody) -> bytes:
    return b"".join(frame.marshal(part, channel) for part in parts)


def delivery(*bodies: bytes) -> tuple[Frame | ContentHeader | ContentBody, ...]:
    return (
        commands.Basic.Deliver("c", 1, False, "", "q"),
        ContentHeader(0, sum(map(len, bodies)), commands.Basic.Properties()),
        *map(ContentBody, bodies),
    )


@pytest.mark.parametrize("step", [1, 3, 10, 10_000])
async def test_a_stream_is_parted_however_it_is_cut(ends: Ends, step: int) -> None:
    ends.tap()
    other = bytes_of(OTHER, *delivery(b"z"), commands.Basic.Ack(1, multiple=False))
    rpc = bytes_of(TAPPED, commands.Basic.CancelOk("c"))
    stream = (
        bytes_of(TAPPED, *delivery(b"abc", b"de"))
        + other
        + bytes_of(TAPPED, *delivery())
        + rpc
        + bytes_of(TAPPED, commands.Basic.Ack(4, multiple=True), commands.Basic.Nack(5, False))
    )
    for at in range(0, len(stream), step):
        ends.wire.data_received(stream[at : at + step])
    assert ends.arrived == [(frames.DELIVER, b"abcde"), (frames.DELIVER, b"")]
    assert ends.confirmed == [(4, True, True), (5, False, False)]
    assert await ends.passed_on() == other + rpc


async def test_aiormq_is_shown_that_the_connection_lives(ends: Ends) -> None:
    ends.tap()
    ends.wire.data_received(bytes_of(TAPPED, *delivery(b"x")))
    assert await ends.reader.readexactly(8) == frames.HEARTBEAT_FRAME


async def test_a_channel_that_closes_is_tapped_no_more(ends: Ends) -> None:
    ends.tap()
    ends.closing.set_result(None)
    await asyncio.sleep(0)
    stream = bytes_of(TAPPED, *delivery(b"x"))
    ends.wire.data_received(stream)
    assert (await ends.passed_on(), ends.arrived) == (stream, [])


async def test_nothing_more_is_written_on_a_channel_that_the_server_closes(ends: Ends) -> None:
    assert not ends.wire.usable(ends.channel)
    ends.tap()
    assert ends.wire.usable(ends.channel)
    stream = bytes_of(TAPPED, commands.Channel.Close(404, "NOT_FOUND", 60, 40))
    ends.wire.data_received(stream)
    assert not ends.wire.usable(ends.channel)
    assert await ends.passed_on() == stream


async def test_nothing_more_is_written_on_a_channel_that_is_left(ends: Ends) -> None:
    ends.tap()
    other = cast("aiormq.abc.AbstractChannel", SimpleNamespace(number=TAPPED))
    ends.wire.leave(other)
    assert ends.wire.usable(ends.channel)
    ends.wire.leave(ends.channel)
    assert not ends.wire.usable(ends.channel)
    # What the server sends until it knows is no business of aiormq's.
    ends.wire.data_received(bytes_of(TAPPED, *delivery(b"x")))
    assert (await ends.passed_on(), ends.arrived) == (b"", [(frames.DELIVER, b"x")])


async def test_a_server_of_another_protocol_is_aiormqs_to_refuse(ends: Ends) -> None:
    ends.wire.data_received(b"AMQP\x00")
    ends.wire.data_received(b"\x01\x00\x00")
    assert await ends.passed_on() == b"AMQP\x00\x01\x00\x00"
