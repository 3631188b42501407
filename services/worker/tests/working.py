"""The parts of a worker that do jobs, with what tests need to hold them up and break them."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from asyncpg import Connection

from recmesh_kit.broker import Broker
from recmesh_kit.database import Database
from recmesh_kit.errors import Unavailable
from recmesh_worker.answering import Answering
from recmesh_worker.company import Company
from recmesh_worker.consumer import JobConsumer
from recmesh_worker.delays import Delays
from recmesh_worker.encoder import EncoderThread
from recmesh_worker.engine.memory import CatalogMemory
from recmesh_worker.engine.query import Answer, EngineQuery
from recmesh_worker.engine.rank import Ranker
from recmesh_worker.job_batch import JobBatch
from recmesh_worker.models.content import ContentModel
from recmesh_worker.models.popularity import PopularityModel
from recmesh_worker.precedence import Precedence
from recmesh_worker.read_model import ReadModel
from recmesh_worker.replies import News, Replies
from services.worker.tests.words import WordEncoder

ATTEMPT_LIMIT = 3
MOST_DELAYS = 2


class CountingRanker(Ranker):
    """Notes what it ranks; "poison" breaks it, "slow" waits for the gate, and for "greedy" there is no memory so
    many times."""

    def __init__(self) -> None:
        super().__init__(ContentModel(), PopularityModel(), ["en"])
        self.ranked: list[str] = []
        self.queries: list[EngineQuery] = []
        self.short = 0
        self.gate = threading.Event()
        self.begun = threading.Event()

    def rank(self, batch: Sequence[EngineQuery], memory: CatalogMemory) -> list[Answer]:
        seeds = [query.seed for query in batch]
        if "slow" in seeds:
            self.begun.set()
            self.gate.wait(60)
        if "poison" in seeds:
            raise RuntimeError("a query that breaks the ranking")
        if "greedy" in seeds and self.short > 0:
            # A batch is tried one by one.
            self.short -= len(seeds) == 1
            raise MemoryError
        self.ranked += seeds
        self.queries += batch
        return super().rank(batch, memory)


class GatedReplies(Replies):
    """Waits before it tells."""

    def __init__(self, broker: Broker) -> None:
        super().__init__(broker)
        self.gate = asyncio.Event()
        self.gate.set()
        self.reached = asyncio.Event()

    async def tell(self, news: Sequence[News]) -> None:
        if news:
            self.reached.set()
            await self.gate.wait()
        await super().tell(news)


class FlakyDatabase:
    """The database: away for as many statements as `away` says, broken by `error` as long as there is one. With
    `hangs` the next one does not come back until it is cut off, and then says that the database is away."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.away = 0
        self.error: Exception | None = None
        self.hangs = False
        self.hung = asyncio.Event()

    @asynccontextmanager
    async def driver(self) -> AsyncIterator[Connection]:
        if self.away > 0:
            self.away -= 1
            raise Unavailable("The database is away.")
        if self.error is not None:
            raise self.error
        if self.hangs:
            self.hangs = False
            await hang(self.hung)
        async with self._database.driver() as connection:
            yield connection


async def hang(hung: asyncio.Event) -> None:
    """Sets an event, and goes no further. It hides that it is cut off, as what gives up a connection that hangs may."""
    hung.set()
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError as error:
        raise Unavailable("The database is away.") from error


@dataclass
class Worker:
    """The parts of a worker that do jobs."""

    encoder: WordEncoder
    thread: EncoderThread
    ranker: CountingRanker
    replies: GatedReplies
    flaky: FlakyDatabase
    delays: Delays
    read_model: ReadModel
    jobs: JobConsumer
    suspects: JobConsumer
    bulk: JobConsumer


@asynccontextmanager
async def working(
    database: Database, broker: Broker, *, lease_seconds: float = 600
) -> AsyncIterator[Worker]:
    """The parts, together. No lease runs out, unless it is short."""
    encoder = WordEncoder()
    thread = EncoderThread(encoder)
    flaky: Any = FlakyDatabase(database)
    read_model = ReadModel(
        database, encoder=encoder.id, dimensions=encoder.dimensions, limit_bytes=10**9
    )
    ranker = CountingRanker()
    replies = GatedReplies(broker)
    precedence = Precedence(patience_seconds=60)
    delays = Delays(broker, MOST_DELAYS)
    company = Company()

    def consumer(*, bulk: bool = False, alone: bool = False) -> JobConsumer:
        answering = Answering(read_model, thread, ranker, precedence, bulk=bulk)
        batch = JobBatch(
            flaky,
            answering,
            replies,
            delays,
            worker="w",
            lease_seconds=lease_seconds,
            attempt_limit=ATTEMPT_LIMIT,
            company=company,
            alone=alone,
        )
        return JobConsumer(batch, answering, read_model, thread, delays, most_waiting=100)

    jobs, suspects, bulk = consumer(), consumer(alone=True), consumer(bulk=True)
    thread.start()
    await thread.wait_ready()
    yield Worker(encoder, thread, ranker, replies, flaky, delays, read_model, jobs, suspects, bulk)
    for one in (jobs, suspects, bulk):
        await one.aclose()
    await read_model.aclose()
    await thread.aclose()
