"""Transactions that others hear of, and the wake-up call of the relay."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncSession

from recmesh_kit.database import Database


class Outbox:
    """Opens the transactions that change something.

    Args:
        database: Where.

    Attributes:
        wake: Set when there may be something to send.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.wake = asyncio.Event()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """A transaction whose events leave as soon as it is committed, and never if it is not."""
        async with self._database.transaction() as session:
            yield session
        self.wake.set()
