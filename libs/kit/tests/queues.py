"""What tests with a broker share."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import aio_pika
import pytest

from recmesh_kit.broker import Broker, Delivery
from recmesh_kit.topology import Queue

TIMEOUT = 60.0
HASTY_SECONDS = 0.5


class Inbox:
    """A handler that keeps what it gets, and may be held up before it settles it."""

    def __init__(self) -> None:
        self.batches: list[list[Delivery]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, batch: list[Delivery]) -> None:
        self.batches.append(batch)
        await self.gate.wait()
        for delivery in batch:
            await delivery.ack()

    @property
    def bodies(self) -> list[bytes]:
        return [delivery.body for batch in self.batches for delivery in batch]


async def until(condition: Callable[[], object], seconds: float = TIMEOUT) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.01)


async def messages(admin: aio_pika.abc.AbstractChannel, queue: Queue) -> int:
    """How many lie in the queue and are not given out."""
    count = (await admin.get_queue(queue.name)).declaration_result.message_count
    assert count is not None
    return count


async def send(broker: Broker, queue: Queue, *bodies: bytes) -> None:
    await asyncio.gather(*(broker.publish("", queue.name, body) for body in bodies))


async def wait_for_messages(
    admin: aio_pika.abc.AbstractChannel, queue: Queue, expected: int
) -> None:
    async with asyncio.timeout(TIMEOUT):
        while await messages(admin, queue) != expected:  # noqa: ASYNC110 - the server has no event
            await asyncio.sleep(0.01)


@contextmanager
def hasty(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Gives little time to what is asked within the block, and to it alone: a slow machine needs some for the rest."""
    with monkeypatch.context() as patched:
        patched.setattr(broker, "_timeout", HASTY_SECONDS)
        patched.setattr(broker._link, "_timeout", HASTY_SECONDS)
        yield
