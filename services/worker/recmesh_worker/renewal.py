"""Leases of a batch that takes long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import structlog

from recmesh_jobs.job import Claim
from recmesh_jobs.leases import LeaseRepository
from recmesh_kit.database import Database
from recmesh_kit.tasks import end_if_cancelled

log = structlog.get_logger()

RENEWALS_PER_LEASE = 3
"""So that one may fail, and the next one still comes in time."""
MOST_RENEWALS = 30
"""After which a batch is left to others: what it is at will not end."""


class Renewal:
    """Renews leases, a third of their time before and after each other, from its making to `aclose`. A batch that ends
    before the first of them costs a timer.

    Args:
        database: Where the jobs are.
        worker: Who holds the leases.
        lease_seconds: How long they last.
        claims: The leases. Those that have ended meanwhile are passed over.
        claimed_at: When they were asked for, by `time.monotonic`.

    Attributes:
        until: Up to when they last for sure, by `time.monotonic`.
    """

    def __init__(
        self,
        database: Database,
        worker: str,
        lease_seconds: float,
        claims: Sequence[Claim],
        claimed_at: float,
    ) -> None:
        self.until = claimed_at + lease_seconds
        self._database = database
        self._worker = worker
        self._lease = lease_seconds
        self._claims = claims
        self._every = lease_seconds / RENEWALS_PER_LEASE
        self._timer = asyncio.get_running_loop().call_later(self._every, self._begin)
        self._task: asyncio.Task[None] | None = None

    async def aclose(self) -> None:
        """Renews no more."""
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def _begin(self) -> None:
        self._task = asyncio.create_task(self._keep(), name="renew leases")

    async def _keep(self) -> None:
        for _ in range(MOST_RENEWALS):
            asked_at = time.monotonic()
            try:
                async with self._database.driver() as connection:
                    leases = LeaseRepository(connection, self._worker)
                    kept = await leases.renew(self._claims, self._lease)
            except (Exception, asyncio.CancelledError) as error:
                end_if_cancelled()
                # The next one may do better; else somebody else takes the jobs.
                log.warning("leases not renewed", jobs=len(self._claims), error=repr(error))
            else:
                self.until = asked_at + self._lease
                log.info("leases renewed", jobs=kept)
                end_if_cancelled()
            await asyncio.sleep(self._every)
        log.warning("leases are renewed no more", jobs=len(self._claims))
