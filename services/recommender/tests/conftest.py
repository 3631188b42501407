from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aio_pika
import grpc
import pytest
from aio_pika.abc import AbstractIncomingMessage, AbstractQueue
from sqlalchemy import text

from localmesh.databases import PostgresServer
from recmesh.recommender.v1 import recommender_service_pb2 as pb
from recmesh.recommender.v1.query_pb2 import Query
from recmesh.recommender.v1.recommendation_pb2 import Recommendation
from recmesh.recommender.v1.recommender_service_pb2_grpc import RecommenderServiceStub
from recmesh_jobs.lanes import QUEUE_OF
from recmesh_jobs.models import SCHEMA
from recmesh_kit import testing
from recmesh_kit.broker import Broker
from recmesh_kit.database import Database
from recmesh_kit.errors import Unavailable
from recmesh_kit.layout import topology_of
from recmesh_kit.migrations import migrate
from recmesh_kit.proxy import Proxy
from recmesh_kit.tasks import Background
from recmesh_kit.testing import bearer, fields_of, reason_of, running
from recmesh_recommender import assembly, waiting
from recmesh_recommender.assembly import Recommender
from recmesh_recommender.servicer import services
from recmesh_recommender.settings import RecommenderSettings

if TYPE_CHECKING:
    from recmesh.recommender.v1.recommender_service_pb2_grpc import RecommenderServiceAsyncStub

FILMS, SECRET = "catalogs/films", "catalogs/secret"
ALIEN = Query(title="Alien")
ANN, BOB = bearer("ann"), bearer("bob")
EDITOR = bearer("ed", testing.EDITOR)
ADMIN = bearer("root", testing.ADMIN)
Metadata = tuple[tuple[str, str], ...]
Fetch = Callable[[str], Awaitable[bool | None]]


async def fetch(catalog: str) -> bool | None:
    """Stands in for the catalog service: `films` is public, `secret` private, and nothing else is there."""
    return {"films": True, "secret": False}.get(catalog)


@dataclass
class Replica:
    """A running recommender, and the ways to call it."""

    stub: RecommenderServiceAsyncStub
    channel: grpc.aio.Channel
    recommender: Recommender
    broker: Broker

    async def create(
        self,
        query: Query = ALIEN,
        *,
        parent: str = FILMS,
        request_id: str = "",
        metadata: Metadata = ANN,
        **fields: object,
    ) -> Recommendation:
        wanted = Recommendation(query=query, **fields)  # type: ignore[arg-type]
        request = pb.CreateRecommendationRequest(
            parent=parent, recommendation=wanted, request_id=request_id
        )
        return await self.stub.CreateRecommendation(request, metadata=metadata, timeout=60)

    async def recommend(
        self,
        query: Query = ALIEN,
        *,
        parent: str = FILMS,
        request_id: str = "",
        metadata: Metadata = ANN,
        timeout: float = 60,  # noqa: ASYNC109 - it is the call's
    ) -> Recommendation:
        wanted = Recommendation(query=query)
        request = pb.RecommendRequest(parent=parent, recommendation=wanted, request_id=request_id)
        return await self.stub.Recommend(request, metadata=metadata, timeout=timeout)

    async def get(self, name: str, metadata: Metadata = ANN) -> Recommendation:
        request = pb.GetRecommendationRequest(name=name)
        return await self.stub.GetRecommendation(request, metadata=metadata, timeout=60)

    async def again(
        self, name: str, *, limit: int = 0, request_id: str = "", metadata: Metadata = ANN
    ) -> Recommendation:
        """Continues a job."""
        request = pb.ContinueRecommendationRequest(name=name, limit=limit, request_id=request_id)
        return await self.stub.ContinueRecommendation(request, metadata=metadata, timeout=60)

    async def delete(self, name: str, metadata: Metadata = ANN) -> None:
        request = pb.DeleteRecommendationRequest(name=name)
        await self.stub.DeleteRecommendation(request, metadata=metadata, timeout=60)

    async def batch(
        self,
        rows: Iterable[pb.CreateRecommendationRequest],
        *,
        parent: str = FILMS,
        metadata: Metadata = EDITOR,
    ) -> pb.BatchCreateRecommendationsResponse:
        request = pb.BatchCreateRecommendationsRequest(parent=parent, requests=rows)
        return await self.stub.BatchCreateRecommendations(request, metadata=metadata, timeout=60)

    async def cancel(self, name: str, metadata: Metadata = ANN) -> Recommendation:
        request = pb.CancelRecommendationRequest(name=name)
        return await self.stub.CancelRecommendation(request, metadata=metadata, timeout=60)

    async def page(
        self, metadata: Metadata = ANN, **fields: object
    ) -> pb.ListRecommendationsResponse:
        request = pb.ListRecommendationsRequest(parent=FILMS)
        request.MergeFrom(pb.ListRecommendationsRequest(**fields))  # type: ignore[arg-type]
        return await self.stub.ListRecommendations(request, metadata=metadata, timeout=60)

    async def states(self, name: str, metadata: Metadata = ANN) -> list[str]:
        """What a watcher sees, to the end."""
        request = pb.WatchRecommendationRequest(name=name)
        watching = self.stub.WatchRecommendation(request, metadata=metadata, timeout=60)
        return [state(job) async for job in watching]


