"""A small worker: claims, writes and replies as the real one does, and knows its items by heart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from recmesh.events.v1.job_events_pb2 import Answer
from recmesh.recommender.v1.recommendation_pb2 import Result
from recmesh_jobs.job import Ended, Failure
from recmesh_jobs.leases import LeaseRepository
from recmesh_jobs.messages import Dispatched, Finished, decode_job, encode_finished
from recmesh_kit.broker import Broker, Delivery
from recmesh_kit.database import Database
from recmesh_kit.layout import BULK, INTERACTIVE, SUSPECT, topology_of


def answer_to(job: Dispatched, items: Sequence[str]) -> bytes:
    """The first of the items that the chain has not shown."""
    shown = set(job.shown)
    left = [item for item in items if item not in shown][: job.query.limit]
    results = [
        Result(item=f"catalogs/{job.catalog}/items/{item}", title=item.title(), score=0.5)
        for item in left
    ]
    model = f"catalogs/{job.catalog}/models/content"
    return Answer(version=1, results=results, model=model).SerializeToString()


@dataclass
class Worker:
    """Set `gate` to hold jobs between claim and answer; `dies`: it never answers; `replies`: it tells who waits."""

    database: Database
    broker: Broker
    lease_seconds: float
    gate: asyncio.Event
    dies: bool
    replies: bool
    failure: Failure | None
    items: Sequence[str]
    taken: list[tuple[str, Dispatched]] = field(default_factory=list)
    reply_queues: list[str | None] = field(default_factory=list)
    request_ids: list[str | None] = field(default_factory=list)

    async def handle(self, deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            job = decode_job(delivery.body)
            async with self.database.driver() as connection:
                leases = LeaseRepository(connection, "stand-in")
                claim = (await leases.claim([job.id], self.lease_seconds)).claims.get(job.id)
            if claim is not None:
                self.taken.append((delivery.routing_key, job))
                self.reply_queues.append(delivery.reply_to)
                self.request_ids.append(delivery.request_id)
                if not self.dies:
                    await self.gate.wait()
                    answer = answer_to(job, self.items)
                    async with self.database.driver() as connection:
                        leases = LeaseRepository(connection, "stand-in")
                        ended = (
                            await leases.succeed([(claim, answer)])
                            if self.failure is None
                            else await leases.fail([(claim, self.failure)])
                        )
                    if ended and delivery.reply_to and self.replies:
                        await self._reply(delivery.reply_to, ended[0], answer)
            await delivery.ack()

    async def _reply(self, queue: str, ended: Ended, answer: bytes) -> None:
        finished = Finished(ended, answer=None if self.failure else answer, failure=self.failure)
        await self.broker.publish("", queue, encode_finished([finished]))


@asynccontextmanager
async def working(
    database: Database,
    amqp_url: str,
    *,
    lease_seconds: float = 600,
    held: bool = False,
    dies: bool = False,
    replies: bool = True,
    failure: Failure | None = None,
    items: Sequence[str] = ("ran",),
) -> AsyncIterator[Worker]:
    """A worker at work."""
    async with Broker(amqp_url, name="stand-in", timeout_seconds=60) as broker:
        await broker.declare(topology_of("recommender"))
        gate = asyncio.Event()
        if not held:
            gate.set()
        worker = Worker(database, broker, lease_seconds, gate, dies, replies, failure, items)
        for queue in (INTERACTIVE, BULK, SUSPECT):
            await broker.consume(queue.name, worker.handle, prefetch=64)
        yield worker
