import asyncio
import datetime as dt
import os
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel, AbstractExchange
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from localmesh.databases import PostgresServer
from recmesh.catalog.v1.interaction_pb2 import Interaction
from recmesh.catalog.v1.item_pb2 import Item
from recmesh.events.v1 import catalog_events_pb2 as events
from recmesh.events.v1.job_events_pb2 import Answer as AnswerMessage
from recmesh.recommender.v1.query_pb2 import Query
from recmesh_jobs import messages, reading
from recmesh_jobs.history import Event
from recmesh_jobs.history_repository import events_of
from recmesh_jobs.index_repository import IndexRepository
from recmesh_jobs.intake import Submission, store
from recmesh_jobs.items import IndexedItem
from recmesh_jobs.job import Job
from recmesh_jobs.messages import Finished
from recmesh_jobs.models import SCHEMA
from recmesh_jobs.states import Lane
from recmesh_kit import layout
from recmesh_kit.broker import Broker, Delivery
from recmesh_kit.database import Database
from recmesh_kit.ids import uuid7
from recmesh_kit.migrations import migrate
from services.worker.tests.processes import KEY, standing_in
from services.worker.tests.waiting import WAIT_SECONDS as WAIT_SECONDS
from services.worker.tests.waiting import eventually as eventually
from services.worker.tests.words import DIMENSIONS as DIMENSIONS
from services.worker.tests.words import WordEncoder as WordEncoder
from services.worker.tests.words import vector as vector
from services.worker.tests.working import Worker, working

_HISTORY = text(
    "SELECT items, types, event_values, event_times FROM recommender.user_history"
    " WHERE catalog = :catalog AND user_id = :user"
)


async def history_of(session: AsyncSession, catalog: str, user: str) -> tuple[Event, ...]:
    """What a person did, the newest first, as the read model has it."""
    row = (await session.execute(_HISTORY, {"catalog": catalog, "user": user})).first()
    return () if row is None else events_of(row)


def indexed(catalog: str, name: str, revision: int = 1, **fields: object) -> IndexedItem:
    title = name.replace("-", " ").title()
    item = IndexedItem(
        catalog=catalog, item=name, revision=revision, seq=0, title=title, vector=vector(title)
    )
    return replace(item, **fields)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
async def urls(postgres: PostgresServer, database_name: str) -> dict[str, str]:
    """A migrated database: role to URL."""
    urls = await postgres.create_database(f"{database_name}_worker")
    await migrate(urls["recmesh_recommender"], "recmesh_jobs", SCHEMA)
    return urls


@pytest.fixture(scope="session")
async def owner(urls: dict[str, str]) -> AsyncIterator[Database]:
    """That database, as the recommender."""
    async with Database(
        urls["recmesh_recommender"], pool_size=5, timeout_seconds=60, application_name="test"
    ) as opened:
        yield opened


@pytest.fixture(scope="session")
async def database(urls: dict[str, str]) -> AsyncIterator[Database]:
    """That database, as the worker."""
    async with Database(
        urls["recmesh_worker"], pool_size=5, timeout_seconds=60, application_name="test"
    ) as opened:
        yield opened


@pytest.fixture(scope="session")
async def broker(amqp_url: str) -> AsyncIterator[Broker]:
    broker = Broker(amqp_url, name="test", timeout_seconds=60)
    # Before it connects: a connection is not there until all of it is.
    await broker.declare(layout.topology_of("worker"))

    async def connected() -> bool:
        return broker.connected

    async with broker:
        await eventually(connected)
        yield broker


@pytest.fixture(scope="session")
async def channel(amqp_url: str) -> AsyncIterator[AbstractChannel]:
    connection = await aio_pika.connect(amqp_url)
    async with connection:
        yield await connection.channel()


@pytest.fixture
def catalog() -> str:
    return f"c{uuid7().hex}"


