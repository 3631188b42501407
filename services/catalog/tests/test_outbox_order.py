"""Every change is told, whatever commits, fails, dies or is refused in between. In which order does not matter."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import pytest
from aio_pika.abc import AbstractQueue

from recmesh.events.v1.catalog_events_pb2 import ItemsChanged
from recmesh_catalog.catalogs.access import lock
from recmesh_catalog.outbox.relay import BATCH, Relay
from recmesh_catalog.outbox.repository import OutboxRepository
from recmesh_kit.broker import Broker
from recmesh_kit.errors import Unavailable
from recmesh_kit.layout import CATALOG_EVENTS, INDEX, topology_of
from recmesh_kit.publisher import Outgoing
from services.catalog.tests.conftest import Mesh
from services.catalog.tests.test_relay import broker, inbox, told, waiting

__all__ = ["broker", "inbox"]


class Tampered(Broker):
    """A broker as a relay sees it, with something between the two."""

    def __init__(self, broker: Broker) -> None:
        self._to = broker

    @property
    def connected(self) -> bool:
        return self._to.connected


class Dying(Tampered):
    """The relay's process dies when the broker has the messages, and before it could note that."""

    async def publish_all(
        self, messages: Sequence[Outgoing], *, confirm: bool = True
    ) -> list[Unavailable | None]:
        assert await self._to.publish_all(messages) == [None] * len(messages)
        raise asyncio.CancelledError


class Hanging(Tampered):
    """The broker does not answer; `asked` is set once it should."""

    def __init__(self, broker: Broker) -> None:
        super().__init__(broker)
        self.asked = asyncio.Event()

    async def publish_all(
        self, messages: Sequence[Outgoing], *, confirm: bool = True
    ) -> list[Unavailable | None]:
        self.asked.set()
        await asyncio.Event().wait()
        return []


class Full(Tampered):
    """The queue of items has no room."""

    async def publish_all(
        self, messages: Sequence[Outgoing], *, confirm: bool = True
    ) -> list[Unavailable | None]:
        return [
            Unavailable("no room") if message.routing_key.startswith("item.") else None
            for message in messages
        ]


async def write(mesh: Mesh, *keys: str) -> None:
    """Puts messages into the outbox."""
    await mesh.sql(
        "INSERT INTO outbox (routing_key, body) SELECT key, ''"
        " FROM unnest(CAST(:keys AS text[])) WITH ORDINALITY AS v(key, n) ORDER BY n",
        keys=list(keys),
    )


async def until_someone_waits(mesh: Mesh) -> None:
    """Until a statement waits for a lock that another transaction has."""
    async with asyncio.timeout(60):
        while not await mesh.sql(  # noqa: ASYNC110 - nothing tells
            "SELECT 1 FROM pg_stat_activity"
            " WHERE wait_event_type = 'Lock' AND datname = current_database()"
        ):
            await asyncio.sleep(0.01)


async def test_an_earlier_change_that_commits_later_is_told(
    mesh: Mesh, broker: Broker, inbox: AbstractQueue
) -> None:
    relay = Relay(mesh.database, broker)
    async with mesh.database.transaction() as early:
        await OutboxRepository(early).add("item.early", b"", None)
        await write(mesh, "item.late")
        await relay.send_waiting()
        assert await told(inbox, 1) == ["item.late"]
    await relay.send_waiting()
    assert await told(inbox, 1) == ["item.early"]
    assert await waiting(mesh) == []


async def test_numbers_that_were_rolled_back_hold_nothing_up(
    mesh: Mesh, broker: Broker, inbox: AbstractQueue
) -> None:
    await write(mesh, "item.a")
    with suppress(LookupError):
        async with mesh.database.transaction() as session:
            await OutboxRepository(session).add("item.never", b"", None)
            raise LookupError
    await write(mesh, "item.b")
    await Relay(mesh.database, broker).send_waiting()
    assert await told(inbox, 2) == ["item.a", "item.b"]


async def test_items_get_their_revisions_in_the_order_of_commits(mesh: Mesh, parent: str) -> None:
    catalog = parent.partition("/")[2]
    async with mesh.database.transaction() as session:
        await lock(session, catalog)
        second = asyncio.create_task(mesh.create(parent, "second"))
        await until_someone_waits(mesh)
        assert not second.done()
    assert (await second).revision == 1
    assert (await mesh.create(parent, "third")).revision == 2
    events = [event for event in await mesh.events(parent) if isinstance(event, ItemsChanged)]
    changes = [(change.item, change.revision) for event in events for change in event.changes]
    assert changes == [("second", 1), ("third", 2)]


async def test_what_a_dead_relay_has_sent_is_sent_again(
    mesh: Mesh, broker: Broker, inbox: AbstractQueue
) -> None:
    await write(mesh, "item.a")
    with pytest.raises(asyncio.CancelledError):
        await Relay(mesh.database, Dying(broker)).send_waiting()
    assert await waiting(mesh) == [("item.a",)]
    await Relay(mesh.database, broker).send_waiting()
    assert await told(inbox, 2) == ["item.a", "item.a"]
    assert await waiting(mesh) == []


async def test_a_relay_that_hangs_holds_only_what_it_has_in_hand(
    mesh: Mesh, broker: Broker, inbox: AbstractQueue
) -> None:
    await write(mesh, *["item.held"] * BATCH, "item.free")
    hanging = Hanging(broker)
    stuck = asyncio.create_task(Relay(mesh.database, hanging).send_waiting())
    await hanging.asked.wait()
    relay = Relay(mesh.database, broker)
    await relay.send_waiting()
    assert await told(inbox, 1) == ["item.free"]
    stuck.cancel()
    await asyncio.wait([stuck])
    await relay.send_waiting()
    assert await told(inbox, BATCH) == ["item.held"] * BATCH


async def test_a_full_queue_holds_up_its_own_kind_only(mesh: Mesh, broker: Broker) -> None:
    await mesh.sql("DELETE FROM outbox")
    items = ["item.a"] * (BATCH + 5)
    await write(mesh, *items, *["interaction.a"] * (BATCH + 5), "catalog.a")
    await Relay(mesh.database, Full(broker)).send_waiting()
    assert await waiting(mesh) == [(item,) for item in items]
    await Relay(mesh.database, broker).send_waiting()
    assert await waiting(mesh) == []


async def test_what_no_queue_takes_waits_until_one_does(
    mesh: Mesh, broker: Broker, inbox: AbstractQueue
) -> None:
    await write(mesh, "item.a", "interaction.a")
    index = await inbox.channel.get_queue(INDEX.name, ensure=False)
    relay = Relay(mesh.database, broker)
    try:
        for queue in (inbox, index):
            await queue.unbind(CATALOG_EVENTS.name, "item.#")
        await relay.send_waiting()
        assert await waiting(mesh) == [("item.a",)]
    finally:
        await broker.declare(topology_of("catalog"))
    await inbox.bind(CATALOG_EVENTS.name, "item.#")
    await relay.send_waiting()
    assert await waiting(mesh) == []
    assert await told(inbox, 1) == ["item.a"]
