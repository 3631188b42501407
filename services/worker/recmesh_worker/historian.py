"""What people do into the read model: their histories, and the popularity that comes of them. It does not wait for the
encoder.
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

import structlog

from recmesh_jobs.history_repository import HistoryRepository
from recmesh_jobs.popularity_repository import PopularityRepository
from recmesh_kit.broker import Delivery
from recmesh_kit.database import Database
from recmesh_worker.applying import apply_batch
from recmesh_worker.changes import Happenings

log = structlog.get_logger()

CHUNK = 4_000
"""Events that are merged in one statement."""


class CatalogSource(Protocol):
    """Where catalogs are read."""

    async def create_time(self, catalog: str) -> datetime | None:
        """When this catalog was made; None when there is no such catalog.

        Raises:
            Unavailable: It does not answer.
        """
        ...


class Historian:
    """Handles batches of messages of the exchange `catalog.events`.

    Args:
        database: Where the read model is.
        source: Says whether a catalog is there again.
        encoder: Id of an encoder whose items are written there.
    """

    def __init__(self, database: Database, source: CatalogSource, encoder: str) -> None:
        self._database = database
        self._source = source
        self._encoder = encoder

    async def handle(self, deliveries: list[Delivery]) -> None:
        """One batch, acknowledged once it is in the read model."""
        await apply_batch(deliveries, Happenings(), self._apply)

    async def _apply(self, changes: Happenings) -> None:
        for catalog, happened in changes.happened.items():
            for start in range(0, len(happened), CHUNK):
                async with self._database.transaction() as session:
                    await HistoryRepository(session).add(catalog, happened[start : start + CHUNK])
        # In transactions of their own: they wait for who writes items, the histories for nobody.
        for catalog, likes in changes.likes.items():
            async with self._database.transaction() as session:
                await PopularityRepository(session, self._encoder).add(catalog, likes)
        # At last: what was told before the deletion goes with it, and what was written since is spared.
        for catalog in changes.deleted:
            await self._bury(catalog)

    async def _bury(self, catalog: str) -> None:
        """Forgets what happened in a catalog that is gone. One of the same name may be there again by now: what was
        written since it was made stays.
        """
        async with self._database.transaction() as session:
            histories = HistoryRepository(session)
            await histories.hold_alone(catalog)
            since = await self._source.create_time(catalog)
            await histories.bury(catalog, since)
            await PopularityRepository(session, self._encoder).bury(catalog, since)
        log.info("histories buried", catalog=catalog, since=since)
