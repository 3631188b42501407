"""Admission: how many unfinished jobs the deployment takes on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from recmesh_jobs.repository import count_unfinished
from recmesh_jobs.states import Lane
from recmesh_kit.database import Database
from recmesh_kit.refusals import Refusals
from recmesh_kit.telemetry.instruments import Instruments
from recmesh_recommender.errors import TooManyJobs
from recmesh_recommender.metrics import JobMetrics

REFRESH_SECONDS = 0.25


@dataclass(slots=True)
class _Tally:
    """Unfinished jobs of a kind: those that were counted, and those that this process has let in since."""

    limit: int
    counted: int = 0
    storing: int = 0
    stored: int = 0

    @property
    def room(self) -> int:
        return max(0, self.limit - self.counted - self.storing - self.stored)


class Admission:
    """Decides before anything is written. The count is at most a moment old: what this process has let in since then is
    added to it, so that a burst cannot pass the limit by more than what its fellow replicas let in meanwhile.

    Args:
        database: Where the jobs are.
        limit: Unfinished jobs beyond which no more are taken.
        bulk_share: Share of the limit that bulk jobs may take up: the rest is kept for jobs that somebody waits for.
        metrics: Is told what was counted.
    """

    def __init__(
        self,
        database: Database,
        limit: int,
        bulk_share: float,
        metrics: JobMetrics | None = None,
    ) -> None:
        self._database = database
        self._metrics = metrics or JobMetrics(Instruments())
        self._all = _Tally(limit)
        self._bulk = _Tally(int(limit * bulk_share))
        self._metrics.limits(self._all.limit, self._bulk.limit)
        self._refusals = Refusals()
        self._counting = asyncio.Lock()

    @property
    def limit(self) -> int:
        """How many unfinished jobs are admitted."""
        return self._all.limit

    async def refresh(self) -> None:
        """Counts anew; of several counts, one after the other, so that the latest stands."""
        async with self._counting:
            before = [tally.stored for tally in (self._all, self._bulk)]
            async with self._database.driver() as connection:
                counted = await count_unfinished(connection, self._all.limit + 1)
            self._metrics.unfinished(counted)
            self._all.counted, self._bulk.counted = counted.jobs, counted.bulk
            # What was stored while we counted may or may not be in the count: it counts once more.
            self._all.stored -= before[0]
            self._bulk.stored -= before[1]

    @contextmanager
    def admitted(self, lane: Lane, wanted: int = 1) -> Iterator[int]:
        """Lets jobs in, which are stored within the block: as many of those wanted as there is room for. Yields how
        many, at least one.

        Raises:
            TooManyJobs: There is room for none. With RetryInfo.
        """
        tallies = self._tallies(lane)
        fitting = min(wanted, *(tally.room for tally in tallies))
        if fitting < 1:
            raise self.refusal(lane)
        with _storing(tallies, fitting):
            yield fitting

    @contextmanager
    def readmitted(self, wanted: int) -> Iterator[int]:
        """Lets jobs in again that were given up, which are queued within the block: as many of those wanted as there is
        room for beside that which bulk jobs leave to people. Yields how many, maybe none."""
        kept = self._all.limit - self._bulk.limit
        fitting = max(0, min(wanted, self._all.room - kept))
        with _storing((self._all,), fitting):
            yield fitting

    def refusal(self, lane: Lane) -> TooManyJobs:
        """The error for a job of a lane for which there is no room."""
        tightest = min(self._tallies(lane), key=lambda tally: tally.room)
        return TooManyJobs(tightest.limit, self._refusals.another())

    def _tallies(self, lane: Lane) -> tuple[_Tally, ...]:
        return (self._all, self._bulk) if lane is Lane.BULK else (self._all,)


@contextmanager
def _storing(tallies: Iterable[_Tally], jobs: int) -> Iterator[None]:
    for tally in tallies:
        tally.storing += jobs
    try:
        yield
    finally:
        for tally in tallies:
            tally.storing -= jobs
            # Also after an error, when nobody knows whether it is stored: the next count tells.
            tally.stored += jobs
