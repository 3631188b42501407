"""How far the index is, as the workers tell it."""

from __future__ import annotations

from collections.abc import Iterable

import structlog
from google.protobuf.message import DecodeError

from recmesh.events.v1.job_events_pb2 import IndexAdvanced
from recmesh_catalog.catalogs.repository import CatalogRepository
from recmesh_kit.broker import Delivery
from recmesh_kit.database import Database

log = structlog.get_logger()

VERSION = 1
"""The newest version of the messages that is understood."""


class Progress:
    """Notes what the workers tell. They tell everything again now and then, so that a message that is not understood,
    or comes while there is no such catalog, is no loss.

    Args:
        database: Where the catalogs are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def handle(self, deliveries: list[Delivery]) -> None:
        """Notes the newest of each catalog.

        Raises:
            Unavailable: The database is away.
        """
        # In one order, each in a transaction of its own: nobody waits for somebody who waits for them.
        for catalog, told in sorted(_newest(deliveries).items()):
            async with self._database.transaction() as session:
                await CatalogRepository(session).note_index(
                    catalog, told.sequence, told.searchable_item_count
                )
        for delivery in deliveries:
            await delivery.ack()


def _newest(deliveries: Iterable[Delivery]) -> dict[str, IndexAdvanced]:
    newest: dict[str, IndexAdvanced] = {}
    for delivery in deliveries:
        try:
            told = IndexAdvanced.FromString(delivery.body)
        except DecodeError:
            log.warning("index message that is none", routing_key=delivery.routing_key)
            continue
        if told.version > VERSION:
            log.warning("index message of a newer version", version=told.version, known=VERSION)
            continue
        known = newest.get(told.catalog)
        if known is None or known.sequence < told.sequence:
            newest[told.catalog] = told
    return newest
