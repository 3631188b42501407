"""How long the oldest event waits to be told: more than seconds means that the relay or the broker is stuck."""

from __future__ import annotations

from recmesh_catalog.outbox.repository import OutboxRepository
from recmesh_kit.database import Database
from recmesh_kit.telemetry.instruments import Instruments

LOOK_SECONDS = 5.0


class Age:
    """Measures the outbox.

    Args:
        database: Where it is.
        instruments: Makes the metric.
    """

    def __init__(self, database: Database, instruments: Instruments) -> None:
        self._database = database
        self._oldest = instruments.gauge(
            "recmesh_outbox_oldest_seconds", "Age of the oldest event that waits; 0 when none does."
        ).of()

    async def look(self) -> None:
        """Looks once.

        Raises:
            Unavailable: The database is away.
        """
        async with self._database.transaction() as session:
            self._oldest.set(await OutboxRepository(session).oldest_seconds())