def state(job: Recommendation) -> str:
    return Recommendation.State.Name(job.state).removeprefix("STATE_")


async def error_of(call: Awaitable[object]) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def failure(call: Awaitable[object]) -> str:
    """Code, reason and fields at fault of a call that fails."""
    error = await error_of(call)
    return " ".join([error.code().name, reason_of(error), *fields_of(error)])


async def until(condition: Callable[[], object], seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)


async def until_state(replica: Replica, name: str, wanted: str) -> Recommendation:
    end = time.monotonic() + 60
    while state(job := await replica.get(name, EDITOR)) != wanted:
        assert time.monotonic() < end, f"{state(job)}, not {wanted}"
        await asyncio.sleep(0.01)
    return job


async def until_followed(replica: Replica, waiters: int = 1) -> None:
    """Until so many wait for jobs, and each knows how its job stands."""
    room = replica.recommender.room
    await until(
        lambda: [one.begun for some in room._waiters.values() for one in some] == [True] * waiters
    )


@asynccontextmanager
async def replica_of(
    database: Database, amqp_url: str, fetch: Fetch = fetch, **changed: object
) -> AsyncIterator[Replica]:
    """A recommender as `__main__` makes it, without auth and catalog."""
    fixed = {
        "database_url": "postgresql://unused",
        "amqp_url": amqp_url,
        "auth_target": "unused:1",
        "catalog_target": "unused:1",
        "service_key": "unused",
        "sweep_seconds": 0.05,
    }
    settings = RecommenderSettings.model_validate(fixed | changed)
    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(Broker(amqp_url, name="test", timeout_seconds=60))
        background = await stack.enter_async_context(Background())
        recommender = await stack.enter_async_context(
            Recommender(settings, database, broker, fetch, background)
        )
        await _started(recommender)
        if broker.connected:
            await until(lambda: broker.reply_to)
        channel = await stack.enter_async_context(
            running(services(recommender), max_concurrent_calls=settings.max_concurrent_calls)
        )
        yield Replica(RecommenderServiceStub(channel), channel, recommender, broker)


async def _started(recommender: Recommender) -> None:
    """As `__main__` does it: again, where the database has taken too long."""
    async with asyncio.timeout(60):
        while True:
            with suppress(Unavailable):
                return await recommender.start()


@pytest.fixture(scope="session")
async def database_url(postgres: PostgresServer, database_name: str) -> str:
    urls = await postgres.create_database(f"{database_name}_recommender")
    url = urls["recmesh_recommender"]
    await migrate(url, "recmesh_jobs", SCHEMA)
    return url


@pytest.fixture(scope="session")
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database(
        database_url, pool_size=15, timeout_seconds=60, application_name="test"
    ) as opened:
        yield opened


@pytest.fixture(autouse=True)
async def _empty(request: pytest.FixtureRequest) -> None:
    """No jobs and no messages of the test before."""
    if "database" not in request.fixturenames:
        return
    database: Database = request.getfixturevalue("database")
    for table in ("jobs", "requests", "dead_letters"):
        await sql(database, f"DELETE FROM recommender.{table}")  # noqa: S608 - a constant
    amqp_url: str = request.getfixturevalue("amqp_url")
    async with Broker(amqp_url, name="test", timeout_seconds=60) as broker:
        await broker.declare(topology_of("recommender"))
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        for queue in QUEUE_OF.values():
            await (await channel.get_queue(queue.name, ensure=False)).purge()


async def sql(database: Database, statement: str, **values: object) -> list[tuple[object, ...]]:
    async with database.transaction() as session:
        result = await (await session.connection()).execute(text(statement), values)
        return [tuple(row) for row in result] if result.returns_rows else []


@pytest.fixture
async def replica(database: Database, amqp_url: str) -> AsyncIterator[Replica]:
    async with replica_of(database, amqp_url) as replica:
        yield replica


@pytest.fixture
async def proxy(amqp_url: str) -> AsyncIterator[Proxy]:
    """A way to the broker that can be cut."""
    async with Proxy.to(amqp_url) as proxy:
        yield proxy


@pytest.fixture
def no_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits can only be told."""
    monkeypatch.setattr(waiting, "FIRST_POLL_SECONDS", 3600.0)


@pytest.fixture
def counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unfinished jobs are counted at the start only: a job that is stored during a count counts twice for a moment."""
    monkeypatch.setattr(assembly, "REFRESH_SECONDS", 3600.0)


async def taken_from(queue: AbstractQueue) -> AbstractIncomingMessage:
    """The next message of a queue."""
    end = time.monotonic() + 60
    while (message := await queue.get(no_ack=True, fail=False)) is None:
        assert time.monotonic() < end, "no message came"
    return message