@dataclass
class Asking:
    """The recommender's side of jobs: stores and dispatches them, and hears what came of them."""

    owner: Database
    channel: AbstractChannel
    broker: Broker
    queue: str
    reply_to: str
    replies: list[list[Finished]] = field(default_factory=list)

    async def store(self, catalog: str, query: Query, **fields: object) -> Job:
        now = dt.datetime.now(dt.UTC)
        query.limit = query.limit or 3
        made = Job(
            id=uuid7(now),
            catalog=catalog,
            user="ada",
            session="",
            lane=Lane.INTERACTIVE,
            query=query.SerializeToString(),
            deadline=now + dt.timedelta(hours=1),
            create_time=now,
            expire_time=now + dt.timedelta(days=7),
        )
        made = replace(made, **fields)  # type: ignore[arg-type]
        async with self.owner.driver() as connection:
            await store(connection, [Submission(made, None, b"")])
        return made

    async def send(self, *bodies: bytes | Job) -> None:
        for body in bodies:
            body = messages.encode_job(body) if isinstance(body, Job) else body
            await self.channel.default_exchange.publish(
                aio_pika.Message(body, reply_to=self.reply_to), self.queue
            )

    async def ask(self, catalog: str, query: Query, **fields: object) -> Job:
        job = await self.store(catalog, query, **fields)
        await self.send(job)
        return job

    async def read(self, job: Job) -> Job:
        async with self.owner.driver() as connection:
            return (await reading.read(connection, [job.id]))[job.id]

    async def sql(self, statement: str, **values: object) -> list[tuple[object, ...]]:
        async with self.owner.transaction() as session:
            result = await (await session.connection()).execute(text(statement), values)
            return [tuple(row) for row in result] if result.returns_rows else []

    async def count(self) -> int:
        """Messages that wait in the queue."""
        declared = await self.channel.declare_queue(self.queue, passive=True)
        return declared.declaration_result.message_count or 0

    async def waits(self, count: int) -> None:
        """Returns once so many messages wait in the queue."""

        async def there() -> bool:
            return await self.count() == count

        await eventually(there)

    @asynccontextmanager
    async def taken(self, count: int) -> AsyncIterator[list[Delivery]]:
        """The messages that wait, as one batch; what is not settled at the end goes back."""
        deliveries: list[Delivery] = []
        full = asyncio.Event()

        async def collect(some: list[Delivery]) -> None:
            deliveries.extend(some)
            if len(deliveries) >= count:
                full.set()

        consumer = await self.broker.consume(self.queue, collect, prefetch=count)
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await full.wait()
            yield deliveries
        finally:
            await consumer.drain(WAIT_SECONDS)

    async def heard(self, job: Job) -> Finished:
        """What the reply queue was told of a job."""

        async def told() -> bool:
            return any(one.ended.id == job.id for some in self.replies for one in some)

        await eventually(told)
        return next(one for some in self.replies for one in some if one.ended.id == job.id)


