"""What the read model lacks, told once more to those who keep it, as the catalog service tells it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TypeVar

from google.protobuf.message import Message

from recmesh.catalog.v1.interaction_pb2 import Interaction
from recmesh.events.v1.catalog_events_pb2 import InteractionsWritten, ItemsChanged
from recmesh.events.v1.catalog_events_pb2 import ItemChange as ItemChangeMessage
from recmesh_kit.broker import Broker
from recmesh_kit.errors import Unavailable
from recmesh_kit.layout import REPAIRS
from recmesh_kit.publisher import Outgoing
from recmesh_recommender.verify.findings import Deed, ItemChange

VERSION = 1
"""The version of the messages' meaning."""
MOST_IN_ONE = 500
"""How many items or interactions one message tells of."""

T = TypeVar("T")


class Repairs:
    """Publishes to the exchange `recommender.repairs`: on disk, and confirmed.

    Args:
        broker: Where that is.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def check(self) -> None:
        """Finds out early that nothing can be told.

        Raises:
            Unavailable: The broker is away.
        """
        if not self._broker.connected:
            raise Unavailable(
                "The broker is away, so that nothing can be repaired: try again later, or compare only.",
                metadata={"dependency": "broker"},
            )

    async def items(self, catalog: str, changes: Collection[ItemChange]) -> None:
        """Tells of changed items.

        Raises:
            Unavailable: The broker is away, or has no room.
        """
        messages = [
            ItemsChanged(
                version=VERSION,
                catalog=catalog,
                changes=[
                    ItemChangeMessage(item=c.item, revision=c.revision, deleted=c.deleted)
                    for c in some
                ],
            )
            for some in _groups(list(changes))
        ]
        await self._publish(f"item.{catalog}", messages)

    async def interactions(self, catalog: str, deeds: Sequence[Deed]) -> None:
        """Tells of interactions.

        Raises:
            Unavailable: The broker is away, or has no room.
        """
        messages = [
            InteractionsWritten(
                version=VERSION,
                catalog=catalog,
                interactions=[Interaction.FromString(deed.body) for deed in some],
            )
            for some in _groups(deeds)
        ]
        await self._publish(f"interaction.{catalog}", messages)

    async def _publish(self, routing_key: str, messages: Sequence[Message]) -> None:
        answers = await self._broker.publish_all(
            [
                Outgoing(
                    REPAIRS.name,
                    routing_key,
                    message.SerializeToString(),
                    headers={"recmesh-version": VERSION},
                    # With no queue behind it, it would be told to nobody.
                    mandatory=True,
                )
                for message in messages
            ]
        )
        for answer in answers:
            if answer is not None:
                raise answer


def _groups(told: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(told), MOST_IN_ONE):
        yield told[start : start + MOST_IN_ONE]
