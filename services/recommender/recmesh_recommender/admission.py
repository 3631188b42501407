"""Admission: how many unfinished jobs the deployment takes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from recmesh_jobs.repository import JobRepository
from recmesh_kit.database import Database
from recmesh_recommender.errors import TooManyJobs

REFRESH_SECONDS = 0.25
RETRY_SECONDS = 1.0


class Admission:
    """Decides before anything is written. The count is at most a moment old: what this process has let in since then is
    added to it, so that a burst cannot pass the limit by more than what its fellow replicas let in meanwhile.

    Args:
        database: Where the jobs are.
        limit: Unfinished jobs beyond which no more are taken.
    """

    def __init__(self, database: Database, limit: int) -> None:
        self._database = database
        self._limit = limit
        self._counted = 0
        self._storing = 0
        self._stored = 0

    async def refresh(self) -> None:
        """Counts anew."""
        before = self._stored
        async with self._database.transaction() as session:
            self._counted = await JobRepository(session).count_unfinished(self._limit + 1)
        # What was stored while we counted may or may not be in the count: it counts once more.
        self._stored -= before

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Lets a job in, which is stored within the block.

        Raises:
            TooManyJobs: With RetryInfo.
        """
        if self._counted + self._storing + self._stored >= self._limit:
            raise TooManyJobs(self._limit, RETRY_SECONDS)
        self._storing += 1
        try:
            yield
        finally:
            self._storing -= 1
            # Also after an error, when nobody knows whether it is stored: the next count tells.
            self._stored += 1