@pytest.fixture
async def asking(
    owner: Database, channel: AbstractChannel, broker: Broker
) -> AsyncIterator[Asking]:
    queue = await channel.declare_queue(f"jobs-{uuid7().hex}", durable=True)
    # What is put off comes back.
    await queue.bind(layout.JOBS.name, queue.name)
    reply_queue = await channel.declare_queue(f"replies-{uuid7().hex}", durable=True)
    made = Asking(owner, channel, broker, queue.name, reply_queue.name)

    async def note(deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            made.replies.append(messages.decode_finished(delivery.body))
            await delivery.ack()

    consumer = await broker.consume(reply_queue.name, note, prefetch=10)
    yield made
    await consumer.drain(WAIT_SECONDS)
    await queue.delete(if_unused=False, if_empty=False)
    await reply_queue.delete(if_unused=False, if_empty=False)


async def put(database: Database, encoder: WordEncoder, *items: IndexedItem) -> None:
    """Writes items into the read model."""
    async with database.transaction() as session:
        await IndexRepository(session, encoder.id).upsert(items[0].catalog, items)


@pytest.fixture
async def worker(database: Database, broker: Broker) -> AsyncIterator[Worker]:
    async with working(database, broker) as made:
        yield made


@pytest.fixture
async def films(worker: Worker, database: Database, catalog: str) -> str:
    """A catalog in the worker's memory."""
    names = ("alien", "alien-nation", "heat", "heat-wave", "ronin")
    await put(database, worker.encoder, *(indexed(catalog, name) for name in names))
    await worker.read_model.load(catalog)
    return catalog


async def do(worker: Worker, asking: Asking, count: int) -> None:
    """Has the worker do so many waiting messages as one batch; all of them are settled after it."""
    async with asking.taken(count) as deliveries:
        await worker.jobs.handle(deliveries)
    await asking.waits(0)


@asynccontextmanager
async def ranking(
    worker: Worker, asking: Asking, catalog: str
) -> AsyncIterator[tuple[Job, asyncio.Task[None]]]:
    """A job that the worker has in hand, and the task that does: it ranks until `worker.ranker.gate` is set."""
    job = await asking.ask(catalog, Query(title="slow"))
    async with asking.taken(1) as deliveries:
        hand = asyncio.create_task(worker.jobs.handle(deliveries))
        await asyncio.to_thread(worker.ranker.begun.wait, 60)
        yield job, hand


async def come(deliveries: list[Delivery], count: int) -> None:
    """Returns once so many messages have been taken, those that came again included."""

    async def there() -> bool:
        return len(deliveries) >= count

    await eventually(there)


def results(job: Job) -> list[str]:
    """The items of an answer."""
    assert job.answer is not None
    answer = AnswerMessage.FromString(job.answer)
    return [result.item.rpartition("/")[2] for result in answer.results]


@pytest.fixture
async def environment(
    urls: dict[str, str], amqp_url: str, broker: Broker, asking: Asking
) -> AsyncIterator[dict[str, str]]:
    """What a worker's process is told, but for where it listens. Its queues are empty."""
    for queue in layout.topology_of("worker").queues:
        await (await asking.channel.get_queue(queue.name)).purge()
    async with standing_in() as services:
        yield {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(sys.path),
            "OMP_NUM_THREADS": "1",
            "DATABASE_URL": urls["recmesh_worker"],
            "AMQP_URL": amqp_url,
            "RECMESH_AUTH_TARGET": services,
            "RECMESH_CATALOG_TARGET": services,
            "RECMESH_SERVICE_KEY": KEY,
            "RECMESH_DRAIN_SECONDS": "30",
            "RECMESH_DATABASE_TIMEOUT_SECONDS": str(WAIT_SECONDS),
            "RECMESH_BROKER_TIMEOUT_SECONDS": str(WAIT_SECONDS),
            "RECMESH_PROBE_INTERVAL_SECONDS": "0.1",
        }


@pytest.fixture
def jobs(asking: Asking) -> Asking:
    """The recommender's side, with the queue that workers consume."""
    return replace(asking, queue=layout.INTERACTIVE.name)


Told = tuple[str, bytes]
"""A routing key and a body."""


@dataclass
class Telling:
    """The catalog service's side of its events: an exchange of its own, bound to one queue."""

    asking: Asking
    exchange: AbstractExchange

    async def send(self, *told: Told) -> None:
        for routing_key, body in told:
            await self.exchange.publish(aio_pika.Message(body), routing_key)

    async def tell(self, handle: Callable[[list[Delivery]], Awaitable[None]], *told: Told) -> None:
        """Has catalog events handled as one batch; all are settled after it."""
        await self.send(*told)
        async with self.asking.taken(len(told)) as deliveries:
            await handle(deliveries)
        await self.asking.waits(0)


@pytest.fixture
async def telling(asking: Asking, channel: AbstractChannel, catalog: str) -> Telling:
    exchange = await channel.declare_exchange(f"events-{catalog}", "topic", auto_delete=True)
    queue = await channel.get_queue(asking.queue)
    await queue.bind(exchange, "#")
    return Telling(asking, exchange)


def gone(catalog: str) -> Told:
    """Says that a catalog was deleted."""
    message = events.CatalogChanged(version=1, catalog=catalog, deleted=True)
    return "catalog.x", message.SerializeToString()


def written(catalog: str, *interactions: Interaction) -> Told:
    """Says that interactions were written."""
    message = events.InteractionsWritten(version=1, catalog=catalog, interactions=interactions)
    return "interaction.x", message.SerializeToString()


class Shelf:
    """A catalog service that stands in for the real one, as those see it who keep the read model."""

    def __init__(self) -> None:
        self.created: dict[str, dt.datetime] = {}
        self.catalogs: defaultdict[str, dict[str, Item]] = defaultdict(dict)
        self.errors: list[Exception] = []
        self.asked: list[Sequence[str]] = []

    def put(self, catalog: str, name: str, revision: int, **fields: object) -> None:
        self.catalogs[catalog][name] = Item(
            name=f"catalogs/{catalog}/items/{name}",
            revision=revision,
            **({"title": name.replace("-", " ").title()} | fields),  # type: ignore[arg-type]
        )

    async def create_time(self, catalog: str) -> dt.datetime | None:
        if self.errors:
            raise self.errors.pop(0)
        return self.created.get(catalog)

    async def items(self, catalog: str, ids: Sequence[str]) -> Sequence[Item] | None:
        self.asked.append(ids)
        if self.errors:
            raise self.errors.pop(0)
        if catalog not in self.catalogs:
            return None
        there = self.catalogs[catalog]
        return [there[one] for one in ids if one in there]
