"""What messages of the exchange `catalog.events` tell, brought together: the newest change of each item, each like
once."""

from __future__ import annotations

from collections import defaultdict

from recmesh.catalog.v1.interaction_pb2 import Interaction
from recmesh.events.v1 import catalog_events_pb2 as events
from recmesh_jobs.popularity_repository import Like
from recmesh_kit import names

VERSION = 1
LIKES = frozenset(
    {
        Interaction.TYPE_VIEW,
        Interaction.TYPE_LIKE,
        Interaction.TYPE_BOOKMARK,
        Interaction.TYPE_PURCHASE,
    }
)
"""What makes an item popular. A click says too little, a rating or a dislike may say that it is bad."""


class NewerVersion(Exception):
    """The message was written by a newer version: leave it to a newer reader."""


class Changes:
    """Changes by catalog.

    Attributes:
        deleted: Catalogs that were deleted, at some time.
        items: The newest change of each item.
        likes: Who likes which item.
    """

    def __init__(self) -> None:
        self.deleted: set[str] = set()
        self.items: defaultdict[str, dict[str, events.ItemChange]] = defaultdict(dict)
        self.likes: defaultdict[str, set[Like]] = defaultdict(set)

    def add(self, routing_key: str, body: bytes) -> None:
        """Takes a message in. One of a kind that means nothing here is passed over.

        Raises:
            NewerVersion: It is of a newer version.
            DecodeError: The bytes are no such message.
        """
        match routing_key.partition(".")[0]:
            case "catalog":
                self._catalog(events.CatalogChanged.FromString(body))
            case "item":
                self._items(events.ItemsChanged.FromString(body))
            case "interaction":
                self._interactions(events.InteractionsWritten.FromString(body))

    def _catalog(self, message: events.CatalogChanged) -> None:
        _check(message.version)
        if message.deleted:
            self.deleted.add(message.catalog)

    def _items(self, message: events.ItemsChanged) -> None:
        _check(message.version)
        known = self.items[message.catalog]
        for change in message.changes:
            if change.item not in known or known[change.item].revision < change.revision:
                known[change.item] = change

    def _interactions(self, message: events.InteractionsWritten) -> None:
        _check(message.version)
        self.likes[message.catalog] |= {
            (names.ids(one.item)[-1], one.user)
            for one in message.interactions
            if one.type in LIKES and one.item
        }


def _check(version: int) -> None:
    if version > VERSION:
        raise NewerVersion(f"version {version}, known up to {VERSION}")
