"""The queues that a worker consumes."""

from __future__ import annotations

import asyncio

from recmesh_kit.broker import Broker, Consumer
from recmesh_kit.errors import Unavailable
from recmesh_kit.layout import BULK, HISTORY, INDEX, INTERACTIVE, SUSPECT
from recmesh_worker.consumer import JobConsumer
from recmesh_worker.historian import Historian
from recmesh_worker.indexer import Indexer
from recmesh_worker.settings import WorkerSettings

PATIENCE_SECONDS = 0.02
"""About twice as long as a batch takes that needs no encoder: until then what waits joins the next one."""


class Consuming:
    """Consumes jobs and catalog events.

    Args:
        broker: Where the queues are.
        jobs: Takes the jobs that somebody waits for.
        suspects: Takes those whose attempt ended without a word.
        bulk: Takes the others.
        historian: Takes what people did.
        indexer: Takes the changes of items.
        settings: How many messages are handled together.
    """

    def __init__(
        self,
        broker: Broker,
        *,
        jobs: JobConsumer,
        suspects: JobConsumer,
        bulk: JobConsumer,
        historian: Historian,
        indexer: Indexer,
        settings: WorkerSettings,
    ) -> None:
        self._broker = broker
        self._jobs = jobs
        self._suspects = suspects
        self._bulk = bulk
        self._historian = historian
        self._indexer = indexer
        self._settings = settings
        self._consumers: list[Consumer] = []
        self._index_consumers: list[Consumer] = []

    async def start(self) -> None:
        """Begins to consume, as soon as the broker is there."""
        settings = self._settings
        self._consumers = [
            # A second batch beside one that takes long: texts that are encoded hold up no titles.
            await self._broker.consume(
                INTERACTIVE.name,
                self._jobs.handle,
                prefetch=2 * settings.job_batch,
                max_batch=settings.job_batch,
                concurrency=2,
                patience_seconds=PATIENCE_SECONDS,
            ),
            # One at a time, so that a job that kills its worker takes no neighbour along.
            await self._broker.consume(SUSPECT.name, self._suspects.handle, prefetch=1),
            await self._broker.consume(BULK.name, self._bulk.handle, prefetch=settings.bulk_batch),
            await self._broker.consume(
                HISTORY.name,
                self._historian.handle,
                prefetch=settings.history_batch,
            ),
        ]
        self._index_consumers = [
            await self._broker.consume(
                INDEX.name, self._indexer.handle, prefetch=settings.index_batch
            )
        ]

    async def check(self) -> None:
        """The check of a health component "consumer".

        Raises:
            Unavailable: A queue is not consumed.
        """
        consumers = self._consumers + self._index_consumers
        if not all(consumer.alive for consumer in consumers):
            raise Unavailable("Not every queue is being consumed.")

    async def drain(self, seconds: float) -> None:
        """Takes nothing more. What waits is given back, what is being done has so many seconds to end, and indexing is
        cut off: an import may take minutes, and what is not yet done of it will be done by another.
        """
        await asyncio.gather(*(jobs.aclose() for jobs in (self._jobs, self._suspects, self._bulk)))
        await asyncio.gather(
            *(consumer.drain(seconds) for consumer in self._consumers),
            *(consumer.drain(0) for consumer in self._index_consumers),
        )
