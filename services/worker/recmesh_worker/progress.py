"""News of how far the index of each catalog is, for those who show it."""

from __future__ import annotations

import time
from dataclasses import dataclass

from recmesh.events.v1.job_events_pb2 import IndexAdvanced
from recmesh_jobs import messages
from recmesh_jobs.index_repository import IndexRepository
from recmesh_kit import layout
from recmesh_kit.broker import Broker
from recmesh_kit.database import Database
from recmesh_kit.errors import Unavailable

VERSION = 1
AGAIN_SECONDS = 60.0
"""How often everything is told again: a message may be lost."""


@dataclass(frozen=True, slots=True)
class _Told:
    sequence: int
    count: int
    at: float


class Progress:
    """Tells how far indexes are. Every worker does: who hears of it twice hears nothing new.

    Args:
        database: Where the read model is.
        broker: Where it is told.
        encoder: Id of the encoder whose index is meant.
        again_seconds: How often everything is told again.
    """

    def __init__(
        self,
        database: Database,
        broker: Broker,
        encoder: str,
        *,
        again_seconds: float = AGAIN_SECONDS,
    ) -> None:
        self._database = database
        self._broker = broker
        self._encoder = encoder
        self._again = again_seconds
        self._told: dict[str, _Told] = {}

    async def tell(self) -> None:
        """Tells of the indexes that have changed since they were last told of, and of those told of long ago. What
        cannot be told now is told next time.

        Raises:
            Unavailable: The database is away.
        """
        if not self._broker.connected:
            return
        async with self._database.transaction() as session:
            latest = await IndexRepository(session, self._encoder).all_last_seqs()
        now = time.monotonic()
        for catalog, sequence in latest.items():
            told = self._told.get(catalog)
            if told is None or told.sequence < sequence:
                async with self._database.transaction() as session:
                    counted = await IndexRepository(session, self._encoder).searchable(catalog)
                told = _Told(*counted, now)
            elif now - told.at < self._again:
                continue
            try:
                await self._publish(catalog, told)
            except Unavailable:
                return
            self._told[catalog] = _Told(told.sequence, told.count, now)

    async def _publish(self, catalog: str, told: _Told) -> None:
        message = IndexAdvanced(
            version=VERSION,
            catalog=catalog,
            sequence=told.sequence,
            searchable_item_count=told.count,
        )
        await self._broker.publish(
            layout.RECOMMENDER_EVENTS.name,
            layout.index_key(catalog),
            message.SerializeToString(),
            headers={messages.VERSION_HEADER: VERSION},
            persistent=False,
            confirm=False,
        )
