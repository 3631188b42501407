"""Every process of a mesh is replaced by another while it is called, and no call fails."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import uuid
from asyncio.subprocess import PIPE, STDOUT
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest

from chaos.settling import until
from demo.data import films
from localmesh.ports import Ports, address
from localmesh.state import MemberState
from recmesh.catalog.v1.catalog_service_pb2 import GetItemRequest
from recmesh.catalog.v1.catalog_service_pb2_grpc import CatalogServiceStub
from recmesh.recommender.v1.query_pb2 import Query
from recmesh.recommender.v1.recommendation_pb2 import Recommendation
from recmesh.recommender.v1.recommender_service_pb2 import RecommendRequest
from recmesh.recommender.v1.recommender_service_pb2_grpc import RecommenderServiceStub
from recmesh_client import AsyncClient, Password, State, Targets, Visibility
from tests.conftest import INDEX_SECONDS, START_SECONDS, LocalMesh

if TYPE_CHECKING:
    from recmesh.catalog.v1.catalog_service_pb2_grpc import CatalogServiceAsyncStub
    from recmesh.recommender.v1.recommender_service_pb2_grpc import RecommenderServiceAsyncStub

pytestmark = pytest.mark.xdist_group("restart")

CATALOG = "films"
FILMS = films()[:20]
PATIENCE_SECONDS = 120.0
"""Of a caller. While the one broker is away, which is half a minute on a machine that is busy, nobody is answered."""
ADA = Password("ada@example.org", "correct horse")
POLICY = {
    "methodConfig": [
        {
            "name": [
                {"service": "recmesh.recommender.v1.RecommenderService"},
                {"service": "recmesh.catalog.v1.CatalogService", "method": "GetItem"},
            ],
            "waitForReady": True,
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.1s",
                "maxBackoff": "1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
            },
        }
    ]
}
"""What `docs/operations.md` has for clients of gRPC in other languages."""


@dataclass(frozen=True)
class Restarted(LocalMesh):
    """A mesh of this test's own."""

    environment: Mapping[str, str] = field(repr=False)
    others: Targets
    """The same by way of the other recommender."""

    async def command(self, *words: str) -> str:
        """Has `localmesh` do something, and returns what it says."""
        program = (sys.executable, "-m", "localmesh", "--root", str(self.root), *words)
        process = await asyncio.create_subprocess_exec(
            *program, env=self.environment, stdout=PIPE, stderr=STDOUT
        )
        async with asyncio.timeout(START_SECONDS):
            said, _ = await process.communicate()
        assert process.returncode == 0, said.decode()
        return said.decode()

    def processes(self) -> dict[str, MemberState]:
        return {member.name: member for member in self.members()}


@asynccontextmanager
async def up(root: Path, ports: Ports) -> AsyncIterator[Restarted]:
    environment = {
        **{k: v for k, v in os.environ.items() if k not in ("DATABASE_URL", "AMQP_URL")},
        "RECMESH_PORT_OFFSET": str(ports.offset),
        "GRPC_ENABLE_FORK_SUPPORT": "0",
    }
    one, two = (
        Targets(address(ports.auth), address(ports.catalog), address(ports.recommender_at(n)))
        for n in range(2)
    )
    mesh = Restarted(root, one, environment=environment, others=two)
    await mesh.command("up", "--workers", "2", "--recommenders", "2")
    try:
        yield mesh
    finally:
        await mesh.command("down")


class Load:
    """Callers that call from before the block to after it, each one call after the other.

    Attributes:
        made: Calls that were answered, by kind.
        failed: What was told of the others.
    """

    def __init__(self, calls: Mapping[str, Callable[[], Awaitable[object]]], pause: float) -> None:
        self.made: Counter[str] = Counter()
        self.failed: list[str] = []
        self._calls = calls
        self._pause = pause
        self._over = False

    async def __aenter__(self) -> Load:
        self._tasks = [asyncio.create_task(self._call(*kind)) for kind in self._calls.items()]
        await self._each_once_more()
        return self

    async def __aexit__(self, *error: object) -> None:
        try:
            if error[0] is None:
                await self._each_once_more()
        finally:
            self._over = True
            async with asyncio.timeout(2 * PATIENCE_SECONDS):
                await asyncio.gather(*self._tasks)

    async def _each_once_more(self) -> None:
        """Returns once a call of each kind has been answered that began after now, or one has failed."""
        # One that is on its way now counts for nothing.
        wanted = {kind: self.made[kind] + 2 for kind in self._calls}
        async with asyncio.timeout(4 * PATIENCE_SECONDS):
            while not self.failed and any(self.made[kind] < n for kind, n in wanted.items()):  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    async def _call(self, kind: str, call: Callable[[], Awaitable[object]]) -> None:
        while not self._over:
            try:
                await call()
            except Exception as error:
                self.failed.append(f"{kind}: {error!r}")
            else:
                self.made[kind] += 1
            await asyncio.sleep(self._pause)


