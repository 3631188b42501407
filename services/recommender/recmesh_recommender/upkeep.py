"""The relay, the end of jobs that nobody looks after, and the partitions."""

from __future__ import annotations

import datetime as dt

import structlog

from recmesh_jobs import partitions
from recmesh_jobs.intake import REDISPATCH_SECONDS
from recmesh_jobs.lanes import QUEUE_OF
from recmesh_jobs.states import Lane
from recmesh_jobs.sweep import LIMIT, SweepRepository
from recmesh_kit.broker import Broker
from recmesh_kit.database import Database
from recmesh_kit.errors import Unavailable
from recmesh_kit.layout import HISTORY, INDEX
from recmesh_recommender.dispatch import Dispatcher
from recmesh_recommender.metrics import JobMetrics

log = structlog.get_logger()

PARTITIONS_AHEAD_DAYS = 7
_QUEUES = [queue.name for queue in (*QUEUE_OF.values(), INDEX, HISTORY)]


class Upkeep:
    """Rounds of work. Each replica goes them; rows locked by one are left out by the others.

    Args:
        database: Where the jobs are.
        broker: Asked whether it is there at all.
        dispatcher: Publishes.
        attempt_limit: Attempts without a word after which a job is given up.
        keep_days: How long jobs are kept.
        metrics: Is told what was found.
    """

    def __init__(
        self,
        database: Database,
        broker: Broker,
        dispatcher: Dispatcher,
        *,
        attempt_limit: int,
        keep_days: int,
        metrics: JobMetrics,
    ) -> None:
        self._database = database
        self._broker = broker
        self._dispatcher = dispatcher
        self._attempt_limit = attempt_limit
        self._keep_days = keep_days
        self._metrics = metrics

    async def sweep(self) -> None:
        """Ends what is late or lost for good, and has tried again what was lost."""
        while await self._sweep_some() == LIMIT:
            pass

    async def _sweep_some(self) -> int:
        """Sweeps as much as its statements do at once; says how much there was of the kind of which there was most."""
        async with self._database.transaction() as session:
            repository = SweepRepository(session)
            ended = await repository.expire()
            given_up = await repository.give_up_lost(self._attempt_limit)
            lost = await repository.requeue_lost(
                self._attempt_limit, REDISPATCH_SECONDS[Lane.SUSPECT]
            )
        self._metrics.swept(expired=len(ended), given_up=len(given_up), tried_again=len(lost))
        most = max(map(len, (ended, given_up, lost)))
        ended += given_up
        if ended or lost:
            log.info("swept", ended=len(ended), tried_again=len(lost))
        self._dispatcher.announce(ended)
        # Without waiting for room: the sweep goes on whatever the broker does.
        for job in lost:
            self._dispatcher.dispatch(job, None)
        return most

    async def relay(self, lanes: frozenset[Lane]) -> None:
        """Dispatches what was not dispatched, or whose message nobody took. While the broker is away they stay due.

        Args:
            lanes: `PROMPT` or `PATIENT`: a round of one waits for no room in the line of the other.
        """
        wait = max(REDISPATCH_SECONDS[lane] for lane in lanes)
        if not self._broker.connected:
            return
        unsent = self._dispatcher.take_unsent(lanes)
        while self._broker.connected:
            try:
                async with self._database.transaction() as session:
                    repository = SweepRepository(session)
                    await repository.hurry(unsent)
                    due = await repository.due(lanes, wait)
            except Unavailable:
                self._dispatcher.keep_unsent(lanes, unsent)
                raise
            if due:
                log.info("relayed", jobs=len(due))
                self._metrics.relayed(len(due))
            await self._dispatcher.dispatch_again(due)
            if len(due) < LIMIT:
                return
            unsent = []

    async def look_at_queues(self) -> None:
        """Measures how the queues of the workers stand: whether anybody takes them."""
        try:
            depths = await self._broker.depths(*_QUEUES)
        except Unavailable:
            depths = {}
        for name in _QUEUES:
            self._metrics.queue(name, depths.get(name))

    async def maintain_partitions(self) -> None:
        """Makes the partitions of the coming days and drops those that are over."""
        dropped = await partitions.maintain(
            self._database,
            dt.datetime.now(dt.UTC).date(),
            ahead_days=PARTITIONS_AHEAD_DAYS,
            keep_days=self._keep_days,
        )
        if dropped:
            log.info("partitions dropped", names=dropped)
