from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc
import pytest
from google.protobuf.message import Message
from sqlalchemy import text

from localmesh.databases import PostgresServer
from recmesh.catalog.v1.catalog_pb2 import Catalog
from recmesh.catalog.v1.catalog_service_pb2 import (
    CreateCatalogRequest,
    CreateItemRequest,
    GetItemRequest,
    ImportItemsRequest,
    ImportItemsResponse,
    ListItemsRequest,
    UpdateItemRequest,
)
from recmesh.catalog.v1.catalog_service_pb2_grpc import CatalogServiceStub
from recmesh.catalog.v1.interaction_service_pb2_grpc import InteractionServiceStub
from recmesh.catalog.v1.item_pb2 import Item
from recmesh.events.v1.catalog_events_pb2 import CatalogChanged, InteractionsWritten, ItemsChanged
from recmesh_catalog.models import SCHEMA
from recmesh_catalog.outbox.outbox import Outbox
from recmesh_catalog.servicer import services
from recmesh_kit import migrations, testing
from recmesh_kit.database import Database
from recmesh_kit.testing import bearer, fields_of, reason_of, running

if TYPE_CHECKING:
    from recmesh.catalog.v1.catalog_service_pb2_grpc import CatalogServiceAsyncStub
    from recmesh.catalog.v1.interaction_service_pb2_grpc import InteractionServiceAsyncStub

ADMIN = bearer("root", testing.ADMIN)
EDITOR = bearer("ed", testing.EDITOR)
ANN = bearer("ann")
BOB = bearer("bob")
Metadata = tuple[tuple[str, str], ...]

_EVENTS: dict[str, type[Message]] = {
    "catalog": CatalogChanged,
    "item": ItemsChanged,
    "interaction": InteractionsWritten,
}
_numbers = itertools.count(1)


@dataclass
class Mesh:
    """A running catalog service."""

    catalogs: CatalogServiceAsyncStub
    interactions: InteractionServiceAsyncStub
    database: Database
    outbox: Outbox

    async def catalog(self, *, public: bool = True) -> str:
        """A new catalog's name."""
        visibility = Catalog.VISIBILITY_PUBLIC if public else Catalog.VISIBILITY_PRIVATE
        request = CreateCatalogRequest(
            catalog_id=f"test-{next(_numbers)}", catalog=Catalog(visibility=visibility)
        )
        return (await self.catalogs.CreateCatalog(request, metadata=ADMIN)).name

    async def create(self, parent: str, item_id: str, **content: object) -> Item:
        item = Item(**{"title": item_id.title(), **content})  # type: ignore[arg-type]
        request = CreateItemRequest(parent=parent, item_id=item_id, item=item)
        return await self.catalogs.CreateItem(request, metadata=EDITOR)

    async def get(self, name: str, metadata: Metadata = EDITOR) -> Item:
        return await self.catalogs.GetItem(GetItemRequest(name=name), metadata=metadata)

    async def update(
        self, item: Item, *paths: str, allow_missing: bool = False, metadata: Metadata = EDITOR
    ) -> Item:
        request = UpdateItemRequest(item=item, allow_missing=allow_missing)
        request.update_mask.paths.extend(paths)
        return await self.catalogs.UpdateItem(request, metadata=metadata)

    async def item_ids(self, parent: str, metadata: Metadata = EDITOR) -> list[str]:
        request = ListItemsRequest(parent=parent, page_size=1000)
        answer = await self.catalogs.ListItems(request, metadata=metadata)
        return [item.name.rpartition("/")[2] for item in answer.items]

    async def import_items(
        self, parent: str, *groups: Iterable[Item], metadata: Metadata = EDITOR
    ) -> ImportItemsResponse:
        async def requests() -> AsyncIterator[ImportItemsRequest]:
            for index, group in enumerate(groups):
                yield ImportItemsRequest(parent="" if index else parent, items=group)

        return await self.catalogs.ImportItems(requests(), metadata=metadata)

    async def sql(self, statement: str, **values: object) -> list[tuple[object, ...]]:
        async with self.database.transaction() as session:
            result = await (await session.connection()).execute(text(statement), values)
            return [tuple(row) for row in result] if result.returns_rows else []

    async def events(self, parent: str) -> list[Message]:
        """What the outbox tells of a catalog since this was asked for last, the oldest first."""
        catalog = parent.partition("/")[2]
        rows = await self.sql(
            "WITH taken AS (DELETE FROM outbox WHERE routing_key LIKE '%.' || :catalog RETURNING *) "
            "SELECT id, routing_key, body FROM taken ORDER BY id",
            catalog=catalog,
        )
        return [
            _EVENTS[str(key).partition(".")[0]].FromString(body)  # type: ignore[arg-type]
            for _, key, body in rows
        ]


async def failure(call: Awaitable[object]) -> str:
    """Code, reason and fields at fault of a call that fails: `INVALID_ARGUMENT INVALID_FIELD item.title`."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    error = caught.value
    return " ".join([error.code().name, reason_of(error), *dict.fromkeys(fields_of(error))])


@pytest.fixture(scope="session")
async def database_urls(postgres: PostgresServer, database_name: str) -> dict[str, str]:
    """Role -> URL of a migrated database."""
    urls = await postgres.create_database(f"{database_name}_catalog")
    await asyncio.to_thread(migrations.upgrade, urls["recmesh_catalog"], "recmesh_catalog", SCHEMA)
    return urls


@pytest.fixture(scope="session")
async def database(database_urls: dict[str, str]) -> AsyncIterator[Database]:
    async with Database(
        database_urls["recmesh_catalog"],
        pool_size=10,
        timeout_seconds=60,
        application_name="test",
    ) as database:
        yield database


@pytest.fixture(scope="session")
async def mesh(database: Database) -> AsyncIterator[Mesh]:
    outbox = Outbox(database)
    async with running(services(database, outbox)) as channel:
        yield Mesh(CatalogServiceStub(channel), InteractionServiceStub(channel), database, outbox)


@pytest.fixture
async def parent(mesh: Mesh) -> str:
    """The name of a public catalog of the test's own, whose making nobody has to hear of any more."""
    name = await mesh.catalog()
    await mesh.events(name)
    return name
