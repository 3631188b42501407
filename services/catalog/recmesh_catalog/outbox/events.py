"""What others are told of changes. Written in the transaction of the change, sent by the relay after its commit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from google.protobuf.message import Message
from sqlalchemy.ext.asyncio import AsyncSession

from recmesh.events.v1 import catalog_events_pb2 as messages
from recmesh_catalog.interactions.converters import to_message
from recmesh_catalog.interactions.interaction import Interaction
from recmesh_catalog.items.item import ItemChange
from recmesh_catalog.outbox.repository import OutboxRepository
from recmesh_kit.context import current_call

T = TypeVar("T")

VERSION = 1
"""The version of the messages' meaning."""
MOST_IN_ONE = 500
"""How many items or interactions one message tells of."""


class Events:
    """The events of one transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self._outbox = OutboxRepository(session)

    async def catalog_changed(self, catalog: str, *, deleted: bool = False) -> None:
        """A catalog was made, changed or deleted."""
        message = messages.CatalogChanged(version=VERSION, catalog=catalog, deleted=deleted)
        await self._add(f"catalog.{catalog}", message)

    async def items_changed(self, catalog: str, changes: Sequence[ItemChange]) -> None:
        """Items were made, changed or deleted."""
        for some in _groups(changes):
            message = messages.ItemsChanged(
                version=VERSION,
                catalog=catalog,
                changes=[
                    messages.ItemChange(item=c.id, revision=c.revision, deleted=c.deleted)
                    for c in some
                ],
            )
            await self._add(f"item.{catalog}", message)

    async def interactions_written(self, catalog: str, written: Sequence[Interaction]) -> None:
        """Interactions were written."""
        for some in _groups(written):
            message = messages.InteractionsWritten(
                version=VERSION,
                catalog=catalog,
                interactions=[to_message(catalog, interaction) for interaction in some],
            )
            await self._add(f"interaction.{catalog}", message)

    async def _add(self, routing_key: str, message: Message) -> None:
        call = current_call()
        request_id = call.request_id if call else None
        await self._outbox.add(routing_key, message.SerializeToString(), request_id)


def _groups(all_of_them: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(all_of_them), MOST_IN_ONE):
        yield all_of_them[start : start + MOST_IN_ONE]
