"""Which frames tell the broker what became of deliveries."""

import asyncio
from collections.abc import Iterable
from types import SimpleNamespace
from typing import cast

import aiormq.abc
from pamqp import commands, frame
from pamqp.header import ContentHeader

from recmesh_kit import frames
from recmesh_kit.delivery import Delivery, Settling
from recmesh_kit.wire import Wire


class Channel:
    """A channel and its wire, as far as settling looks at them."""

    def __init__(self, deliveries: Iterable[int]) -> None:
        self.usable = True
        self.number = 7
        self.writes: list[bytes] = []
        self.settling = Settling(
            cast("Wire", SimpleNamespace(usable=lambda _: self.usable, write=self.writes.append)),
            cast("aiormq.abc.AbstractChannel", self),
        )
        self.deliveries = {tag: self._delivery(tag) for tag in deliveries}

    def _delivery(self, tag: int) -> Delivery:
        method = frame.marshal(commands.Basic.Deliver("c", tag, False, "", "q"), 7)[7:-1]
        header = frame.marshal(ContentHeader(0, 0, commands.Basic.Properties()), 7)
        return Delivery(self.settling, method, header[7:-1], b"")

    async def ack(self, *tags: int) -> None:
        for tag in tags:
            await self.deliveries[tag].ack()
        await asyncio.sleep(0)

    @property
    def told(self) -> list[bytes]:
        told, self.writes[:] = self.writes.copy(), []
        return told


async def test_what_is_done_from_the_first_on_is_acknowledged_by_one_frame() -> None:
    channel = Channel(range(1, 6))
    await channel.ack(2, 1, 3)
    assert channel.told == [frames.ack(7, 3, multiple=True)]
    await channel.ack(4)
    await channel.ack(5)
    assert channel.told == [frames.ack(7, 4, multiple=True), frames.ack(7, 5, multiple=True)]


async def test_one_that_is_in_hand_is_left_out() -> None:
    channel = Channel(range(1, 8))
    await channel.ack(1, 5, 4, 2)
    assert channel.told == [
        frames.ack(7, 2, multiple=True)
        + frames.ack(7, 4, multiple=False)
        + frames.ack(7, 5, multiple=False)
    ]
    await channel.ack(6, 3)
    assert channel.told == [frames.ack(7, 6, multiple=True)]
    await channel.ack(7)
    assert channel.told == [frames.ack(7, 7, multiple=True)]


async def test_one_that_went_back_is_not_acknowledged() -> None:
    channel = Channel(range(1, 5))
    await channel.deliveries[1].ack()
    await channel.deliveries[2].nack(requeue=True)
    await channel.deliveries[2].ack()
    await channel.ack(3)
    await channel.deliveries[4].nack(requeue=False)
    assert channel.told == [
        frames.ack(7, 1, multiple=True),
        frames.nack(7, 2, requeue=True),
        frames.ack(7, 3, multiple=True),
        frames.nack(7, 4, requeue=False),
    ]


async def test_a_channel_that_is_gone_is_told_nothing() -> None:
    channel = Channel(range(1, 4))
    channel.usable = False
    await channel.ack(1)
    await channel.deliveries[2].nack(requeue=True)
    assert channel.told == []