async def fill(mesh: Restarted) -> None:
    """Films that can be recommended, and somebody who may ask for them."""
    async with mesh.client(mesh.admin) as admin:
        await admin.create_catalog(CATALOG, visibility=Visibility.PUBLIC)
        await admin.import_items(CATALOG, FILMS)
        await admin.register(ADA.email, ADA.password)

        async def searchable() -> bool:
            return (await admin.get_catalog(CATALOG)).searchable_item_count == len(FILMS)

        assert await until(searchable, INDEX_SECONDS)


def connected(targets: Targets) -> AsyncClient:
    return AsyncClient.connect(targets, credentials=ADA, timeout=PATIENCE_SECONDS)


def asked(clients: Mapping[Targets, AsyncClient]) -> dict[str, Callable[[], Awaitable[object]]]:
    """What people do with the SDK, by kind."""
    found: dict[str, Callable[[], Awaitable[object]]] = {}
    for targets, client in clients.items():

        async def login(targets: Targets = targets) -> None:
            async with connected(targets) as fresh:
                assert (await fresh.get_user()).email == ADA.email

        async def refresh(client: AsyncClient = client) -> None:
            session = client._wire.session
            before = session._access
            # As if it had run out.
            assert session.refused(session._metadata)
            await client.get_user()
            assert session._access != before

        async def get_item(client: AsyncClient = client) -> None:
            assert (await client.get_item(CATALOG, FILMS[0].id)).title == FILMS[0].title

        async def search(client: AsyncClient = client) -> None:
            assert [hit async for hit in client.search_items(CATALOG, FILMS[1].title)]

        async def watch(client: AsyncClient = client) -> None:
            job = await client.create_recommendation(CATALOG, item=FILMS[2].id, limit=3)
            last = [seen async for seen in client.watch(job)][-1]
            assert last.state is State.SUCCEEDED

        async def by_item(client: AsyncClient = client) -> None:
            assert (await client.recommend(CATALOG, item=FILMS[3].id, limit=3)).results

        async def by_title(client: AsyncClient = client) -> None:
            assert (await client.recommend(CATALOG, title=FILMS[4].title, limit=3)).results

        for call in (login, refresh, get_item, search, watch, by_item, by_title):
            found[f"{call.__name__} at {targets.recommender}"] = call
    return found


def bare(
    catalog: CatalogServiceAsyncStub,
    recommender: RecommenderServiceAsyncStub,
    token: str,
) -> dict[str, Callable[[], Awaitable[object]]]:
    """The same with generated stubs, by kind."""
    metadata = (("authorization", f"Bearer {token}"),)
    name = f"catalogs/{CATALOG}/items/{FILMS[5].id}"
    wish = Recommendation(query=Query(item=name, limit=3))

    async def get_item() -> None:
        await catalog.GetItem(
            GetItemRequest(name=name), metadata=metadata, timeout=PATIENCE_SECONDS
        )

    async def recommend() -> None:
        request = RecommendRequest(
            parent=f"catalogs/{CATALOG}", recommendation=wish, request_id=str(uuid.uuid4())
        )
        assert (
            await recommender.Recommend(request, metadata=metadata, timeout=PATIENCE_SECONDS)
        ).results

    return {f"bare {call.__name__}": call for call in (get_item, recommend)}


async def test_every_process_is_replaced_and_no_call_fails(
    tmp_path: Path, free_offset: Callable[[], int]
) -> None:
    options = (("grpc.service_config", json.dumps(POLICY)),)
    async with AsyncExitStack() as stack:
        mesh = await stack.enter_async_context(up(tmp_path, Ports(free_offset())))
        await fill(mesh)
        clients = {
            targets: await stack.enter_async_context(connected(targets))
            for targets in (mesh.targets, mesh.others)
        }
        catalog, recommender = [
            await stack.enter_async_context(grpc.aio.insecure_channel(target, options=options))
            for target in (mesh.targets.catalog, mesh.targets.recommender)
        ]
        token = (await clients[mesh.targets].token()).access_token
        stubs = bare(CatalogServiceStub(catalog), RecommenderServiceStub(recommender), token)
        before = mesh.processes()
        # More often, the callers would take the processor from the processes that start.
        async with Load(asked(clients), 0.5) as people:
            async with Load(stubs, 0.05) as programs:
                await mesh.command("restart", "worker", "recommender", "catalog", "auth")
            await mesh.command("restart", "rabbitmq", "postgres")
        after = mesh.processes()
    assert not people.failed + programs.failed
    assert after.keys() == before.keys()
    assert not [name for name in after if after[name].pid == before[name].pid]
    # Nothing was started again because it had died.
    assert {member.restarts for member in after.values()} == {0}
