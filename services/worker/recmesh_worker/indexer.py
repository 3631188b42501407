"""Catalog changes into the read model: items fetched, embedded and upserted. Each may come again: a newer revision is
never overwritten.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from recmesh.catalog.v1.item_pb2 import Item
from recmesh.events.v1 import catalog_events_pb2 as events
from recmesh_jobs.index_repository import IndexRepository
from recmesh_jobs.items import IndexedItem
from recmesh_kit.broker import Delivery
from recmesh_kit.database import Database
from recmesh_kit.passing import is_passing
from recmesh_worker import converters
from recmesh_worker.applying import apply_batch
from recmesh_worker.changes import ItemChanges
from recmesh_worker.encoder import EncoderThread

log = structlog.get_logger()

CHUNK = 64
"""Items that are fetched, embedded and written together: what is done is seen soon, and a crash repeats little."""


class ItemSource(Protocol):
    """Where items are read."""

    async def items(self, catalog: str, ids: Sequence[str]) -> Sequence[Item] | None:
        """Those of these items that are there; None when there is no such catalog.

        Raises:
            Unavailable: It does not answer.
        """
        ...


class Indexer:
    """Handles batches of messages of the exchange `catalog.events`."""

    def __init__(self, database: Database, source: ItemSource, encoder: EncoderThread) -> None:
        self._database = database
        self._source = source
        self._encoder = encoder

    async def handle(self, deliveries: list[Delivery]) -> None:
        """One batch, acknowledged once it is in the read model."""
        # Not within what is tried again: without an encoder this worker ends.
        await self._encoder.wait_ready()
        await apply_batch(deliveries, ItemChanges, self._apply)

    async def _apply(self, changes: ItemChanges) -> None:
        for catalog in changes.deleted:
            await self._bury(catalog)
        for catalog, items in changes.items.items():
            await self._index(catalog, items)

    def _repository(self, session: AsyncSession) -> IndexRepository:
        return IndexRepository(session, self._encoder.encoder.id)

    async def _bury(self, catalog: str) -> None:
        """Buries what is gone. A catalog of the same name may be there again by now, and its items indexed."""
        async with self._database.transaction() as session:
            repository = self._repository(session)
            await repository.hold_alone(catalog)
            living = await repository.living(catalog)
            kept: list[str] = []
            for start in range(0, len(living), CHUNK):
                found = await self._source.items(catalog, living[start : start + CHUNK])
                if found is None:
                    break
                kept += [converters.item_id(item) for item in found]
            await repository.bury(catalog, kept)
        log.info("catalog buried", catalog=catalog, items=len(living) - len(kept))

    async def _index(self, catalog: str, changes: Mapping[str, events.ItemChange]) -> None:
        async with self._database.transaction() as session:
            known = await self._repository(session).revisions(catalog, list(changes))
        news = [c for c in changes.values() if known.get(c.item, 0) < c.revision]
        gone = [converters.tombstone(catalog, c.item, c.revision) for c in news if c.deleted]
        async with self._database.transaction() as session:
            await self._repository(session).upsert(catalog, gone)
        kept = [change.item for change in news if not change.deleted]
        for start in range(0, len(kept), CHUNK):
            await self._index_chunk(catalog, kept[start : start + CHUNK])
        if news:
            log.info("indexed", catalog=catalog, items=len(news))

    async def _index_chunk(self, catalog: str, ids: Sequence[str]) -> None:
        """Fetches, embeds and writes items. One that breaks something is left out and logged: it would hold up all
        others for ever.
        """
        try:
            async with self._database.transaction() as session:
                repository = self._repository(session)
                await repository.hold(catalog)
                await repository.upsert(catalog, await self._rows(catalog, ids))
        except Exception as error:
            if is_passing(error):
                raise
            log.exception(
                "items not indexed: mend this, then `recmesh admin verify` brings them in",
                catalog=catalog,
                items=ids,
            )
            if len(ids) > 1:
                for one in ids:
                    await self._index_chunk(catalog, [one])

    async def _rows(self, catalog: str, ids: Sequence[str]) -> list[IndexedItem]:
        # One that is deleted by now is left out: the message that says so is on its way.
        items = await self._source.items(catalog, ids) or []
        texts = [converters.text_of(item) for item in items]
        vectors = await self._encoder.encode(texts, bulk=True)
        return [converters.indexed_item(*pair) for pair in zip(items, vectors, strict=True)]
