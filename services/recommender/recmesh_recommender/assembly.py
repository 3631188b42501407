"""The recommender's parts, put together over a database and a broker."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from types import TracebackType

from recmesh_jobs.states import Lane
from recmesh_kit.broker import Broker
from recmesh_kit.database import Database
from recmesh_kit.filters import check
from recmesh_kit.filters.schema import ITEMS
from recmesh_kit.layout import topology_of
from recmesh_kit.tasks import Background, steadily
from recmesh_kit.telemetry.telemetry import Telemetry
from recmesh_recommender.admission import REFRESH_SECONDS, Admission
from recmesh_recommender.catalogs import Catalogs
from recmesh_recommender.dispatch import PATIENT, PROMPT, Dispatcher
from recmesh_recommender.intake import Intake
from recmesh_recommender.metrics import JobMetrics
from recmesh_recommender.orders import Terms
from recmesh_recommender.queues.service import QueueService
from recmesh_recommender.reader import Reader
from recmesh_recommender.replies import Replies
from recmesh_recommender.service import RecommendationService
from recmesh_recommender.settings import RecommenderSettings
from recmesh_recommender.upkeep import Upkeep
from recmesh_recommender.waiting import TICK_SECONDS, WaitingRoom

PARTITION_SECONDS = 3600.0
QUEUES_SECONDS = 5.0
LAST_STORE_SECONDS = 2.0
"""How long the last jobs have to be stored at the end; whoever sent them is told that they were not."""
LAST_DISPATCH_SECONDS = 2.0
"""How long the last messages have at the end; what is left then is relayed by a fellow or at the next start."""


class Recommender:
    """Used as an async context manager within those of its database, broker and background.

    Args:
        settings: Limits and terms.
        database: Where the jobs are.
        broker: Where they are dispatched.
        fetch_catalog: Asks the catalog service, as `Catalogs` has it.
        background: Owns the loops.
        telemetry: Sees what it does.
    """

    def __init__(
        self,
        settings: RecommenderSettings,
        database: Database,
        broker: Broker,
        fetch_catalog: Callable[[str], Awaitable[bool | None]],
        background: Background,
        telemetry: Telemetry | None = None,
    ) -> None:
        telemetry = telemetry or Telemetry()
        metrics = JobMetrics(telemetry.instruments)
        self._measured = telemetry.instruments.recording
        self._settings = settings
        self._broker = broker
        self._background = background
        self._catalogs = Catalogs(fetch_catalog)
        self._dispatcher = Dispatcher(broker, metrics, telemetry.tracing)
        self._admission = Admission(
            database, settings.admission_limit, settings.bulk_share, metrics
        )
        self._intake = Intake(
            database,
            self._admission,
            self._dispatcher,
            insert_batch=settings.insert_batch,
            max_waiting=settings.max_concurrent_calls,
            metrics=metrics,
            tracing=telemetry.tracing,
        )
        self._upkeep = Upkeep(
            database,
            broker,
            self._dispatcher,
            attempt_limit=settings.attempt_limit,
            # A day's partition goes once its last job is gone.
            keep_days=settings.result_ttl_days + 1,
            metrics=metrics,
        )
        self._reader = Reader(
            database, max_waiting=settings.max_concurrent_calls, tracing=telemetry.tracing
        )
        self.room = WaitingRoom(self._reader)
        """Who waits; to be closed before calls are drained."""
        self.service = RecommendationService(
            database,
            catalogs=self._catalogs,
            intake=self._intake,
            dispatcher=self._dispatcher,
            reader=self._reader,
            room=self.room,
            terms=_terms(settings),
        )
        self.queues = QueueService(
            database,
            broker=broker,
            dispatcher=self._dispatcher,
            admission=self._admission,
            terms=_terms(settings),
        )

    async def __aenter__(self) -> Recommender:
        await self._broker.declare(topology_of("recommender"))
        await self._broker.reply_queue(Replies(self.room).handle)
        self._background.spawn("dispatch", self._dispatcher.run())
        return self

    async def start(self) -> None:
        """To be called once there are tables, before calls are let in; again when it fails.

        Raises:
            Unavailable: The database is away again.
        """
        # The grammar is compiled at its first use: not while calls wait.
        await asyncio.to_thread(check.read, "title:*", ITEMS)
        await self._upkeep.maintain_partitions()
        await self._admission.refresh()
        loop, every = self._background.loop, self._settings.sweep_seconds
        for name, lanes in (("relay", PROMPT), ("bulk relay", PATIENT)):
            loop(name, steadily(partial(self._upkeep.relay, lanes)), every)
        loop("sweep", steadily(self._upkeep.sweep), every)
        loop("partitions", self._upkeep.maintain_partitions, PARTITION_SECONDS)
        loop("admission", steadily(self._admission.refresh), REFRESH_SECONDS)
        loop("poll", steadily(self.room.poll), TICK_SECONDS)
        if self._measured:
            loop("queues", self._upkeep.look_at_queues, QUEUES_SECONDS)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_STORE_SECONDS):
                await self._intake.aclose()
                await self._reader.aclose()
        await self._dispatcher.drain(LAST_DISPATCH_SECONDS)
        await self._catalogs.aclose()


def _terms(settings: RecommenderSettings) -> Terms:
    soon = dt.timedelta(seconds=settings.job_deadline_seconds)
    late = dt.timedelta(seconds=settings.bulk_deadline_seconds)
    return Terms(
        deadline={Lane.INTERACTIVE: soon, Lane.BULK: late},
        ttl=dt.timedelta(days=settings.result_ttl_days),
    )
