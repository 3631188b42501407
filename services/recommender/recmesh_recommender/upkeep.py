"""The relay, the end of jobs that nobody looks after, and the partitions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Awaitable, Callable

import structlog

from recmesh_jobs import partitions
from recmesh_jobs.intake import REDISPATCH_SECONDS
from recmesh_jobs.lanes import QUEUE_OF
from recmesh_jobs.states import Lane
from recmesh_jobs.sweep import LIMIT, SweepRepository
from recmesh_kit.broker import Broker
from recmesh_kit.database import Database
from recmesh_kit.errors import Unavailable
from recmesh_recommender.dispatch import Dispatcher
from recmesh_recommender.metrics import JobMetrics

log = structlog.get_logger()

PARTITIONS_AHEAD_DAYS = 7
_QUEUES = [queue.name for queue in QUEUE_OF.values()]


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
        async with self._database.transaction() as session:
            repository = SweepRepository(session)
            ended = await repository.expire()
            given_up = await repository.give_up_lost(self._attempt_limit)
            lost = await repository.requeue_lost(
                self._attempt_limit, REDISPATCH_SECONDS[Lane.SUSPECT]
            )
        ended += given_up
        self._metrics.given_up(len(given_up))
        if ended or lost:
            log.info("swept", ended=len(ended), tried_again=len(lost))
        self._dispatcher.announce(ended)
        await self._dispatcher.dispatch_again(lost)

    async def relay(self, lanes: frozenset[Lane]) -> None:
        """Dispatches what was not dispatched, or whose message nobody took. While the broker is away they stay due.

        Args:
            lanes: `PROMPT` or `PATIENT`: a round of one waits for no room in the line of the other.
        """
        wait = max(REDISPATCH_SECONDS[lane] for lane in lanes)
        if not self._broker.connected:
            return
        unsent = self._dispatcher.take_unsent(lanes)
        while True:
            async with self._database.transaction() as session:
                repository = SweepRepository(session)
                await repository.hurry(unsent)
                due = await repository.due(lanes, wait)
            if due:
                log.info("relayed", jobs=len(due))
            await self._dispatcher.dispatch_again(due)
            if len(due) < LIMIT:
                return
            unsent = []

    async def look_at_queues(self) -> None:
        """Measures how the queues of jobs stand: whether anybody takes them."""
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


def steadily(work: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
    """The same work, whose rounds are skipped while the database is away: the loop then keeps its pace, and goes on as
    soon as the database is back. (What is away is logged where it is noticed.)"""

    async def go_round() -> None:
        try:
            await work()
        except Unavailable:
            return

    return go_round
