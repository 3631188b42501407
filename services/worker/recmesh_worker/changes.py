"""What messages of the exchange `catalog.events` tell, brought together: the newest change of each item, what people
did, each like once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from datetime import UTC, datetime

from recmesh.events.v1 import catalog_events_pb2 as events
from recmesh_jobs import happenings
from recmesh_jobs.history_repository import Happened
from recmesh_jobs.popularity_repository import Like

VERSION = 1


class NewerVersion(Exception):
    """The message was written by a newer version: leave it to a newer reader."""


class Changes(ABC):
    """Changes by catalog.

    Attributes:
        deleted: Catalogs that were deleted, at some time.
    """

    def __init__(self) -> None:
        self.deleted: set[str] = set()

    def add(self, routing_key: str, body: bytes) -> None:
        """Takes a message in. One of a kind that means nothing here is passed over.

        Raises:
            NewerVersion: It is of a newer version.
            ValueError, DecodeError, LookupError: It is no such message.
        """
        kind = routing_key.partition(".")[0]
        if kind != "catalog":
            self._add(kind, body)
            return
        message = events.CatalogChanged.FromString(body)
        _check(message.version)
        if message.deleted:
            self.deleted.add(message.catalog)

    @abstractmethod
    def _add(self, kind: str, body: bytes) -> None:
        """Takes a message in that tells of no catalog."""


class ItemChanges(Changes):
    """Changes of items.

    Attributes:
        items: The newest change of each item, by catalog.
    """

    def __init__(self) -> None:
        super().__init__()
        self.items: defaultdict[str, dict[str, events.ItemChange]] = defaultdict(dict)

    def _add(self, kind: str, body: bytes) -> None:
        if kind != "item":
            return
        message = events.ItemsChanged.FromString(body)
        _check(message.version)
        known = self.items[message.catalog]
        for change in message.changes:
            if change.item not in known or known[change.item].revision < change.revision:
                known[change.item] = change


class Happenings(Changes):
    """What people did.

    Attributes:
        happened: All of it, by catalog.
        likes: Who likes which item, and when that was written last, by catalog.
    """

    def __init__(self) -> None:
        super().__init__()
        self.happened: defaultdict[str, list[Happened]] = defaultdict(list)
        self.likes: defaultdict[str, dict[Like, datetime]] = defaultdict(dict)

    def _add(self, kind: str, body: bytes) -> None:
        if kind != "interaction":
            return
        message = events.InteractionsWritten.FromString(body)
        _check(message.version)
        happened = [happenings.happened(one) for one in message.interactions if one.item]
        self.happened[message.catalog] += happened
        likes = self.likes[message.catalog]
        for one in happened:
            if one.event.type in happenings.LIKES:
                like = (one.event.item, one.person)
                likes[like] = max(one.write_time, likes.get(like, _LONG_AGO))


_LONG_AGO = datetime.min.replace(tzinfo=UTC)


def _check(version: int) -> None:
    if version > VERSION:
        raise NewerVersion(f"version {version}, known up to {VERSION}")
